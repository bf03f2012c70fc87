"""The suite ``arrivals``: clips in which things enter, leave, return, cross and merge, and a detector's noisy boxes.

Nothing needs to be there on the first frame, and every thing is to be tracked while it can be seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samurai_batch.synthetic.clip import Clip, render_clip
from samurai_batch.synthetic.scene import Role, SceneContext, SceneSettings, build_scene, make_parts, make_thing
from samurai_batch.synthetic.suites import MEASURED_SEED
from samurai_batch.synthetic.things import Doubles, Part, Thing, through

NUM_CLIPS, NUM_FRAMES, SIZE = 24, 120, 256
LEAST_SHARE = 0.0015
"""A thing of which less can be seen, as a share of the frame, is not there: nothing is to be detected or tracked."""

_SEED = 4
_SCENE = SceneSettings(scale=(0.07, 0.14), speed=0.4, camera=0.3, motion_blur=0.0, clutter=(2, 6), articulated=0.2)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How a detector errs: shares of things that are missed, and of false boxes per thing; ``jitter`` is the standard
    deviation of each side of a box, as a share of its width or height.
    """

    missed: float = 0.2
    false: float = 0.05
    jitter: float = 0.05


@dataclass(frozen=True)
class DetectedBox:
    """One box of the detector, in pixels."""

    frame_index: int
    box_xyxy: tuple[float, float, float, float]


def arrivals_clip(index: int, num_frames: int = NUM_FRAMES, size: int = SIZE) -> Clip:
    """Clip ``index`` of the suite, the same on every call."""
    rng = np.random.Generator(np.random.PCG64([MEASURED_SEED, _SEED, index]))
    return render_clip(build_scene(rng, _SCENE, num_frames, size, make_things=_arriving_things), range(num_frames))


def visible_boxes(clip: Clip) -> NDArray[np.float64]:
    """(T, N, 4) tight boxes xyxy of what is visible of each thing, NaN where it is not there."""
    num_frames, num_things = clip.masks.shape[:2]
    boxes = np.full((num_frames, num_things, 4), np.nan)
    for frame, thing in np.argwhere(clip.masks.mean(axis=(2, 3)) >= LEAST_SHARE).tolist():
        rows, columns = np.nonzero(clip.masks[frame, thing])
        boxes[frame, thing] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes


def noisy_detections(boxes: NDArray[np.float64], index: int, every: int, size: int, noise: Noise) -> list[DetectedBox]:
    """What a detector makes of the boxes (T, N, 4) of clip ``index`` on every n-th frame; the same on every call."""
    rng = np.random.Generator(np.random.PCG64([MEASURED_SEED, _SEED, index, 1]))
    found = []
    for frame in range(0, len(boxes), every):
        there = boxes[frame][~np.isnan(boxes[frame]).any(axis=1)]
        sides = np.tile(there[:, 2:] - there[:, :2], 2)
        moved = there + rng.normal(0, noise.jitter, there.shape) * sides
        kept = moved[rng.random(len(moved)) >= noise.missed]
        num_false = rng.binomial(len(there), noise.false)
        corners = rng.uniform(0, 0.8 * size, (num_false, 2))
        false = np.concatenate([corners, corners + rng.uniform(0.08, 0.2, (num_false, 2)) * size], axis=1)
        for x1, y1, x2, y2 in np.clip(np.concatenate([kept, false]), 0, size).tolist():
            if x2 - x1 > 1 and y2 - y1 > 1:
                found.append(DetectedBox(frame, (x1, y1, x2, y2)))
    return found


Way = tuple[list[float], list[Doubles]]


def _arriving_things(context: SceneContext) -> tuple[tuple[Thing, ...], tuple[Role, ...]]:
    """One or two things that stay, and for each kind of event one thing, in random order of depth."""
    rng = context.rng
    stay = [_stay(rng) for _ in range(int(rng.integers(1, 3)))]
    ways: list[Way] = [*stay, _pass_by(rng), _return(rng), _cross(rng, stay[0]), _merge(rng, stay[-1])]
    parts = [make_parts(context, None) for _ in ways]
    if rng.random() < 0.5:
        parts[len(stay) + 2] = parts[0]  # the one that crosses looks like the one that it crosses
    things = [_thing(context, part, way) for part, way in zip(parts, ways, strict=True)]
    order = rng.permutation(len(things)).tolist()
    roles: list[Role] = ["object" for _ in things]
    return tuple(things[place] for place in order), tuple(roles)


def _thing(context: SceneContext, parts: tuple[Part, ...], way: Way) -> Thing:
    times, places = way
    return make_thing(context, parts, through(times, places, context.num_frames), context.rng.uniform(0.07, 0.14))


def _stay(rng: np.random.Generator) -> Way:
    return [0.0, 0.5, 1.0], [rng.uniform(0.25, 0.75, 2) for _ in range(3)]


def _pass_by(rng: np.random.Generator) -> Way:
    """In at one side, out at the opposite one."""
    enters, takes = rng.uniform(0.05, 0.4), rng.uniform(0.35, 0.5)
    one, other = _opposite(rng)
    return [0.0, enters, enters + takes, 1.0], [one, one, other, other]


def _return(rng: np.random.Generator) -> Way:
    """There at first, away for a while, and back from the same side."""
    leaves = rng.uniform(0.2, 0.3)
    outside, _ = _opposite(rng)
    places = [rng.uniform(0.3, 0.7, 2), outside, outside, rng.uniform(0.3, 0.7, 2)]
    return [0.0, leaves, leaves + rng.uniform(0.2, 0.3), 1.0], places


def _cross(rng: np.random.Generator, other: Way) -> Way:
    """In from a side, over the place where another one is, and out."""
    meets = rng.uniform(0.4, 0.6)
    one, far = _opposite(rng)
    place = through(other[0], other[1], 101)[int(meets * 100)]
    return [0.0, meets - 0.3, meets, meets + 0.3, 1.0], [one, one, place, far, far]


def _merge(rng: np.random.Generator, other: Way) -> Way:
    """In from a side, to another one; beside it for a while, half over it; and away."""
    path = through(other[0], other[1], 101) + rng.normal(0, 0.05, 2)
    outside, _ = _opposite(rng)
    return [0.0, 0.1, 0.35, 0.5, 0.65, 1.0], [outside, outside, path[35], path[50], path[65], rng.uniform(0.2, 0.8, 2)]


def _opposite(rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Two places outside the frame, on opposite sides of it."""
    angle = rng.uniform(0, 2 * np.pi)
    step = 0.85 * np.array([np.cos(angle), np.sin(angle)])
    return 0.5 + step, 0.5 - step * rng.uniform(0.95, 1.05)
