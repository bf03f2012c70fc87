"""Writes small videos by PyAV, and reads them from first to last frame by PyAV as the reference of the tests."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

MILLISECOND = Fraction(1, 1000)
FASTSTART = {"movflags": "faststart"}


def picture(index: int, height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3): a block that moves over a ramp; the brightness depends on the index."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    pixels[..., 1] = index * 5 % 256
    left = index * 3 % width
    pixels[height // 4 : height // 2 + 1, left : left + width // 8 + 1] = 255
    return pixels


def write_movie(
    path: Path,
    *,
    num_frames: int = 60,
    height: int = 48,
    width: int = 64,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    rotation: int = 0,
) -> Path:
    """A video of `picture` 0, 1, 2, ... at 25 frames/s, or shown at ``times_ms``."""
    tick = MILLISECOND if times_ms else Fraction(1, 25)
    times = times_ms or range(num_frames)
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25, options=dict(options or {})))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = tick
        stream.codec_context.thread_count = 1
        stream.set_display_rotation(rotation)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
            frame.pts, frame.time_base = time, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_pixels(path: Path, frames: Sequence[NDArray[np.uint8]], options: Mapping[str, str] | None = None) -> Path:
    """A video (H.264, 25 frames/s) of these pictures (H, W, 3)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18", **(options or {})})
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def scene(seed: int, lefts: Sequence[int], height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    """One shot: a camera that goes over a wide smooth picture, its left border at ``lefts`` (px)."""
    cells = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (5, 60, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(cells).resize((60 * width // 4, height), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(wide[:, left : left + width]) for left in lefts]


def write_two_sizes(path: Path, *, codec: str, num_frames_each: int = 20) -> Path:
    """A video whose frame size grows halfway, as in recordings of video calls."""
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = 0
        for index in range(num_frames_each):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, 48, 64), format="rgb24")))
        container.mux(stream.encode(None))
        second = cast(VideoCodecContext, av.CodecContext.create(codec, "w"))
        second.width, second.height, second.pix_fmt = 96, 80, "yuv420p"
        second.time_base, second.framerate = Fraction(1, 25), Fraction(25)
        second.max_b_frames = 0
        packets = []
        for index in range(num_frames_each, 2 * num_frames_each):
            frame = av.VideoFrame.from_ndarray(picture(index, 80, 96), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += second.encode(frame)
        for packet in packets + second.encode(None):
            packet.stream = stream
            container.mux(packet)
    return path


def write_trimmed(path: Path, original: Path, *, num_cut: int) -> Path:
    """The original with its first frames hidden by an edit list, as ``ffmpeg -ss ... -c copy`` writes it."""
    with av.open(str(original)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is not None and packet.dts is not None and stream.time_base:
                cut = int(num_cut / 25 / stream.time_base)
                packet.pts, packet.dts = packet.pts - cut, packet.dts - cut
                packet.stream = copy
                target.mux(packet)
    return path


def write_part(path: Path, original: Path, *, share: float) -> Path:
    """The first bytes of a file."""
    data = original.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def reference(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    """Time in seconds and displayed pixels of all frames that PyAV decodes until the end or the first error."""
    frames = []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                assert frame.time is not None
                frames.append((frame.time, np.rot90(pixels, frame.rotation // 90)))
        except av.error.InvalidDataError:
            pass
    return frames
