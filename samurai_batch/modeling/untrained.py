"""Random weights for tests and trials; their masks mean nothing."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

# Larger last layers of the score heads, so that scores fall on both sides of the tracker's thresholds.
_GAINS = {"iou_prediction_head.layers.2.weight": 3.0, "pred_obj_score_head.layers.2.weight": 4.0}
_EMBEDDINGS = ("pos_embed", "tpos", "no_", "point_embed", "not_a_point", "_token")


def seeded_weights(
    shapes: Mapping[str, Sequence[int]], seed: int = 0, offsets: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Random float32 weights for every key, each from a generator (PCG64) seeded by ``seed`` and the key.

    They are the same on every platform and do not depend on the order of the keys. ``offsets`` maps suffixes of keys to
    a value that is added. The golden numbers of the tests were computed with such weights.
    """
    return {key: _draw(key, tuple(shape), seed, offsets or {}) for key, shape in shapes.items()}


def _draw(key: str, shape: tuple[int, ...], seed: int, offsets: Mapping[str, float]) -> Tensor:
    generator = np.random.default_rng([seed, zlib.crc32(key.encode())])
    noise = torch.from_numpy(generator.standard_normal(shape)).to(torch.float32)
    value = _scale(key, noise)
    for suffix, gain in _GAINS.items():
        if key.endswith(suffix):
            value = value * gain
    for suffix, offset in offsets.items():
        if key.endswith(suffix):
            value = value + offset
    return value


def _scale(key: str, noise: Tensor) -> Tensor:
    if noise.ndim <= 1:
        if key.endswith("gamma"):
            return 0.5 + 0.1 * noise
        return 1.0 + 0.1 * noise if key.endswith("weight") else 0.05 * noise
    if "gaussian_matrix" in key:
        return noise
    if any(part in key for part in _EMBEDDINGS):
        return 0.3 * noise
    return noise * 1.2 / math.sqrt(noise[0].numel())
