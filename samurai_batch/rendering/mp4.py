"""Pictures into an mp4 that browsers play: h264, 4:2:0, the index in front."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

TICKS_PER_S = 90_000
QUALITY = 23  # x264's constant rate factor


def write_mp4(path: Path, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> int:
    """Write pairs of time in seconds and picture (H, W, 3) RGB, all of one size; returns how many.

    Sides of an odd number of pixels get one more, black. The first picture is shown at once.
    """
    count, last_pts, first_s = 0, -1, 0.0
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", options={"crf": str(QUALITY), "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        for time_s, pixels in frames:
            height, width = pixels.shape[:2]
            if count == 0:
                stream.height, stream.width = height + height % 2, width + width % 2
                first_s = time_s
            even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)))
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            last_pts = max(round((time_s - first_s) * TICKS_PER_S), last_pts + 1)
            picture.pts, picture.time_base = last_pts, Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(picture))
            count += 1
        if count:
            container.mux(stream.encode(None))
    return count
