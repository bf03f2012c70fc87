"""Videos: frames by index with their presentation times, from files, folders of frames, and remote storage."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from samurai_batch import storage
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.tasks import VideoInfo
from samurai_batch.video.containers import check_is_video
from samurai_batch.video.decoders import DecoderName, describe_decoder
from samurai_batch.video.file_reader import FileReader
from samurai_batch.video.frames import Frame, FrameReader
from samurai_batch.video.picture_files import FolderReader, picture_reader
from samurai_batch.video.scene_cuts import scene_cuts_of
from samurai_batch.video.several_files import SeveralFilesReader
from samurai_batch.video.source import VideoSource
from samurai_batch.video.staged_file import StagedReader
from samurai_batch.video.staging import StagingCache

__all__ = [
    "FOLDER_FPS",
    "Frame",
    "StagingCache",
    "VideoInfo",
    "VideoSource",
    "describe_decoder",
    "open_staged",
    "open_video",
    "scene_cuts_of",
]

FOLDER_FPS = 25.0
"""Default frames per second of a folder of frames."""


def open_video(
    path: str | Path,
    *,
    fps: float = FOLDER_FPS,
    ahead: bool = True,
    decoder: DecoderName = "auto",
    num_threads: int = 1,
) -> VideoSource:
    """Open a local video file, a folder of numbered JPEG or PNG frames, or a picture (a video of one frame).

    Several paths, one a line, are the files of one video in their order. ``fps`` is the frame rate of a folder or of a
    multi-page TIFF; video files have their own times and ignore it. With ``ahead``, frames are decoded in a background
    thread before they are requested. ``decoder`` is for video files; "auto" means PyAV, which decodes with
    ``num_threads``. Raises VideoError if ``path`` does not exist or is no video, and with decoder="decord" if decord
    would not give the same frames as PyAV.
    """
    names = storage.uris_of_files(str(path))
    files = [partial(_reader, storage.local_path(name), name, fps, decoder, num_threads) for name in names]
    return VideoSource(_joined(names, files), _name(names), ahead=ahead)


def open_staged(
    uri: str,
    cache: StagingCache,
    *,
    fps: float = FOLDER_FPS,
    ahead: bool = True,
    decoder: DecoderName = "auto",
    num_threads: int = 1,
) -> VideoSource:
    """As `open_video`, for local or remote URIs; a remote file is read from a local copy that ``cache`` keeps.

    A copy is in use until the source is closed; of a video of several files, while that file is read. Raises VideoError
    as `open_video` does, and StorageError if the video cannot be copied.
    """
    uris = storage.uris_of_files(uri)
    names = [storage.redact_uri(one) for one in uris]
    read = partial(_reader, fps=fps, decoder=decoder, num_threads=num_threads)
    files = [
        partial(StagedReader, one, name, cache, partial(read, name=name)) for one, name in zip(uris, names, strict=True)
    ]
    return VideoSource(_joined(names, files), _name(names), ahead=ahead)


def _joined(names: Sequence[str], files: Sequence[Callable[[], FrameReader]]) -> FrameReader:
    return files[0]() if len(files) == 1 else SeveralFilesReader(names, files)


def _name(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _hint(missing: str) -> str:
    """What may be wrong with the name of a missing local file, to be added to a message."""
    decoded = unquote(missing)
    if decoded != missing and storage.local_path(decoded).exists():
        return f", but {decoded} does; write names of files as they are, without %20 and the like"
    if re.search(r"(?:^|/)\$[\w{(]", missing):
        return "; environment variables are not filled in, write the path out"
    return ""


def _reader(path: Path, name: str, fps: float, decoder: DecoderName, num_threads: int) -> FrameReader:
    if fps <= 0:
        raise ConfigError(f"fps={fps} is not a frame rate; give frames per second, above 0")
    if path.is_dir():
        return FolderReader(path, name, fps)
    if not path.exists():
        raise VideoError(f"{name} does not exist{_hint(name)}")
    if not path.stat().st_size:
        raise VideoError(f"{name} is empty")
    check_is_video(path, name)
    return picture_reader(path, name, fps) or FileReader(path, name, decoder, num_threads)
