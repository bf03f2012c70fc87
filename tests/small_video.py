"""A video of 15 small frames in memory, and tracks of every kind through it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samurai_batch.masks import encode_mask
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Rle
from samurai_batch.tasks import Leg, Track, Video
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.video import Frame, VideoInfo
from tests.deterministic import deterministic_frames, small_model
from tests.tracking.scripts import VARIANTS

HEIGHT, WIDTH, NUM_FRAMES = 48, 80, 15
VIDEO = Video("clip", "clip.mp4")
PIXELS = deterministic_frames(NUM_FRAMES, WIDTH)[:, :HEIGHT]


@dataclass
class FakeSource:
    """Frames out of an array, with a clock that is not even; remembers the requested frames."""

    pixels: NDArray[np.uint8]
    requested: list[range]

    @property
    def info(self) -> VideoInfo:
        return VideoInfo(*self.pixels.shape[:3])

    def frames(self, indices: range) -> Iterator[Frame]:
        self.requested.append(indices)
        for index in indices:
            yield Frame(index, timestamp_of(index), np.ascontiguousarray(self.pixels[index]))

    def timestamp_s(self, index: int) -> float:
        return timestamp_of(index)


def timestamp_of(frame_index: int) -> float:
    return 0.5 + frame_index**2 / 100


def source(pixels: NDArray[np.uint8] = PIXELS) -> FakeSource:
    return FakeSource(pixels, [])


def tracker(mode: str = "samurai") -> Tracker:
    return Tracker(small_model(), VARIANTS[mode])


def rectangle() -> Rle:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 20:50] = True
    rle = encode_mask(mask)
    assert rle is not None
    return rle


def box(frame_index: int) -> BoxPrompt:
    return BoxPrompt(frame_index, (15.0, 12.0, 45.0, 30.0))


def click(frame_index: int) -> PointsPrompt:
    return PointsPrompt(frame_index, ((30.0, 20.0),), (1,))


TRACKS = (
    Track(video=VIDEO, object_id="all", prompts=(box(0),)),
    Track(video=VIDEO, object_id="corrected", prompts=(click(3), box(3), click(9)), end_frame=12),
    Track(video=VIDEO, object_id="back", prompts=(box(11), click(7)), start_frame=2, direction="backward"),
    Track(video=VIDEO, object_id="both", prompts=(MaskPrompt(6, rectangle()), click(10)), direction="both"),
    Track(video=VIDEO, object_id="both from the first", prompts=(click(0),), end_frame=4, direction="both"),
    Track(video=VIDEO, object_id="the last", prompts=(click(14),)),
)
ROWS = {
    "all": range(15),
    "corrected": range(3, 13),
    "back": range(2, 12),
    "both": range(15),
    "both from the first": range(5),
    "the last": range(14, 15),
}


def legs_of(tracks: Sequence[Track], reverse: bool = False) -> list[Leg]:
    return [leg for track in tracks for leg in track.legs if leg.reverse == reverse]
