"""Where the shots of a video begin: hard cuts, measured on small versions of all its frames.

The rule is that of PySceneDetect's AdaptiveDetector with its published defaults (window_width 2, adaptive_threshold
3.0, min_content_val 15.0; scenedetect.com/docs): the difference of two consecutive frames is a cut if it is large, and
large beside the differences around it, as those of a fast pan are not. It is written here because PySceneDetect needs
OpenCV.
Two things differ. The difference is that of red, green and blue instead of hue, saturation and value: hue is noise
where there is little colour. And a flash is no cut: what was there before must not come back within FLASH_FRAMES.

Not called cuts: fades, dissolves and wipes, flashes, pans and zooms; a cut from or to a pan that is as fast as the cut
is large; and cuts between pictures that differ by less than MIN_DIFFERENCE on average (two dark scenes). Of a cut with
one frame that mixes both shots it depends on what else moves. Called cuts though the scene is the same: a change of
light from one frame to the next that lasts, and a whip pan that is over within a frame.

The cuts are a function of the decoded video alone. They are measured in one pass over all frames before its tracks are
propagated, because the number of a shot depends on every frame before it: what a chunk has decoded, or a track that
begins in the middle of a video, or one that goes backward, does not tell it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.errors import TruncatedVideoError
from samurai_batch.video.frames import FrameSource, Pixels

MIN_DIFFERENCE = 15.0
"""The least mean absolute difference of two frames at a cut, of 255 (PySceneDetect: min_content_val)."""

MIN_RATIO = 3.0
"""How many times the mean of the differences around it that must be (PySceneDetect: adaptive_threshold)."""

NUM_AROUND = 2
"""So many differences on each side are around it (PySceneDetect: window_width)."""

FLASH_FRAMES = 6
"""A quarter of a second. If, so soon after a change, a frame differs from one so soon before it by less than half as
much as the two frames at the change, the change was a flash. Of two cuts less than this apart the first counts, so that
a transition over one mixed frame is not two. Both are rules of our own."""

_SMALL_SIDE = 64  # pixels, roughly: a frame is reduced by the whole factor that comes closest from above
_SAMPLES_PER_SIDE = 4  # of each block that is averaged: more take more time and change little

_Small: TypeAlias = NDArray[np.int16]


def scene_cuts_of(source: FrameSource, check: Callable[[], None] = lambda: None) -> tuple[int, ...]:
    """The frames of a video at which a new shot begins, ascending; frame 0 is not among them.

    Of a truncated video, those before it ends. ``check`` is called before each frame; what it raises ends the pass.
    Raises VideoError for a frame that is damaged.
    """
    return measure_cuts(_readable(source, check))


def _readable(source: FrameSource, check: Callable[[], None]) -> Iterator[Pixels]:
    try:
        for frame in source.frames(range(source.info.num_frames)):
            check()
            yield frame.pixels
    except TruncatedVideoError:
        return  # whoever needs the frames after it is told so


def measure_cuts(frames: Iterable[Pixels]) -> tuple[int, ...]:
    """The same of consecutive frames, each (H, W, 3) uint8 RGB. Keeps 2 * FLASH_FRAMES of them, small."""
    small = map(_reduced, frames)
    before: deque[_Small] = deque(maxlen=FLASH_FRAMES)
    after = deque(islice(small, FLASH_FRAMES))
    cuts: list[int] = []
    index = 0
    while after:
        is_near_another = bool(cuts) and index - cuts[-1] < FLASH_FRAMES
        if before and not is_near_another and _is_cut(list(before), list(after)):
            cuts.append(index)
        before.append(after.popleft())
        after.extend(islice(small, 1))
        index += 1
    return tuple(cuts)


def _reduced(pixels: Pixels) -> _Small:
    """The means of blocks of pixels, (h, w, 3) with both sides below 2 * _SMALL_SIDE."""
    by_rows, by_columns = (max(1, side // (_SAMPLES_PER_SIDE * _SMALL_SIDE)) for side in pixels.shape[:2])
    sampled = np.ascontiguousarray(pixels[::by_rows, ::by_columns])
    height, width, _ = sampled.shape
    factors = max(1, width // _SMALL_SIDE), max(1, height // _SMALL_SIDE)
    return np.asarray(Image.fromarray(sampled).reduce(factors), np.int16)


def _is_cut(before: Sequence[_Small], after: Sequence[_Small]) -> bool:
    """Whether a shot ends with the last frame of ``before`` and another begins with the first one of ``after``."""
    here = _difference(before[-1], after[0])
    if here < MIN_DIFFERENCE:
        return False
    around = [*pairwise(before[-NUM_AROUND - 1 :]), *pairwise(after[: NUM_AROUND + 1])]
    if around and here < MIN_RATIO * np.mean([_difference(one, other) for one, other in around]):
        return False
    least = max(MIN_DIFFERENCE, here / 2)
    return all(_difference(one, other) >= least for one in before for other in after)


def _difference(one: _Small, other: _Small) -> float:
    return float(np.abs(one - other).mean())
