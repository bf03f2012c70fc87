"""The values that leave this package, and what every reader of videos provides."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, 0 to 255, as displayed."""


@dataclass(frozen=True)
class VideoInfo:
    """Length and size of a video.

    ``num_frames`` is what the video declares: a truncated one yields fewer. ``height`` and ``width`` are pixels as
    displayed, after rotation.
    """

    num_frames: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: ``pixels`` (H, W, 3) uint8 RGB, and its presentation time in seconds by the video's own clock."""

    index: int
    timestamp_s: float
    pixels: Pixels


class FrameReader(Protocol):
    """Reads frames in ascending order; going on where the last call ended costs no seek."""

    @property
    def info(self) -> VideoInfo:
        """Length and size."""
        ...

    def timestamp_s(self, index: int) -> float:
        """Presentation time of a frame. Raises VideoError where there is none."""
        ...

    def read(self, start: int, stop: int) -> Iterator[Pixels]:
        """Frames ``start`` to ``stop - 1``. Raises VideoError, at the first frame that cannot be had."""
        ...

    def close(self) -> None:
        """Let files and decoders go."""
        ...
