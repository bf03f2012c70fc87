"""How a video asks to be turned and mirrored before it is shown."""

import math
from dataclasses import dataclass

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import Pixels

_TOLERANCE_DEGREES = 1.0


@dataclass(frozen=True)
class Orientation:
    """First rows and columns are exchanged, then columns, then rows are put in reverse."""

    is_transposed: bool = False
    is_mirrored: bool = False
    is_upside_down: bool = False

    def shown(self, pixels: Pixels) -> Pixels:
        """A decoded frame (H, W, 3) as it is shown."""
        if self.is_transposed:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(
            pixels[:: -1 if self.is_upside_down else 1, :: -1 if self.is_mirrored else 1],
        )


AS_DECODED = Orientation()


def orientation_of(frame: av.VideoFrame, name: str) -> Orientation:
    """What a frame's display matrix asks for. Raises VideoError if that is no multiple of a quarter turn."""
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
            f"{name}: the video asks to be turned by {degrees:.0f} degrees, which is no multiple of 90; re-encode it as"
            " it is to be shown, as with ffmpeg -i in.mp4 out.mp4"
        )
    if crossed > straight:
        return Orientation(is_transposed=True, is_mirrored=c < 0, is_upside_down=b < 0)
    return Orientation(is_mirrored=a < 0, is_upside_down=d < 0)
