"""Frames and models that are identical on every machine; the golden files were made with them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.modeling.configs import MODELS, Sam2Config, VideoModelConfig
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.modeling.untrained import seeded_weights

SMALL = Sam2Config(
    name="test",
    trunk_dim=16,
    trunk_heads=1,
    stages=(1, 1, 2, 1),
    global_att_blocks=(3,),
    window_spec=(8, 4, 4, 4),
    image_size=64,
    hidden_dim=32,
    mem_dim=8,
    memory_layers=2,
    memory_mlp_dim=64,
    decoder_mlp_dim=64,
    decoder_heads=4,
    iou_head_dim=32,
)


def seeded_model(
    config: VideoModelConfig,
    image_size: int,
    seed: int = 0,
    iou_offset: float = 0.0,
    object_offset: float = 0.0,
    running_var: float = 3.0,
    offsets: Mapping[str, float] | None = None,
) -> SAM2:
    """A float64 model with random weights of a fixed seed.

    ``running_var`` is added to that of batch norms, ``offsets`` to weights by suffix of their names.
    """
    model = SAM2(config, image_size)
    offsets = {
        "iou_prediction_head.layers.2.bias": iou_offset,
        "pred_obj_score_head.layers.2.bias": object_offset,
        "running_var": running_var,
        **(offsets or {}),
    }
    drawn = {key: value.shape for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    weights = seeded_weights(drawn, seed, offsets)
    model.load_state_dict(weights, strict=True)
    return model.double().eval()


@cache
def small_model(seed: int = 0, iou_offset: float = 0.0, object_offset: float = 1.0) -> SAM2:
    """A tiny float64 network of the same code, for tests of logic rather than of numbers."""
    return seeded_model(SMALL, 64, seed, iou_offset, object_offset)


def write_frames(folder: Path, count: int, size: int = 64) -> str:
    """Save `deterministic_frames` as a folder of numbered pictures; returns its path."""
    folder.mkdir()
    for index, frame in enumerate(deterministic_frames(count, size)):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return str(folder)


def deterministic_frames(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """(T, size, size, 3): discs moving over a drifting texture, by integer arithmetic; some frames are dark."""
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    frames = np.empty((count, size, size, 3), np.uint8)
    for t in range(count):
        base = (x * (3 + seed % 5) + y * 2 + t * 5) % 256
        frame = np.stack([base, (base * 7 + x) % 256, (x * y // 16 + t * 11) % 256], -1)
        for n, (speed_x, speed_y, radius) in enumerate([(5, 3, 5), (-7, 4, 7), (3, -6, 9)]):
            centre_x = (size // 4 * (n + 1) + speed_x * t + 13 * seed) % size
            centre_y = (size // 5 * (n + 1) + speed_y * t + 7 * seed) % size
            disc = (x - centre_x) ** 2 + (y - centre_y) ** 2 < (size // radius) ** 2
            frame[disc] = [(90 * n + 40) % 256, (60 * n + 3 * t) % 256, (200 - 50 * n) % 256]
        if (t + seed) % 17 in (11, 12):  # a camera that fails for two frames
            frame //= 16
        if (t + seed) % 23 == 19:  # a hard cut
            frame = 255 - frame[::-1, ::-1]
        frames[t] = frame
    return frames


def normalised(frame: NDArray[np.uint8], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W), normalised by ImageNet mean and standard deviation."""
    pixels = torch.from_numpy(frame.astype(np.float64)).permute(2, 0, 1)[None] / 255
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    return ((pixels - mean) / deviation).to(dtype)


__all__ = ["MODELS", "SMALL", "deterministic_frames", "normalised", "seeded_model", "small_model"]
