"""Smooth random motion: one value per frame, by seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def wander(rng: np.random.Generator, num_frames: int, amount: float, per_frame: float) -> Doubles:
    """A slow zero-mean swing of about ``amount``; ``per_frame`` cycles go by in one frame, at most."""
    frames = np.arange(num_frames)
    total = np.zeros(num_frames)
    for share in (0.25, 0.5, 1.0):
        total += np.sin(2 * np.pi * per_frame * share * frames + rng.uniform(0, 2 * np.pi)) * rng.normal()
    return amount * total / 2


def through(times: Sequence[float], points: Sequence[Doubles], num_frames: int) -> Doubles:
    """(num_frames, 2) positions that pass ``points`` at ``times`` (0 to 1 over the clip), easing a little."""
    clock = np.linspace(0, 1, num_frames) if num_frames > 1 else np.zeros(1)
    knots = np.asarray(points, dtype=np.float64)
    index = np.clip(np.searchsorted(times, clock, side="right") - 1, 0, len(times) - 2)
    start, span = np.asarray(times)[index], np.diff(times)[index]
    fraction = np.clip((clock - start) / np.maximum(span, 1e-9), 0, 1)
    eased = 0.5 * fraction + 0.5 * fraction * fraction * (3 - 2 * fraction)
    path: Doubles = knots[index] + (knots[index + 1] - knots[index]) * eased[:, None]
    return path


@dataclass(frozen=True)
class Camera:
    """Where the view is, per frame: all arrays have one row per frame.

    ``centre`` (T, 2) in world units (1 = the frame's side), ``zoom`` (T,), ``angle`` (T,) in radians, ``jitter`` (T, 2)
    in frame sides, ``light`` (T, 3) gains on the colours.
    """

    centre: Doubles
    zoom: Doubles
    angle: Doubles
    jitter: Doubles
    light: Doubles


def random_camera(rng: np.random.Generator, num_frames: int, amount: float, lighting: float) -> Camera:
    """Pan, zoom, rotation, shake and changing light; ``amount`` 0 is a tripod, 1 a lively hand."""
    moving = amount * float(rng.choice([0.0, 0.3, 1.0, 1.0]))
    velocity = rng.normal(0, 0.010, 2) * moving
    frames = np.arange(num_frames) - num_frames / 2
    centre = 0.5 + velocity * frames[:, None]
    centre = centre + np.stack([wander(rng, num_frames, 0.05 * moving, 0.05) for _ in range(2)], axis=1)
    zoom = np.exp(rng.normal(0, 0.008) * moving * frames + wander(rng, num_frames, 0.06 * moving, 0.04))
    angle = rng.normal(0, 0.006) * moving * frames + wander(rng, num_frames, 0.06 * moving, 0.05)
    shake = float(rng.choice([0.0, 0.002, 0.006])) * amount
    light = 1 + wander(rng, num_frames, 0.07 * lighting, 0.06)[:, None]
    light = light + np.stack([wander(rng, num_frames, 0.02 * lighting, 0.05) for _ in range(3)], axis=1)
    return Camera(centre, zoom, angle, rng.normal(0, 1, (num_frames, 2)) * shake, light)
