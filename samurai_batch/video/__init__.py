"""Videos: frames by index with their presentation times, from files, folders of frames, and remote storage."""

from pathlib import Path

from samurai_batch import storage
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.video.containers import check_address, check_is_video
from samurai_batch.video.decoders import DecoderName, describe_decoder
from samurai_batch.video.file_reader import FileReader
from samurai_batch.video.frames import Frame, FrameReader, VideoInfo
from samurai_batch.video.picture_files import FolderReader, picture_reader
from samurai_batch.video.source import VideoSource
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

    ``fps`` is the frame rate of a folder or of a multi-page TIFF; video files have their own times and ignore it. With
    ``ahead``, frames are decoded in a background thread before they are requested. ``decoder`` is for video files;
    "auto" means PyAV, which decodes with ``num_threads``. Raises VideoError if ``path`` does not exist or is no video,
    and with decoder="decord" if decord would not give the same frames as PyAV.
    """
    return VideoSource(_reader(Path(path), str(path), fps, decoder, num_threads), str(path), ahead=ahead)


def open_staged(
    uri: str,
    cache: StagingCache,
    *,
    fps: float = FOLDER_FPS,
    ahead: bool = True,
    decoder: DecoderName = "auto",
    num_threads: int = 1,
) -> VideoSource:
    """As `open_video`, for a local or remote URI; a remote video is read from a local copy that ``cache`` keeps.

    The copy is in use until the source is closed. Raises VideoError as `open_video` does, and StorageError if the video
    cannot be copied.
    """
    name = storage.redact(uri)
    if storage.is_remote(uri):
        check_address(uri)
    try:
        path = cache.stage(uri)
    except FileNotFoundError as error:
        raise VideoError(f"{name} does not exist") from error
    try:
        reader = _reader(path, name, fps, decoder, num_threads)
        return VideoSource(reader, name, ahead=ahead, on_close=lambda: cache.release(uri))
    except BaseException:
        cache.release(uri)
        raise


def _reader(path: Path, name: str, fps: float, decoder: DecoderName, num_threads: int) -> FrameReader:
    if fps <= 0:
        raise ConfigError(f"fps={fps} is not a frame rate; give frames per second, above 0")
    if path.is_dir():
        return FolderReader(path, name, fps)
    if not path.exists():
        raise VideoError(f"{name} does not exist")
    if not path.stat().st_size:
        raise VideoError(f"{name} is empty")
    check_is_video(path, name)
    return picture_reader(path, name, fps) or FileReader(path, name, decoder, num_threads)
