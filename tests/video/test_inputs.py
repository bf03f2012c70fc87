"""Small files of kinds that tools and networks leave behind, in ``inputs/``: what is right for each of them.

Frames and times are what FFmpeg 5.1 tells (``ffprobe -count_frames``, ``best_effort_timestamp_time``), but for a clock
that falls back, which goes on here. Each is 128x96 at 25 frames/s with a frame number drawn in; ``rpza_right.mov`` is
64x48, all its packets claim to be key frames, and only the right half of its pictures changes.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import Flags
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.errors import VideoError
from samurai_batch.video import open_video

INPUTS = Path(__file__).parent / "inputs"
STEP_S = 0.04


@dataclass(frozen=True)
class Right:
    """Frames, the first one's time, and by how many steps more than one some frames are late after the one before."""

    num_frames: int
    start_s: float = 0.0
    gaps: tuple[tuple[int, int], ...] = ()

    def times_s(self) -> NDArray[np.float64]:
        steps = np.ones(self.num_frames)
        steps[0] = 0
        for index, extra in self.gaps:
            steps[index] += extra
        return self.start_s + STEP_S * np.cumsum(steps)


RIGHT = {
    "base.mp4": Right(60),
    # packets before the first key frame
    "brokenstart.ts": Right(48, 1.96),
    "midstart.ts": Right(48, 0.48),
    "midstart.mp4": Right(48, 0.48),
    "og2_cut.ts": Right(36, 1.52),
    "og4_cut.mp4": Right(35),
    "og5_mid.ts": Right(41, 2.08, gaps=((1, 1), (5, 3))),
    # several pictures in one file
    "anim.png": Right(12),
    "anim.webp": Right(12),
    "stack.tif": Right(12),
    # a packet is not a frame
    "xvidb.avi": Right(28, 0.12),
    "h264b.avi": Right(30, 0.08),
    "h264.avi": Right(30),
    "m4_not_coded.avi": Right(27, gaps=((5, 2), (15, 1))),
    "m4_not_coded.mp4": Right(27, gaps=((5, 2), (15, 1))),
    "theora_empty.ogv": Right(57, gaps=((5, 2), (15, 1))),
    # no times
    "raw_h264.h264": Right(30),
    "rpza_right.mov": Right(12),
    # lengths and clocks
    "flv_longer.flv": Right(60),
    "catreset.ts": Right(63, 1.48),
    # small errors of time
    "h264nob.avi": Right(60),
    "h264_empty_chunks.avi": Right(27, gaps=((5, 2), (15, 1))),
    # mirrored and turned
    "matrix_hflip.mp4": Right(60),
    "matrix_vflip.mp4": Right(60),
    "matrix_transpose.mp4": Right(60),
}

REFUSED = {
    "matrix_45.mp4": r"metadata rotates it by 45 degrees, which is no multiple of 90; re-encode it",
    "song.mp3": r"holds no video, only sound and a cover picture; give a video",
}


def plainly_decoded(path: Path) -> list[NDArray[np.uint8]]:
    """All frames that PyAV decodes from first to last, as they are stored."""
    frames = []
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        codec.thread_count = 1
        if path.name == "og5_mid.ts":
            codec.flags |= (
                Flags.output_corrupt
            )  # FFmpeg 5.1 shows what is before the first key frame; later ones if asked
        for packet in container.demux(video=0):
            if packet.size or packet.dts is None:
                frames += codec.decode(packet)
    if path.name == "og5_mid.ts":
        frames = [frame for frame in frames if not frame.is_corrupt or (frame.pts or 0) < 205_201]
    return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


def pages(path: Path) -> list[NDArray[np.uint8]]:
    with Image.open(path) as image:
        shown = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            shown.append(np.array(image.convert("RGB")))
        return shown


def right_pixels(name: str) -> list[NDArray[np.uint8]]:
    if name in {"anim.webp", "stack.tif"}:
        return pages(INPUTS / name)
    base = plainly_decoded(INPUTS / ("base.mp4" if name.startswith("matrix") else name))
    match name:
        case "matrix_hflip.mp4":
            return [pixels[:, ::-1] for pixels in base]
        case "matrix_vflip.mp4":
            return [pixels[::-1] for pixels in base]
        case "matrix_transpose.mp4":
            return [pixels.transpose(1, 0, 2) for pixels in base]
    return base


def test_every_input_file_is_expected_right_or_refused() -> None:
    assert {path.name for path in INPUTS.iterdir()} == RIGHT.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_every_input_has_its_right_frames_pixels_and_times(name: str) -> None:
    with open_video(INPUTS / name) as source:
        frames = list(source.frames(range(source.info.num_frames)))
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], RIGHT[name].times_s(), atol=1e-3)
    for frame, pixels in zip(frames, right_pixels(name), strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("name", RIGHT)
def test_any_part_of_every_input_equals_that_part_of_the_whole(name: str) -> None:
    with open_video(INPUTS / name) as source:
        num_frames = source.info.num_frames
        whole = list(source.frames(range(num_frames)))
        for start in range(num_frames - 1, -1, -5):
            for frame in source.frames(range(start, min(start + 3, num_frames))):
                assert frame.timestamp_s == whole[frame.index].timestamp_s
                np.testing.assert_array_equal(frame.pixels, whole[frame.index].pixels)
        for frame in source.frames(range(num_frames - 1, -1, -1)):
            np.testing.assert_array_equal(frame.pixels, whole[frame.index].pixels)


@pytest.mark.parametrize("name", REFUSED)
def test_an_input_that_is_no_usable_video_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(VideoError, match=REFUSED[name]) as caught:
        open_video(INPUTS / name)
    assert "\n" not in str(caught.value)
