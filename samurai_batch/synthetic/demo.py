"""The clip of the demonstration: two look-alikes that cross, and something that hides the first for a while."""

import numpy as np

from samurai_batch.synthetic.clip import Clip, render_clip
from samurai_batch.synthetic.motion import Doubles, through
from samurai_batch.synthetic.scene import Studio, build_scene, make_parts, make_thing
from samurai_batch.synthetic.settings import MEASURED_SEED, Role, SceneSettings
from samurai_batch.synthetic.things import Thing, simple_parts

_SCENE = SceneSettings(articulated=0.0, clutter=(3, 6), camera=0.6, motion_blur=0.0, speed=0.5)
_SEED = 8


def demo_clip(num_frames: int = 48, size: int = 256) -> Clip:
    """Things 0 and 1 are alike; they cross in the first half, in the second thing 0 passes behind an occluder."""
    rng = np.random.Generator(np.random.PCG64([MEASURED_SEED, _SEED]))
    return render_clip(build_scene(rng, _SCENE, num_frames, size, cast=_cast), range(num_frames))


def _cast(studio: Studio) -> tuple[tuple[Thing, ...], tuple[Role, ...]]:
    parts = make_parts(studio, None)
    way = {0.0: (0.15, 0.62), 0.4: (0.42, 0.6), 0.65: (0.62, 0.56), 0.8: (0.66, 0.54), 1.0: (0.88, 0.5)}
    first = make_thing(studio, parts, _path(studio, way), 0.2)
    way = {0.0: (0.75, 0.5), 0.4: (0.42, 0.56), 1.0: (0.15, 0.35)}
    second = make_thing(studio, parts, _path(studio, way), 0.2)
    screen = simple_parts(studio.rng, studio.resolution, None)
    way = {0.0: (0.6, -0.5), 0.4: (0.6, -0.4), 0.65: (0.63, 0.53), 0.8: (0.64, 0.55), 1.0: (0.4, 1.4)}
    before = make_thing(studio, screen, _path(studio, way), 0.36)
    return (second, first, before), ("lookalike", "object", "occluder")


def _path(studio: Studio, way: dict[float, tuple[float, float]]) -> Doubles:
    """Positions per frame from places in frame sides at times from 0 to 1."""
    return through(list(way), [np.array(place) for place in way.values()], studio.num_frames)
