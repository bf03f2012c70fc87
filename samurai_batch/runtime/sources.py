"""Videos as a replica reads them: fetched once, and stoppable between two frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # naming the types must not load a decoder
    from samurai_batch.video import Frame, VideoInfo, VideoSource

OpenVideo: TypeAlias = "Callable[[str], VideoSource]"


class StoppedError(Exception):
    """The replica was asked to stop; its order is dropped."""


class StoppableSource:
    """A video source that raises Stopped at the next frame once ``is_stopping`` says so."""

    def __init__(self, source: VideoSource, is_stopping: Callable[[], bool]) -> None:
        self._source = source
        self._is_stopping = is_stopping

    @property
    def info(self) -> VideoInfo:
        """The video's length and size."""
        return self._source.info

    def timestamp_s(self, frame_index: int) -> float:
        """Presentation time of a frame, in seconds."""
        return self._source.timestamp_s(frame_index)

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames in the order of ``indices``."""
        for frame in self._source.frames(indices):
            if self._is_stopping():
                raise StoppedError("the job is being stopped")
            yield frame

    def close(self) -> None:
        """Close the source."""
        self._source.close()
