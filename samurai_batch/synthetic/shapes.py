"""Shapes as fields: approximate signed distances to the outline, positive inside, over local coordinates [-1, 1]²."""

from collections.abc import Callable

import numpy as np

from samurai_batch.synthetic.textures import Floats, noise

Outline = Callable[[np.random.Generator, Floats, Floats], Floats]


def _turned(rng: np.random.Generator, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * u + sine * v, cosine * v - sine * u


def _ellipse(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    u, v = _turned(rng, u, v)
    wide = np.float32(rng.uniform(0.6, 0.9))
    narrow = wide * np.float32(rng.uniform(0.35, 1.0))
    return narrow * (1 - np.sqrt((u / wide) ** 2 + (v / narrow) ** 2))


def _box(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    u, v = _turned(rng, u, v)
    wide = np.float32(rng.uniform(0.5, 0.8))
    narrow = wide * np.float32(rng.uniform(0.25, 0.95))
    return np.minimum(wide - np.abs(u), narrow - np.abs(v))


def _polygon(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """A convex polygon of 3 to 7 sides."""
    sides = int(rng.integers(3, 8))
    angles = (np.arange(sides) + rng.uniform(-0.3, 0.3, sides)) * 2 * np.pi / sides + rng.uniform(0, 6.3)
    inside = np.full_like(u, 1.0)
    for angle, reach in zip(angles, rng.uniform(0.45, 0.75, sides), strict=True):
        edge = np.float32(reach) - u * np.float32(np.cos(angle)) - v * np.float32(np.sin(angle))
        inside = np.minimum(inside, edge)
    return inside


def _wavy(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """A blob or a star: a radius that oscillates with the angle."""
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    reach = np.full_like(u, rng.uniform(0.5, 0.65))
    for waves in rng.choice(np.arange(2, 8), 3, replace=False):
        swing = rng.uniform(0.02, 0.5) / waves
        reach += np.float32(swing) * np.sin(np.float32(waves) * angle + np.float32(rng.uniform(0, 6.3)))
    return (reach - radius) * np.float32(0.8)


def _cluster(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """The union of two to four primitives."""
    field = np.full_like(u, -2.0)
    for _ in range(int(rng.integers(2, 5))):
        shift, scale = rng.uniform(-0.45, 0.45, 2).astype(np.float32), np.float32(rng.uniform(0.4, 0.8))
        primitive = (_ellipse, _box, _polygon)[int(rng.integers(3))]
        part = primitive(rng, (u - shift[0]) / scale, (v - shift[1]) / scale) * scale
        field = np.maximum(field, part)
    return field


def _holed(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """A shape with a bite or a hole."""
    shift, scale = rng.uniform(-0.4, 0.4, 2).astype(np.float32), np.float32(rng.uniform(0.25, 0.5))
    hole = _ellipse(rng, (u - shift[0]) / scale, (v - shift[1]) / scale) * scale
    field: Floats = np.minimum(_wavy(rng, u, v), -hole)
    return field


_OUTLINES: tuple[Outline, ...] = (_ellipse, _box, _polygon, _wavy, _wavy, _cluster, _cluster, _holed)


def random_field(rng: np.random.Generator, size: int) -> Floats:
    """A random shape as a field (size, size) float32, sometimes with a rough outline; the rim is always outside."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    u, v = np.meshgrid(axis, axis)
    field = _OUTLINES[int(rng.integers(len(_OUTLINES)))](rng, u, v)
    if rng.random() < 0.4:
        rough = noise(rng, size, int(rng.integers(4, 12)), 3) - 0.5
        field = field + np.float32(rng.uniform(0.05, 0.3)) * rough
    return np.minimum(field, 3 * (0.93 - np.maximum(np.abs(u), np.abs(v)))).astype(np.float32)


def capsule_field(size: int, length: float, start: float, end: float) -> Floats:
    """A limb as a field (size, size) float32: along u from -length to +length, half width from ``start`` to ``end``."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    u, v = np.meshgrid(axis, axis)
    along = np.clip(u, -length, length)
    width = start + (end - start) * (along + length) / (2 * length)
    field: Floats = (width - np.hypot(u - along, v)).astype(np.float32)
    return field


def shade(rng: np.random.Generator, texture: Floats, field: Floats) -> Floats:
    """Shade a texture (size, size, 3) as if the shape were convex and lit from a random side; result in [0, 1]."""
    strength = np.float32(rng.choice([0.0, 0.25, 0.5]))
    if strength == 0:
        return texture
    height = np.sqrt(np.clip(field, 0, 0.5))
    slope_v, slope_u = np.gradient(height, 2 / len(field))
    angle = rng.uniform(0, 2 * np.pi)
    light = np.clip(slope_u * np.float32(np.cos(angle)) + slope_v * np.float32(np.sin(angle)), -1.2, 1.2)
    shaded: Floats = np.clip(texture * (1 + strength * light[..., None]), 0, 1).astype(np.float32)
    return shaded
