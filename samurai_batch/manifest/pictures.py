"""A folder of pictures as what there is to do: each is a video of one frame, of which everything is wanted."""

from samurai_batch.errors import PromptsError
from samurai_batch.storage import is_directory, join, list_names, redact
from samurai_batch.tasks import EverythingPrompt, Track, Video

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
OBJECT_ID = "mask"


def tracks_of_pictures(folder_uri: str) -> list[Track]:
    """One track for each picture of a folder (not of folders within it), its file name being the video_id.

    Once looked up, its masks are the tracks ``mask#0``, ``mask#1``, … in order of predicted IoU. Raises PromptsError
    if there are no pictures.
    """
    names = [name for name in list_names(folder_uri) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    if not names:
        reason = "holds no pictures" if is_directory(folder_uri) else "is no folder"
        raise PromptsError(redact(folder_uri), [f"{reason}; give a folder of {', '.join(SUFFIXES)} files"])
    return [
        Track(video=Video(name, join(folder_uri, name)), object_id=OBJECT_ID, prompts=(EverythingPrompt(0),))
        for name in names
    ]
