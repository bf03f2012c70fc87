"""The tracks that a source has now: a prompts table, several of them, or rows with patterns for videos.

``prompts`` of a job may be a pattern such as ``s3://bucket/in/*.csv``: every table that matches now is read, so that a
video may arrive together with its prompts. In any table, a ``video_uri`` with ``*`` or ``?`` in its last part is
replaced by every file or folder that matches, and ``*`` in its ``video_id`` by that file's name without suffix. This is
for fixed cameras, whose videos all begin with the same prompts. A row with the URI of a video precedes patterns.
"""

import fnmatch
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace

from samurai_batch import storage
from samurai_batch.errors import ConfigError, PromptsError
from samurai_batch.manifest import read_prompts
from samurai_batch.runtime.recipe import with_absolute_videos
from samurai_batch.tasks import Track, TrackId, Video


def read_source(prompts: str, read: Callable[[str], list[Track]] = read_prompts) -> list[Track]:
    """All tracks of ``prompts`` at this moment, patterns replaced by what they match; ``read`` reads one table.

    Raises PromptsError for bad rows and for objects that are in two tables, ConfigError for a pattern that cannot be
    used, and StorageError. A pattern without a match is no error: the videos may come later.
    """
    tables = _matches(prompts) if is_pattern(prompts) else [prompts]
    found: dict[TrackId, Track] = {}
    for table in tables:
        for track in _expanded(read(table)):
            if track.track_id in found:
                video_id, object_id = track.track_id
                problem = f"object {object_id} of video {video_id} is in another table as well; remove one of them"
                raise PromptsError(storage.redact(table), [problem])
            found[track.track_id] = track
    return with_absolute_videos(found.values())


def is_pattern(uri: str) -> bool:
    """Whether a URI has ``*`` or ``?``. In a remote URI, ``?`` begins a query and makes no pattern."""
    if storage.is_remote(uri):
        uri = uri.partition("?")[0]
    return "*" in uri or "?" in uri


def _expanded(tracks: Sequence[Track]) -> list[Track]:
    own = [track for track in tracks if not is_pattern(track.video.uri)]
    taken = {track.track_id for track in own}
    matches: dict[str, list[str]] = {}
    expanded = []
    for track in tracks:
        pattern = track.video.uri
        if not is_pattern(pattern):
            continue
        if "*" not in track.video.video_id:
            raise ConfigError(
                f"video_id {track.video.video_id!r} is used for every video that matches {storage.redact(pattern)}; "
                "write * in it, which becomes the file's name"
            )
        if pattern not in matches:
            matches[pattern] = _matches(pattern)
        expanded += [replace(track, video=_video(track.video.video_id, uri)) for uri in matches[pattern]]
    return own + [track for track in expanded if track.track_id not in taken]


def _video(video_id: str, uri: str) -> Video:
    return Video(video_id.replace("*", posixpath.splitext(posixpath.basename(uri))[0]), uri)


def _matches(pattern: str) -> list[str]:
    """What a folder holds that matches the last part of ``pattern``, sorted; names with a leading dot aside."""
    folder, _, last = pattern.rpartition("/")
    if is_pattern(folder):
        raise ConfigError(f"{storage.redact(pattern)}: * and ? may stand in the last part alone; name one folder")
    names = [name for name in storage.list_names(folder or ".") if not name.startswith(".")]
    return [storage.join(folder, name) for name in names if fnmatch.fnmatchcase(name, last)]
