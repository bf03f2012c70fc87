"""One file of a video, read from its local copy for as long as it is open."""

from collections.abc import Callable, Iterator
from pathlib import Path

from samurai_batch import storage
from samurai_batch.errors import VideoError
from samurai_batch.tasks import VideoInfo
from samurai_batch.video.containers import check_address
from samurai_batch.video.frames import FrameReader, Pixels
from samurai_batch.video.staging import StagingCache


class StagedReader:
    """The reader of a file at any URI, whose copy is in use until `close`.

    Raises VideoError if the file does not exist, what ``read`` raises, and StorageError if it cannot be copied.
    """

    def __init__(self, uri: str, name: str, cache: StagingCache, read: Callable[[Path], FrameReader]) -> None:
        if storage.is_remote(uri):
            check_address(uri)
        try:
            path = cache.stage(uri)
        except FileNotFoundError as error:
            raise VideoError(f"{name} does not exist") from error
        try:
            self._reader = read(path)
        except BaseException:
            cache.release(uri)
            raise
        self._uri, self._cache, self._is_open = uri, cache, True

    @property
    def info(self) -> VideoInfo:
        """Length and size."""
        return self._reader.info

    def timestamp_s(self, index: int) -> float:
        """Presentation time in seconds. Raises VideoError."""
        return self._reader.timestamp_s(index)

    def read(self, start: int, stop: int, step: int = 1) -> Iterator[Pixels]:
        """Every ``step``-th of the frames ``start`` to ``stop - 1``. Raises VideoError."""
        return self._reader.read(start, stop, step)

    def close(self) -> None:
        """Close the file and end the use of its copy; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._reader.close()
            self._cache.release(self._uri)
