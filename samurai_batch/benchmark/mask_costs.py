"""CPU time of a mask's run lengths: from its pixels, without them, and what is left where a GPU finds the changes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.rle import encode_mask, rle_from_changes
from samurai_batch.tracking.run_lengths import find_changes, make_resizing, positions_of
from samurai_batch.tracking.video_masks import MaskEncoder, fill_holes_on_device, to_video_masks

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}
FILL_HOLE_AREA = 8


@dataclass(frozen=True, kw_only=True)
class MaskCost:
    """CPU seconds of each of ``tracks`` masks of one size, and the bytes of its changes.

    ``pixels_s`` makes and encodes all pixels; ``run_lengths_s`` is what a job does where the network is on the CPU, and
    ``after_gpu_s`` what it does on the CPU where a GPU has found the changes.
    """

    size: str
    tracks: int
    pixels_s: float
    run_lengths_s: float
    after_gpu_s: float
    num_bytes: int


def measure_mask_costs(repeats: int, grid_size: int = 256) -> Iterator[MaskCost]:
    """Costs of 1 and of 8 masks of each size, for logits of grid_size x grid_size cells."""
    for name in SIZES:
        for tracks in (1, 8):
            yield _measure(name, tracks, repeats, grid_size)


def _measure(name: str, tracks: int, repeats: int, grid_size: int) -> MaskCost:
    height, width = SIZES[name]
    logits = torch.stack([rugged_disc(grid_size, seed) for seed in range(tracks)])
    resizing = make_resizing(grid_size, grid_size, height, width, logits.dtype)
    changes = find_changes(fill_holes_on_device(logits, FILL_HOLE_AREA), resizing)
    encoder = MaskEncoder(FILL_HOLE_AREA)

    def from_pixels() -> object:
        return [encode_mask(mask) for mask in to_video_masks(logits, height, width, FILL_HOLE_AREA)]

    def after_gpu() -> object:
        found = positions_of(changes, changes.numbers.numpy())
        return [None if one is None else rle_from_changes(one, height, width) for one in found]

    return MaskCost(
        size=name,
        tracks=tracks,
        pixels_s=_cpu_seconds(from_pixels, repeats) / tracks,
        run_lengths_s=_cpu_seconds(lambda: encoder.start(logits, height, width).rles(), repeats) / tracks,
        after_gpu_s=_cpu_seconds(after_gpu, repeats) / tracks,
        num_bytes=changes.numbers.numel() * changes.numbers.element_size() // tracks,
    )


def rugged_disc(size: int, seed: int) -> Tensor:
    """Logits (size, size) of an object a quarter as wide as the picture and two fifths as high, with an uneven edge."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    bumps = F.interpolate(torch.randn(1, 1, 24, 24, generator=generator), size=(size, size), mode="bicubic")[0, 0]
    grain = torch.randn(size, size, generator=generator)
    return 8 - 70 * torch.hypot(x - 0.5, 0.6 * (y - 0.45)) + 3 * bumps + 0.3 * grain


def _cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """The minimum of all repeats, because other processes can only add to it."""
    work()
    seconds = []
    for _ in range(repeats):
        start_s = time.process_time()
        work()
        seconds.append(time.process_time() - start_s)
    return min(seconds)
