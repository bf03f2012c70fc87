"""Run lengths made without pixels are those of the pixels, and holes filled on a device are those found on the CPU."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.prompts import Rle
from samurai_batch.rle import decode_mask, encode_mask, rle_from_changes
from samurai_batch.tracking import run_lengths, video_masks
from samurai_batch.tracking.run_lengths import (
    CHANGES_PER_COLUMN,
    Changes,
    Resizing,
    can_resize,
    find_changes,
    find_changes_of_one,
    make_resizing,
    positions_of,
)
from samurai_batch.tracking.video_masks import (
    Download,
    MaskEncoder,
    PendingMasks,
    fill_holes,
    fill_holes_on_device,
    to_video_masks,
)

KINDS = ("smooth", "noise", "whole numbers", "blobs", "thin", "empty", "full", "one cell", "tiny", "not finite")


def logits_of(kind: str, size: tuple[int, int], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits (h, w) of a kind that masks have, or that makes trouble."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(size, generator=generator, dtype=torch.float64)
    coarse = torch.randn((1, 1, 4, 4), generator=generator, dtype=torch.float64)
    smooth = F.interpolate(coarse, size=size, mode="bicubic")[0, 0] * 6
    one_cell = torch.full(size, -8.0, dtype=torch.float64)
    one_cell.view(-1)[seed % math.prod(size)] = 9.5
    made = {
        "smooth": smooth,
        "noise": noise,
        "whole numbers": (noise * 2).round(),
        "blobs": smooth + noise,
        "thin": 0.5 - (smooth - noise / 4).abs(),
        "empty": -1024 + 0 * noise,
        "full": noise.abs() + 0.1,
        "one cell": one_cell,
        "tiny": noise * 1e-38,
        "not finite": torch.where(noise > 1.5, torch.inf, torch.where(noise < -1.5, torch.nan, smooth)),
    }
    return made[kind].to(dtype)


def rles_of_pixels(logits: Tensor, height: int, width: int, fill_hole_area: int) -> list[Rle | None]:
    return [encode_mask(mask) for mask in to_video_masks(logits, height, width, fill_hole_area)]


def as_on_a_device(logits: Tensor, height: int, width: int, fill_hole_area: int, capacity: int | None) -> PendingMasks:
    """What `MaskEncoder.start` does for a GPU, on the CPU."""
    filled = fill_holes_on_device(logits, fill_hole_area) if fill_hole_area else logits
    if not can_resize(logits.shape[1:], height):
        return PendingMasks(logits, height, width, fill_hole_area)
    changes = find_changes(filled, make_resizing(*logits.shape[1:], height, width, logits.dtype), capacity)
    return PendingMasks(logits, height, width, fill_hole_area, ((changes, Download(changes.numbers)),))


sides = st.integers(2, 24)
scales = st.sampled_from([0.2, 0.5, 1.0, 1.3, 4.0, 7.5, 11.2])


@settings(max_examples=300, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    grid=st.tuples(sides, sides),
    scale=st.tuples(scales, scales),
    seed=st.integers(0, 2**32 - 1),
    fill_hole_area=st.sampled_from([0, 1, 8]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@example(["smooth"], (16, 16), (67.5, 120.0), 0, 8, torch.float32)  # 1080p
@example(["blobs", "smooth"], (64, 64), (11.25, 20.0), 1, 8, torch.float32)  # 720p
def test_run_lengths_are_those_of_the_pixels(
    kinds: list[str],
    grid: tuple[int, int],
    scale: tuple[float, float],
    seed: int,
    fill_hole_area: int,
    dtype: torch.dtype,
) -> None:
    logits = torch.stack([logits_of(kind, grid, seed + place, dtype) for place, kind in enumerate(kinds)])
    height, width = (max(1, round(side * factor)) for side, factor in zip(grid, scale, strict=True))
    expected = rles_of_pixels(logits, height, width, fill_hole_area)
    assert MaskEncoder(fill_hole_area).start(logits, height, width).rles() == expected
    for capacity in (0, 20, None):
        assert as_on_a_device(logits, height, width, fill_hole_area, capacity).rles() == expected


def positions(changes: Changes) -> list[Sequence[int] | None]:
    return [None if one is None else one.tolist() for one in positions_of(changes, changes.numbers.numpy())]


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 1920), (1920, 1080), (333, 501)])
@pytest.mark.parametrize("kind", ["smooth", "blobs", "thin", "one cell", "full"])
def test_masks_of_full_size_seldom_need_their_pixels(height: int, width: int, kind: str) -> None:
    """Whatever is unsure takes the long way: this says that the short one is the rule."""
    logits = torch.stack([fill_holes(logits_of(kind, (128, 128), seed), 8) for seed in range(6)])
    resizing = make_resizing(128, 128, height, width, torch.float32)
    expected = rles_of_pixels(logits, height, width, 0)
    on_device = positions(find_changes(logits, resizing))
    alone = [positions(find_changes_of_one(one, resizing))[0] for one in logits]
    assert all(one is not None for one in alone)
    assert [rle_from_changes(np.array(one), height, width) for one in alone] == expected
    sure = [(one, other) for one, other in zip(on_device, alone, strict=True) if one is not None]
    assert len(sure) >= 4
    assert all(one == other for one, other in sure)


def test_what_there_was_no_room_for_is_made_on_the_host() -> None:
    logits = torch.stack([logits_of("smooth", (16, 16), seed) for seed in range(3)])
    resizing = make_resizing(16, 16, 90, 160, torch.float32)
    everything = positions(find_changes(logits, resizing))
    assert None not in everything
    num_entries = int(find_changes(logits, resizing).numbers[0])
    cut = find_changes(logits, resizing, capacity=num_entries)
    assert positions(cut) == [everything[0], None, None]


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (333, 501), (64, 60), (90, 160), (130, 33), (33, 500)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unsure_pixels_are_those_of_pytorchs_own_kernel_or_stay_unsure(
    height: int, width: int, dtype: torch.dtype
) -> None:
    resizing = make_resizing(32, 24, height, width, dtype)
    unsure = replace(resizing, rounding=1e9)  # every pixel
    are_alike = run_lengths._columns_can_be_resized_alone(32, 24, height, width, dtype)
    assert are_alike or min(height, 32 + width) <= 128
    for seed, kind in enumerate(("smooth", "noise", "blobs")):
        logits = logits_of(kind, (32, 24), seed, dtype)
        changes = find_changes_of_one(logits, unsure)
        changes.numbers[1] = 1  # nodes are sure
        (found,) = positions_of(changes, changes.numbers.numpy())
        expected = rles_of_pixels(logits[None], height, width, 0)[0]
        if are_alike:
            assert found is not None
            assert rle_from_changes(found, height, width) == expected
        else:
            assert found is None
        assert find_changes_of_one(logits, resizing).numbers[2:].min() >= 0


def test_where_pytorch_rounds_a_lone_column_otherwise_pixels_stay_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = logits_of("smooth", (32, 24), 0)
    unsure = replace(make_resizing(32, 24, 720, 1280, torch.float32), rounding=1e9)
    monkeypatch.setattr(run_lengths, "_columns_can_be_resized_alone", lambda *_: False)
    assert find_changes_of_one(logits, unsure).numbers[2:].min() < 0
    monkeypatch.setattr(video_masks, "make_resizing", lambda *_: unsure)
    assert MaskEncoder(0).start(logits[None], 720, 1280).rles() == rles_of_pixels(logits[None], 720, 1280, 0)


def test_a_sign_that_rounding_decides_is_unsure() -> None:
    logits = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    changes = find_changes(logits[None], make_resizing(2, 2, 5, 5, torch.float32))
    assert positions(changes) == [None]  # the middle column is 0


def test_positions_of_one_change_are_those_of_a_rectangle() -> None:
    logits = torch.full((8, 8), -5.0)
    logits[2:4, 3:6] = 4.0
    rle = MaskEncoder(0).start(logits[None], 80, 80).rles()[0]
    assert rle is not None
    rows, columns = np.nonzero(decode_mask(rle))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (21, 38, 31, 58)


def test_tables_are_made_once_for_a_size() -> None:
    assert make_resizing(16, 16, 90, 160, torch.float32) is make_resizing(16, 16, 90, 160, torch.float32)


def num_pixels(resizing: Resizing) -> list[int]:
    """Pixels of a column between each two grid rows."""
    return [b - a for a, b in pairwise([*resizing.first.tolist(), resizing.height])]


def test_weights_are_those_of_pytorch() -> None:
    resizing = make_resizing(7, 9, 200, 310, torch.float32)
    logits = torch.randn(7, 9)
    nodes = logits[:, resizing.column] * resizing.low[:, 0] + logits[:, resizing.column + 1] * resizing.high[:, 0]
    torch.testing.assert_close(nodes.float(), resize_logits(logits[None, None], 7, 310)[0, 0])
    columns = resizing.row_weights.permute(0, 2, 1) @ torch.stack((logits[:-1], logits[1:]), 1).double()
    pixels = torch.cat([part[:count] for part, count in zip(columns, num_pixels(resizing), strict=True)])
    torch.testing.assert_close(pixels.float(), resize_logits(logits[None, None], 200, 9)[0, 0])


@settings(max_examples=200, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**32 - 1),
    density=st.floats(0.05, 0.95),
    max_area=st.integers(1, 12),
)
def test_holes_are_filled_on_a_device_as_on_the_cpu(
    grid: tuple[int, int], seed: int, density: float, max_area: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.where(torch.rand(3, *grid, generator=generator) < density, -1.0, 1.0)
    logits[0] *= torch.randn(grid, generator=generator)
    expected = torch.stack([fill_holes(one, max_area) for one in logits])
    torch.testing.assert_close(fill_holes_on_device(logits, max_area), expected, rtol=0, atol=0)


def snake(size: int) -> Tensor:
    """Logits with one winding line of background, one cell wide."""
    logits = torch.ones(size, size)
    logits[::2] = -1
    for row in range(1, size, 2):
        logits[row, -1 if row % 4 == 1 else 0] = -1
    return logits


@pytest.mark.parametrize("max_area", [1, 7, 8, 64])
def test_a_long_winding_part_is_no_hole(max_area: int) -> None:
    logits = snake(31)[None]
    assert torch.equal(fill_holes_on_device(logits, max_area), logits)
    assert torch.equal(fill_holes(logits[0], max_area), logits[0])


def test_masks_are_computed_in_groups_that_bound_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.stack([logits_of("smooth", (16, 16), seed) for seed in range(5)])
    encoder = MaskEncoder(8)
    (together,) = encoder._changes(logits, 90, 160)
    monkeypatch.setattr(video_masks, "MAX_NODES", 2 * 16 * 160)
    groups = list(encoder._changes(logits, 90, 160))
    assert [group.num_masks for group in groups] == [2, 2, 1]
    assert [one for group in groups for one in positions(group)] == positions(together)


def test_large_holes_are_left_to_the_host() -> None:
    logits = logits_of("blobs", (16, 16), 0)[None]
    assert not list(MaskEncoder(video_masks.MAX_AREA_ON_DEVICE + 1)._changes(logits, 90, 160))


def test_on_a_device_nothing_waits_and_no_tensor_of_the_host_is_mixed_in() -> None:
    """PyTorch's "meta" device refuses both."""
    meta = torch.device("meta")
    logits = torch.empty(3, 256, 256, device=meta)
    (changes,) = MaskEncoder(8)._changes(logits, 1080, 1920)
    assert changes.numbers.device == meta
    assert changes.numbers.shape == (2 * 3 + 3 * 1920 * CHANGES_PER_COLUMN,)
    assert changes.numbers.numel() * changes.numbers.element_size() < 3 * 32 * 1024
