"""Several files as one video: frames are numbered through, and each file begins when the one before has ended."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.tasks import VideoInfo
from samurai_batch.video.frames import FrameReader, Pixels

Open = Callable[[], FrameReader]

FIRST_FRAME_S = 1 / 25
"""How long the frame of a file with one frame lasts, unless a file before it says more."""


@dataclass(frozen=True)
class _Part:
    """One file: its first frame in the whole video, and what is added to its own times."""

    open: Open
    start: int
    num_frames: int
    offset_s: float


class SeveralFilesReader:
    """The frames of several files, one after the other. One file is open for reading, and at most one for times.

    Every file is opened once at the beginning, to count its frames. The first file keeps its own times; a later one
    begins when the last frame of the file before has been shown for as long as the frames of that file last on average.
    Raises VideoError for a file that cannot be read or has another size than the first.
    """

    def __init__(self, names: Sequence[str], files: Sequence[Open]) -> None:
        assert names, "there is at least one file"
        assert len(names) == len(files), (names, files)
        self._parts: list[_Part] = []
        self._starts: list[int] = []
        self._open: tuple[_Part, FrameReader] | None = None
        self._timed: tuple[_Part, FrameReader] | None = None  # for times while frames are read from another file
        self.info = VideoInfo(0, 0, 0)
        end_s, frame_s = None, FIRST_FRAME_S
        for name, open_file in zip(names, files, strict=True):
            with closing(open_file()) as reader:
                self._check_size(name, reader.info, names[0])
                first_s = reader.timestamp_s(0)
                offset_s = 0.0 if end_s is None else end_s - first_s
                start = self.info.num_frames
                self._starts.append(start)
                self._parts.append(_Part(open_file, start, reader.info.num_frames, offset_s))
                last_s, num_readable = _last_frame(reader)
                frame_s = (last_s - first_s) / (num_readable - 1) if num_readable > 1 else frame_s
                end_s = offset_s + last_s + frame_s
                self.info = VideoInfo(start + reader.info.num_frames, reader.info.height, reader.info.width)

    def timestamp_s(self, index: int) -> float:
        """Seconds since the beginning of the first file's clock. Raises VideoError if the frame does not exist."""
        part = self._part_of(index)
        with _shifted(part):
            return part.offset_s + self._reader_for_times(part).timestamp_s(index - part.start)

    def read(self, start: int, stop: int, step: int = 1) -> Iterator[Pixels]:
        """Every ``step``-th of the frames ``start`` to ``stop - 1``. Raises VideoError, which names the file."""
        while start < stop:
            part = self._part_of(start)
            frames = range(start, min(stop, part.start + part.num_frames), step)
            with _shifted(part):
                yield from self._reader_of(part).read(frames.start - part.start, frames.stop - part.start, step)
            start = frames[-1] + step

    def close(self) -> None:
        """Close the open files."""
        for opened in (self._open, self._timed):
            if opened is not None:
                opened[1].close()
        self._open = self._timed = None

    def _part_of(self, index: int) -> _Part:
        return self._parts[bisect_right(self._starts, index) - 1]

    def _reader_of(self, part: _Part) -> FrameReader:
        if self._open is None or self._open[0] is not part:
            before, self._open = self._open, None
            if before is not None:
                before[1].close()
            self._open = part, part.open()
        return self._open[1]

    def _reader_for_times(self, part: _Part) -> FrameReader:
        """The open file if it is this one. Otherwise another is opened: frames may be read in a thread meanwhile."""
        for opened in (self._open, self._timed):
            if opened is not None and opened[0] is part:
                return opened[1]
        if self._timed is not None:
            self._timed[1].close()
        self._timed = part, part.open()
        return self._timed[1]

    def _check_size(self, name: str, info: VideoInfo, first_name: str) -> None:
        if self.info.num_frames and (info.height, info.width) != (self.info.height, self.info.width):
            raise VideoError(
                f"{name} is {info.width}x{info.height} pixels, but {first_name} {self.info.width}x{self.info.height}; "
                "files of one video must have the same size"
            )


@contextmanager
def _shifted(part: _Part) -> Iterator[None]:
    """Where a file ends early, the frame that is missing is counted in the whole video."""
    try:
        yield
    except TruncatedVideoError as error:
        raise TruncatedVideoError(str(error), frame_reached=part.start + error.frame_reached) from error


def _last_frame(reader: FrameReader) -> tuple[float, int]:
    """The time of the last frame that can be read, and the number of such frames."""
    num_frames = reader.info.num_frames
    try:
        return reader.timestamp_s(num_frames - 1), num_frames
    except TruncatedVideoError as error:
        return reader.timestamp_s(error.frame_reached - 1), error.frame_reached
