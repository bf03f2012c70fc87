"""Fixed clips: three suites for measuring, and the clip of the demo. Training does not use their seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from samurai_batch.synthetic.clip import Clip, generate_clip, render_clip
from samurai_batch.synthetic.scene import Role, SceneContext, SceneSettings, build_scene, make_parts, make_thing
from samurai_batch.synthetic.things import Doubles, Thing, simple_parts, through

MEASURED_SEED = 900_000  # first word of the seeds of these clips; training's seeds start with another
SUITE_FRAMES, SUITE_SIZE = 24, 256

_MIX = SceneSettings(objects=(1, 1), leave=0.2, hiding=0.25)
_DEMO = SceneSettings(articulated=0.0, clutter=(3, 6), camera=0.6, motion_blur=0.0, speed=0.5)
_DEMO_SEED = 28


@dataclass(frozen=True)
class Suite:
    """``num_clips`` clips of one difficulty; the object to track is the first thing of each clip."""

    name: str
    scene: SceneSettings
    seed: int
    num_clips: int = 24

    def clip(self, index: int) -> Clip:
        """Clip ``index``, 24 frames of 256 × 256 pixels, the same on every call."""
        return generate_clip((MEASURED_SEED, self.seed, index), self.scene, SUITE_FRAMES, SUITE_SIZE)

    def clips(self) -> Iterator[Clip]:
        """All clips, one after the other."""
        return (self.clip(index) for index in range(self.num_clips))


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("mix", _MIX, seed=1),
        Suite("distractors", replace(_MIX, lookalikes=(1, 3), crossing=1.0, leave=0.0, hiding=0.0), seed=2),
        Suite("occlusion", replace(_MIX, lookalikes=(0, 0), leave=0.0, hiding=1.0, occluders=(1, 2)), seed=3),
    )
}


def demo_clip(num_frames: int = 48, size: int = 256) -> Clip:
    """Two look-alikes, things 0 and 1, cross in the first half; then an occluder passes in front of thing 0."""
    rng = np.random.Generator(np.random.PCG64([MEASURED_SEED, _DEMO_SEED]))
    return render_clip(build_scene(rng, _DEMO, num_frames, size, make_things=_demo_things), range(num_frames))


def _demo_things(context: SceneContext) -> tuple[tuple[Thing, ...], tuple[Role, ...]]:
    parts = make_parts(context, None)
    way = {0.0: (0.15, 0.62), 0.4: (0.42, 0.6), 0.65: (0.62, 0.56), 0.8: (0.66, 0.54), 1.0: (0.88, 0.5)}
    first = make_thing(context, parts, _path(context, way), 0.2)
    way = {0.0: (0.75, 0.5), 0.4: (0.42, 0.56), 1.0: (0.15, 0.35)}
    second = make_thing(context, parts, _path(context, way), 0.2)
    screen = simple_parts(context.rng, context.resolution, None)
    way = {0.0: (0.6, -0.5), 0.4: (0.6, -0.4), 0.65: (0.63, 0.53), 0.8: (0.64, 0.55), 1.0: (0.4, 1.4)}
    before = make_thing(context, screen, _path(context, way), 0.36)
    return (second, first, before), ("lookalike", "object", "occluder")


def _path(context: SceneContext, way: dict[float, tuple[float, float]]) -> Doubles:
    """Positions (T, 2), in frame sides, on a path through the given places at the given times (0 to 1)."""
    return through(list(way), [np.array(place) for place in way.values()], context.num_frames)
