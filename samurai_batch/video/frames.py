"""Frames, their size and orientation, and the protocol of everything that reads frames."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from samurai_batch.errors import VideoError
from samurai_batch.tasks import VideoInfo

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, 0 to 255, as displayed."""

_TOLERANCE_DEGREES = 1.0


def _unnamed(kinds: type[Enum], value: object) -> Enum:
    """A kind of side data that FFmpeg knows and PyAV does not name, such as EXIF and the view of a spatial video.

    Without it, PyAV raises ValueError for all side data of a frame that has some of this kind.
    """
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"UNNAMED_{value}", value
    return kind


Type._missing_ = classmethod(_unnamed)  # type: ignore[method-assign, assignment]


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: ``pixels`` (H, W, 3) uint8 RGB, and its presentation time in seconds by the video's own clock."""

    index: int
    timestamp_s: float
    pixels: Pixels


class FrameSource(Protocol):
    """What is read of a video: :class:`samurai_batch.video.VideoSource`, or anything like it."""

    @property
    def info(self) -> VideoInfo:
        """Number and size of frames."""
        ...

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames, in the order of ``indices``."""
        ...


class FrameReader(Protocol):
    """Reads frames in ascending order. Continuing where the last call ended costs no seek."""

    @property
    def info(self) -> VideoInfo:
        """Length and size."""
        ...

    def timestamp_s(self, index: int) -> float:
        """Presentation time of a frame in seconds. Raises VideoError if the frame does not exist."""
        ...

    def read(self, start: int, stop: int, step: int = 1) -> Iterator[Pixels]:
        """Every ``step``-th of the frames ``start`` to ``stop - 1``. Raises VideoError at one that cannot be read."""
        ...

    def close(self) -> None:
        """Close files and decoders."""
        ...


@dataclass(frozen=True)
class Orientation:
    """How decoded pixels become displayed ones: first transpose, then mirror columns, then reverse rows."""

    is_transposed: bool = False
    is_mirrored: bool = False
    is_upside_down: bool = False

    def apply(self, pixels: Pixels) -> Pixels:
        """A decoded frame (H, W, 3) as displayed."""
        if self.is_transposed:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(
            pixels[:: -1 if self.is_upside_down else 1, :: -1 if self.is_mirrored else 1],
        )


AS_DECODED = Orientation()


def orientation_of(frame: av.VideoFrame, name: str) -> Orientation:
    """The orientation in a frame's display matrix. Raises VideoError if it is no multiple of a quarter turn."""
    data = frame.side_data.get(Type.DISPLAYMATRIX.name)
    if data is None:
        return AS_DECODED
    assert isinstance(data, Buffer)
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    straight, crossed = math.hypot(a, d), math.hypot(b, c)
    if not straight and not crossed:
        return AS_DECODED
    if min(straight, crossed) > math.tan(math.radians(_TOLERANCE_DEGREES)) * max(straight, crossed):
        degrees = math.degrees(math.atan2(b, a))
        raise VideoError(
            f"{name}: the video's metadata rotates it by {degrees:.0f} degrees, which is no multiple of 90; re-encode "
            "it as displayed, for example with ffmpeg -i in.mp4 out.mp4"
        )
    if crossed > straight:
        return Orientation(is_transposed=True, is_mirrored=c < 0, is_upside_down=b < 0)
    return Orientation(is_mirrored=a < 0, is_upside_down=d < 0)
