"""Procedural textures (height, width, 3), float32 in [0, 1]."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Field = Callable[[np.random.Generator, int], Floats]

_LUT_SIZE = 256


@lru_cache(maxsize=256)
def _upsampler(size: int, cells: int) -> Floats:
    """Weights (size, cells + 1) that interpolate a row of random knots smoothly to ``size`` samples."""
    position = (np.arange(size) + 0.5) / size * cells
    low = np.minimum(position.astype(np.int64), cells - 1)
    fraction = position - low
    blend = fraction * fraction * (3.0 - 2.0 * fraction)
    weights = np.zeros((size, cells + 1), dtype=np.float32)
    weights[np.arange(size), low] = 1.0 - blend
    weights[np.arange(size), low + 1] += blend
    return weights


def noise(rng: np.random.Generator, size: int, cells: int, octaves: int, gain: float = 0.55) -> Floats:
    """Value noise (size, size) float32 of several octaves, scaled to [0, 1]; the first has ``cells`` cells per side."""
    total = np.zeros((size, size), dtype=np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        knots = min(cells * 2**octave, size)
        grid = rng.random((knots + 1, knots + 1), dtype=np.float32)
        weights = _upsampler(size, knots)
        total += np.float32(amplitude) * (weights @ grid @ weights.T)
        amplitude *= gain
    return stretch(total)


def stretch(values: Floats) -> Floats:
    """The values, shifted and scaled to the range [0, 1]."""
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-6)).astype(np.float32)


def _ramp(rng: np.random.Generator, size: int) -> Floats:
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    ramp: Floats = (axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle)).astype(np.float32)
    return ramp


def _clouds(rng: np.random.Generator, size: int) -> Floats:
    return noise(rng, size, int(rng.integers(2, 9)), 4, rng.uniform(0.4, 0.8))


def _gradient(rng: np.random.Generator, size: int) -> Floats:
    return stretch(_ramp(rng, size) + np.float32(rng.uniform(0, 0.8)) * noise(rng, size, 3, 2))


def _stripes(rng: np.random.Generator, size: int) -> Floats:
    warp = np.float32(rng.choice([0.0, 2.0, 5.0])) * noise(rng, size, 3, 2)
    return stretch(np.sin(_ramp(rng, size) * np.float32(rng.uniform(4, 28)) + warp))


def _plaid(rng: np.random.Generator, size: int) -> Floats:
    return stretch(_stripes(rng, size) + _stripes(rng, size) * np.float32(rng.uniform(0.3, 1.0)))


def _spots(rng: np.random.Generator, size: int) -> Floats:
    bumps = noise(rng, size, int(rng.integers(5, 16)), 1)
    threshold = rng.uniform(0.45, 0.65)
    spots: Floats = np.clip((bumps - threshold) * 10 + 0.5, 0, 1).astype(np.float32)
    return spots


def _patches(rng: np.random.Generator, size: int) -> Floats:
    """Voronoi cells of random seeds, each of one level, with wavy borders."""
    count = int(rng.integers(3, 12))
    seeds, levels = rng.uniform(-1, 1, (count, 2)), rng.random(count).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    wobble = 0.3 * (noise(rng, size, 4, 2) - 0.5)
    best, level = np.full((size, size), np.inf, dtype=np.float32), np.zeros((size, size), dtype=np.float32)
    for (x, y), value in zip(seeds.astype(np.float32), levels, strict=True):
        distance = (axis[None, :] - x + wobble) ** 2 + (axis[:, None] - y - wobble) ** 2
        nearer = distance < best
        best[nearer] = distance[nearer]
        level[nearer] = value
    return level


FIELDS: tuple[Field, ...] = (_clouds, _clouds, _gradient, _stripes, _plaid, _spots, _patches)


def random_palette(rng: np.random.Generator) -> Floats:
    """Matching colours (n, 3) float32: some palettes around one hue, some mixed, most of low saturation."""
    count = int(rng.integers(2, 6))
    base, spread = rng.uniform(0.08, 0.92, 3), rng.choice([0.08, 0.2, 0.45])
    saturation = rng.beta(1.2, 1.6)
    grey = np.clip(base.mean() + rng.uniform(-0.45, 0.45, (count, 1)) * rng.uniform(0.2, 1.0), 0, 1)
    colours = grey + saturation * (base - base.mean() + rng.uniform(-spread, spread, (count, 3)))
    palette: Floats = np.clip(colours, 0.0, 1.0).astype(np.float32)
    return palette


def colourise(values: Floats, palette: Floats) -> Floats:
    """Map values (h, w) in [0, 1] to colours (h, w, 3), interpolated between the entries of a palette."""
    positions = np.linspace(0, len(palette) - 1, _LUT_SIZE)
    table = np.stack([np.interp(positions, np.arange(len(palette)), column) for column in palette.T], axis=1)
    return table.astype(np.float32).take((values * (_LUT_SIZE - 1)).astype(np.int32), axis=0)


def photograph_crop(rng: np.random.Generator, photographs: Sequence[Bytes], size: int) -> Floats:
    """A random square crop (size, size, 3) of a random photograph, randomly flipped, rotated and recoloured."""
    photograph = photographs[int(rng.integers(len(photographs)))]
    side = int(rng.uniform(min(size, *photograph.shape[:2]) * 0.6, min(photograph.shape[:2])))
    top, left = (int(rng.integers(0, full - side + 1)) for full in photograph.shape[:2])
    index = np.arange(size) * side // size
    crop = photograph[top + index[:, None], left + index[None, :]].astype(np.float32) / 255
    crop = np.rot90(crop, int(rng.integers(4)))[:, :: int(rng.choice([-1, 1]))]
    mixing = np.eye(3, dtype=np.float32) + rng.normal(0, 0.2, (3, 3)).astype(np.float32)
    return np.clip(crop @ mixing * np.float32(rng.uniform(0.7, 1.3)), 0, 1).astype(np.float32)


def random_texture(
    rng: np.random.Generator, size: int, palette: Floats | None = None, photographs: Sequence[Bytes] = ()
) -> Floats:
    """A random texture (size, size, 3): one or two patterns of a palette with grain, or a crop of a photograph."""
    if photographs and rng.random() < 0.5:
        return photograph_crop(rng, photographs, size)
    palette = random_palette(rng) if palette is None else palette
    texture = colourise(FIELDS[int(rng.integers(len(FIELDS)))](rng, size), palette)
    if rng.random() < 0.6:
        other = colourise(FIELDS[int(rng.integers(len(FIELDS)))](rng, size), palette[::-1])
        share = np.clip((noise(rng, size, 3, 2) - np.float32(rng.uniform(0.2, 0.7))) * 6, 0, 1)[..., None]
        texture = texture * (1 - share) + other * share
    fine = max(size // int(rng.integers(2, 9)), 2)
    grain = (noise(rng, size, fine, 2) - 0.5) * np.float32(rng.choice([0.05, 0.15, 0.35]))
    return np.clip(texture + grain[..., None], 0, 1).astype(np.float32)
