"""Cut-outs: the frames of a video with the mask of one object as alpha channel, for editors and compositing.

ProRes 4444   .mov, 12 bits of colour, 4:4:4, alpha of 16 bits: what editors take
VP9           .webm, 4:2:0 with an alpha layer: what browsers take
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

TICKS_PER_S = 90_000


@dataclass(frozen=True)
class AlphaCodec:
    """An encoder of pictures with alpha, and the container that it is for."""

    suffix: str
    container: str
    encoder: str
    pixel_format: str
    options: dict[str, str]


PRORES_4444 = AlphaCodec("mov", "mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"})
VP9 = AlphaCodec("webm", "webm", "libvpx-vp9", "yuva420p", {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4"})


def alpha_video(codec: AlphaCodec, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> bytes:
    """Encode pairs of a time in seconds and a picture (H, W, 4) RGBA, all of one size; at least one.

    Times count from the first picture. An odd width or height is padded by one transparent pixel.
    """
    sink = io.BytesIO()
    last_pts, first_s = -1, None
    with av.open(sink, "w", format=codec.container) as container:
        stream = cast(VideoStream, container.add_stream(codec.encoder, options=codec.options))
        stream.pix_fmt = codec.pixel_format
        # FFmpeg's ProRes encoder gives other pixels from run to run where several threads encode slices.
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        for time_s, pixels in frames:
            height, width = pixels.shape[:2]
            if first_s is None:
                first_s, stream.height, stream.width = time_s, height + height % 2, width + width % 2
            even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)))
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgba")
            last_pts = max(round((time_s - first_s) * TICKS_PER_S), last_pts + 1)
            picture.pts, picture.time_base = last_pts, Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(picture))
        assert first_s is not None, "a cut-out has at least one frame"
        container.mux(stream.encode(None))
    return sink.getvalue()
