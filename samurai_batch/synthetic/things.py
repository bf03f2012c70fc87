"""Things, drawn in front of the background: textured parts with a position, a size and an angle on every frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samurai_batch.synthetic.shapes import capsule_field, random_field, shade
from samurai_batch.synthetic.textures import Bytes, Floats, random_palette, random_texture

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One textured shape of a thing.

    ``sprite`` (R, R, 4) float32 is colour in [0, 1] and the shape's field (`shapes`). In the thing's coordinates, in
    which it extends to about ±1, the part rotates about ``pivot`` by ``angle`` + ``swing``·sin(phase + pace·frame)
    radians; its centre is at distance ``reach`` from the pivot along its u axis, and the sprite covers ±``half_size``.
    """

    sprite: Floats
    half_size: tuple[float, float] = (1.0, 1.0)
    pivot: tuple[float, float] = (0.0, 0.0)
    reach: float = 0.0
    angle: float = 0.0
    swing: float = 0.0
    pace: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Bend:
    """Deformation by a travelling wave: ``depth`` (local units), ``waves`` (rad per unit), ``pace`` (rad/frame)."""

    depth: float
    waves: float
    pace: float
    phase: float


@dataclass(frozen=True)
class Thing:
    """Parts, back to front, and their motion over T frames.

    ``position`` (T, 2) is x, y in frame sides, for a camera at rest; ``scale`` (T,) half the size in frame sides;
    ``angle`` (T,) in radians; ``stretch`` the ratio of width to height. An ``anchored`` thing moves with the background
    when the camera pans. ``light`` (3,) are gains on its colours.
    """

    parts: tuple[Part, ...]
    bend: Bend | None
    position: Doubles
    scale: Doubles
    angle: Doubles
    stretch: float
    anchored: bool
    light: Floats


def _sprite(rng: np.random.Generator, field: Floats, palette: Floats | None, photographs: Sequence[Bytes]) -> Floats:
    texture = shade(rng, random_texture(rng, len(field), palette, photographs), field)
    return np.concatenate([texture, field[..., None]], axis=2, dtype=np.float32)


def simple_parts(
    rng: np.random.Generator, resolution: int, palette: Floats | None, photographs: Sequence[Bytes] = ()
) -> tuple[Part, ...]:
    """One shape with up to two smaller ones of other textures on it."""
    parts = [Part(_sprite(rng, random_field(rng, resolution), palette, photographs))]
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        patch = _sprite(rng, random_field(rng, resolution // 2), random_palette(rng), photographs)
        half_size = rng.uniform(0.2, 0.45)
        parts.append(
            Part(
                patch,
                half_size=(half_size, half_size * rng.uniform(0.6, 1.0)),
                pivot=(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4)),
                angle=rng.uniform(0, 6.3),
                swing=rng.uniform(0, 0.5),
                pace=rng.uniform(0.05, 0.3),
            )
        )
    return tuple(parts)


def _limb(
    rng: np.random.Generator,
    resolution: int,
    palette: Floats,
    photographs: Sequence[Bytes],
    pivot: tuple[float, float],
    angle: float,
) -> Part:
    field = capsule_field(resolution, 0.6, rng.uniform(0.2, 0.36), rng.uniform(0.12, 0.3))
    length = rng.uniform(0.25, 0.5)
    return Part(
        _sprite(rng, field, palette, photographs),
        half_size=(length, length * rng.uniform(0.8, 1.6)),
        pivot=pivot,
        reach=length * 0.6,
        angle=angle,
        swing=rng.uniform(0.1, 0.9),
        pace=rng.uniform(0.1, 0.6),
        phase=rng.uniform(0, 6.3),
    )


def articulated_parts(rng: np.random.Generator, resolution: int, photographs: Sequence[Bytes] = ()) -> tuple[Part, ...]:
    """A body with a head and two to six swinging limbs, clothed in two or three palettes."""
    clothes = [random_palette(rng) for _ in range(3)]
    wide, high = rng.uniform(0.35, 0.8), rng.uniform(0.4, 0.7)
    body = Part(_sprite(rng, random_field(rng, resolution), clothes[0], photographs), half_size=(wide, high))
    limbs = []
    for index in range(int(rng.integers(2, 7))):
        side = -1 if index % 2 else 1
        upper = index // 2 == 1
        pivot = (side * wide * rng.uniform(0.2, 0.7), high * (-0.4 if upper else 0.5))
        angle = np.pi / 2 - side * rng.uniform(0.0, 1.4 if upper else 0.5)
        limbs.append(_limb(rng, resolution // 2, clothes[1 + upper], photographs, pivot, angle))
    head_size = rng.uniform(0.18, 0.32)
    head = Part(
        _sprite(rng, random_field(rng, resolution // 2), clothes[2], photographs),
        half_size=(head_size, head_size * rng.uniform(0.9, 1.4)),
        pivot=(rng.uniform(-0.6, 0.6) * wide, -high * 0.7),
        reach=head_size * 0.7,
        angle=-np.pi / 2 + rng.uniform(-0.6, 0.6),
        swing=rng.uniform(0, 0.4),
        pace=rng.uniform(0.05, 0.3),
    )
    num_back = len(limbs) // 2
    return (*limbs[:num_back], body, *limbs[num_back:], head)


def wander(rng: np.random.Generator, num_frames: int, amount: float, per_frame: float) -> Doubles:
    """A slow random oscillation (T,) around 0 of about ``amount``, with up to ``per_frame`` cycles per frame."""
    frames = np.arange(num_frames)
    total = np.zeros(num_frames)
    for share in (0.25, 0.5, 1.0):
        total += np.sin(2 * np.pi * per_frame * share * frames + rng.uniform(0, 2 * np.pi)) * rng.normal()
    return amount * total / 2


def through(times: Sequence[float], points: Sequence[Doubles], num_frames: int) -> Doubles:
    """Positions (num_frames, 2) on a path through ``points`` at ``times`` (0 to 1 over the clip), slightly eased."""
    clock = np.linspace(0, 1, num_frames) if num_frames > 1 else np.zeros(1)
    knots = np.asarray(points, dtype=np.float64)
    index = np.clip(np.searchsorted(times, clock, side="right") - 1, 0, len(times) - 2)
    start, span = np.asarray(times)[index], np.diff(times)[index]
    fraction = np.clip((clock - start) / np.maximum(span, 1e-9), 0, 1)
    eased = 0.5 * fraction + 0.5 * fraction * fraction * (3 - 2 * fraction)
    path: Doubles = knots[index] + (knots[index + 1] - knots[index]) * eased[:, None]
    return path
