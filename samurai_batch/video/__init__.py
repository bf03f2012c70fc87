"""Videos: frames by index with their times, from files, folders of numbered frames, and remote storage."""

from pathlib import Path

from samurai_batch import storage
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.video.decoder import DecoderName
from samurai_batch.video.file import FileReader
from samurai_batch.video.folder import FolderReader
from samurai_batch.video.frames import Frame, FrameReader, VideoInfo
from samurai_batch.video.kinds import refuse_other_kinds, refuse_web_folder
from samurai_batch.video.pages import PagesReader, has_pages, is_animation
from samurai_batch.video.picture import SUFFIXES as PICTURE_SUFFIXES
from samurai_batch.video.picture import PictureReader
from samurai_batch.video.source import VideoSource
from samurai_batch.video.staging import StagingCache

__all__ = ["FOLDER_FPS", "Frame", "StagingCache", "VideoInfo", "VideoSource", "open_staged", "open_video"]

FOLDER_FPS = 25.0
"""Frames per second of a folder of frames, where nobody says otherwise."""


def open_video(
    path: str | Path, *, fps: float = FOLDER_FPS, ahead: bool = True, decoder: DecoderName = "auto"
) -> VideoSource:
    """Open a local video file, a folder of numbered JPEG or PNG frames, or one picture, a video of one frame.

    ``fps`` is the rate of a folder's frames, and of a TIFF's pages, which know no time of their own; files ignore it.
    ``ahead`` decodes in the background; False leaves each frame until it is asked for. ``decoder`` is for video files;
    "auto" means PyAV. Raises VideoError if there is nothing, or no video, at ``path``, and for decord where it would
    give other frames.
    """
    return VideoSource(_reader(Path(path), str(path), fps, decoder), str(path), ahead=ahead)


def open_staged(
    uri: str, cache: StagingCache, *, fps: float = FOLDER_FPS, ahead: bool = True, decoder: DecoderName = "auto"
) -> VideoSource:
    """As `open_video`, of a video anywhere, through a local copy that is in use until the source is closed.

    Raises VideoError as `open_video` does, and StorageError if it cannot be copied.
    """
    name = storage.redact(uri)
    refuse_web_folder(uri, name)
    try:
        path = cache.stage(uri)
    except FileNotFoundError as error:
        raise VideoError(f"{name} does not exist") from error
    try:
        reader = _reader(path, name, fps, decoder)
        return VideoSource(reader, name, ahead=ahead, on_close=lambda: cache.release(uri))
    except BaseException:
        cache.release(uri)
        raise


def _reader(path: Path, name: str, fps: float, decoder: DecoderName) -> FrameReader:
    if fps <= 0:
        raise ConfigError(f"fps={fps} is not a frame rate; give frames per second, above 0")
    if path.is_dir():
        return FolderReader(path, name, fps)
    if not path.exists():
        raise VideoError(f"{name} does not exist")
    if not path.stat().st_size:
        raise VideoError(f"{name} is empty")
    refuse_other_kinds(path, name)
    if path.suffix.lower() in PICTURE_SUFFIXES and not is_animation(path):
        return PagesReader(path, name, fps) if has_pages(path) else PictureReader(path, name)
    return FileReader(path, name, decoder)
