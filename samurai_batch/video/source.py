"""An open video: frames by index, forward or backward, decoded in a background thread or on demand."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import TracebackType

from samurai_batch.background import prefetch
from samurai_batch.errors import VideoError
from samurai_batch.tasks import VideoInfo
from samurai_batch.video.frames import Frame, FrameReader

QUEUE_BYTES = 64 * 2**20
MAX_QUEUED_FRAMES = 16
BLOCK_BYTES = 128 * 2**20


class VideoSource:
    """One open video. Not thread-safe; a new iteration over frames closes the one before.

    Memory does not depend on the video's length. With ``ahead``, a background thread keeps about QUEUE_BYTES of decoded
    frames (at least one, at most MAX_QUEUED_FRAMES) ready. Reading backward holds another block of about BLOCK_BYTES.
    """

    def __init__(
        self, reader: FrameReader, name: str, *, ahead: bool = True, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._reader = reader
        self._name = name
        self._ahead = ahead
        self._on_close = on_close
        self._iteration: Generator[Frame, None, None] | None = None

    @property
    def info(self) -> VideoInfo:
        """Length and size as displayed."""
        return self._reader.info

    def timestamp_s(self, index: int) -> float:
        """Presentation time of a frame in seconds, by the video's own clock.

        Raises VideoError if there is no such frame, TruncatedVideoError if the video ends before it.
        """
        self._check(index)
        return self._reader.timestamp_s(index)

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames of an ascending or descending range, in that order.

        A descending range is decoded in ascending blocks, each reversed. Closes the iteration of an earlier call.
        Raises VideoError if a frame does not exist, cannot be decoded or has another size than the first, and
        TruncatedVideoError where the video ends early.
        """
        self._end_iteration()
        for index in (indices[0], indices[-1]) if indices else ():
            self._check(index)
        self._iteration = self._iterate(indices)
        return self._iteration

    def close(self) -> None:
        """End the iteration and close the file; a second call does nothing."""
        self._end_iteration()
        self._reader.close()
        on_close, self._on_close = self._on_close, lambda: None
        on_close()

    def __enter__(self) -> "VideoSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _iterate(self, indices: range) -> Generator[Frame, None, None]:
        frames = self._ascending(indices) if indices.step > 0 else self._descending(indices)
        depth = self._num_frames_in(QUEUE_BYTES, MAX_QUEUED_FRAMES) if self._ahead else 0
        with closing(prefetch(frames, depth)) as prefetched:
            yield from prefetched

    def _ascending(self, indices: range) -> Iterator[Frame]:
        if not indices:
            return
        pixels_of = self._reader.read(indices[0], indices[-1] + 1, indices.step)
        for index, pixels in zip(indices, pixels_of, strict=True):
            yield Frame(index, self._reader.timestamp_s(index), pixels)

    def _descending(self, indices: range) -> Iterator[Frame]:
        num_frames = self._num_frames_in(BLOCK_BYTES, len(indices))
        for first in range(0, len(indices), num_frames):
            block = list(self._ascending(indices[first : first + num_frames][::-1]))
            while block:
                yield block.pop()

    def _num_frames_in(self, num_bytes: int, most: int) -> int:
        frame_bytes = 3 * self.info.height * self.info.width
        return max(1, min(num_bytes // frame_bytes, most))

    def _check(self, index: int) -> None:
        if not 0 <= index < self.info.num_frames:
            last = self.info.num_frames - 1
            raise VideoError(f"{self._name}: there is no frame {index}; its frames are 0 to {last}")

    def _end_iteration(self) -> None:
        if self._iteration is not None:
            self._iteration.close()
            self._iteration = None
