"""A dataset of pictures as what there is to do: a folder, a list of URIs, or a table of prompts on them.

A picture is a video of one frame, frame 0; where nobody names it, its file name is its video_id. Of the pictures of a
folder or a list, everything is wanted: each has one track, ``mask``, that stands for all that is found on it.
"""

from collections.abc import Iterable

from samurai_batch.errors import PromptsError
from samurai_batch.manifest.files import is_table, read_prompts
from samurai_batch.manifest.text_files import decoded
from samurai_batch.redaction import holds_secret
from samurai_batch.storage import is_directory, is_remote, join, list_names, read_bytes, redact
from samurai_batch.tasks import EverythingPrompt, Track, Video

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
LIST_SUFFIX = ".txt"
OBJECT_ID = "mask"


def read_pictures(uri: str) -> list[Track]:
    """The tracks of a prompts table, of a folder (not of folders within it), or of a ``.txt`` file with a URI a line.

    Raises PromptsError with all that is wrong.
    """
    if is_table(uri):
        return read_prompts(uri)
    if uri.lower().endswith(LIST_SUFFIX) and not is_directory(uri):
        return _everything_on(_listed(uri), uri)
    names = [name for name in list_names(uri) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    if not names:
        reason = "holds no pictures" if is_directory(uri) else "is no folder"
        raise PromptsError(redact(uri), [f"{reason}; give a folder of {', '.join(SUFFIXES)} files"])
    return _everything_on((join(uri, name) for name in names), uri)


def _listed(uri: str) -> list[str]:
    try:
        lines = decoded(read_bytes(uri)).splitlines()
    except FileNotFoundError as error:
        raise PromptsError(redact(uri), ["there is no such file"]) from error
    except UnicodeDecodeError as error:
        raise PromptsError(redact(uri), [f"it is not text in UTF-8 ({error.reason}); write one URI a line"]) from error
    uris = [line.strip() for line in lines if line.strip()]
    if not uris:
        raise PromptsError(redact(uri), ["it is empty; write one URI of a picture a line"])
    return uris


def _name(uri: str) -> str:
    """The file name, and what of a query tells files apart: what is secret in it would stand in every table."""
    name = (uri.partition("?")[0] if is_remote(uri) and holds_secret(uri) else uri).rstrip("/").rpartition("/")[2]
    return redact(name)


def _everything_on(pictures: Iterable[str], source: str) -> list[Track]:
    uris: dict[str, str] = {}
    problems = []
    for uri in pictures:
        name = _name(uri)
        if uris.setdefault(name, uri) != uri:
            both = f"{redact(uris[name])} and {redact(uri)} have the same name"
            problems.append(f"{both}; give a table with a video_id, video_uri and kind everything for each")
    if problems:
        raise PromptsError(redact(source), problems)
    return [
        Track(video=Video(name, uri), object_id=OBJECT_ID, prompts=(EverythingPrompt(0),)) for name, uri in uris.items()
    ]
