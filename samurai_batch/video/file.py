"""A video file: which frames it has, and their pixels by decoding."""

from collections.abc import Iterator
from pathlib import Path

from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.video.decoder import DecoderName, make_decoder
from samurai_batch.video.frame_index import read_frame_index
from samurai_batch.video.frames import Pixels, VideoInfo


class FileReader:
    """One video file. Raises VideoError if it is no video, or its first frame cannot be decoded."""

    def __init__(self, path: Path, name: str, decoder: DecoderName = "auto") -> None:
        self._name = name
        self._index = read_frame_index(path, name)
        self._decoder = make_decoder(decoder, path, name, self._index)
        height, width, _ = next(self._decoder.frames_from(0)).shape
        self._info = VideoInfo(self._index.num_declared, height, width)
        self._frames: Iterator[Pixels] = iter(())
        self._next: int | None = None

    @property
    def info(self) -> VideoInfo:
        """The number of frames declared, and their size as displayed."""
        return self._info

    def timestamp_s(self, index: int) -> float:
        """Presentation time in seconds. Raises TruncatedVideoError if the file ends before this frame."""
        self._check(index)
        return self._index.timestamp_s(index)

    def read(self, start: int, stop: int) -> Iterator[Pixels]:
        """Frames ``start`` to ``stop - 1``. Raises VideoError and TruncatedVideoError."""
        for index in range(start, stop):
            self._check(index)
            yield self._frame(index)

    def close(self) -> None:
        """Let the file go."""
        self._frames = iter(())
        self._decoder.close()

    def _frame(self, index: int) -> Pixels:
        if index != self._next:
            self._frames = self._decoder.frames_from(index)
        self._next = None  # unless this frame comes, the next one begins anew
        pixels = next(self._frames)
        height, width, _ = pixels.shape
        if (height, width) != (self._info.height, self._info.width):
            raise VideoError(
                f"{self._name}: frame {index} is {width}x{height} pixels, the frames before it "
                f"{self._info.width}x{self._info.height}; cut the video where its size changes"
            )
        self._next = index + 1
        return pixels

    def _check(self, index: int) -> None:
        reached = len(self._index)
        if index >= reached:
            raise TruncatedVideoError(
                f"{self._name}: the file ends before frame {reached} of {self._info.num_frames}; copy it again from "
                "where it came from",
                frame_reached=reached,
            )
