"""Candidates' masks in the video's pixels, against PyTorch's resizing of the whole frame."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.tracking.candidate_masks import CandidateMasks, Extent, crop_of, extents_of, measure
from samurai_batch.tracking.distractors import has_distractor, iou_within, union_box_iou


def candidates(seed: int, offset: float, cells: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 5, 5, generator=generator, dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, size=(cells, cells), mode="bicubic")[0] + offset


sizes = st.tuples(st.integers(3, 90), st.integers(3, 90))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), offset=st.sampled_from([-2.5, -1.5, -0.5, 1.5]), size=sizes)
def test_a_crop_holds_the_pixels_of_the_whole_mask(seed: int, offset: float, size: tuple[int, int]) -> None:
    logits = candidates(seed, offset)
    whole = (resize_logits(logits[None], *size) > 0)[0].numpy()
    for one, expected in zip(logits, whole, strict=True):
        crop = crop_of(one.numpy(), *size)
        assert (crop is None) == (not bool((one > 0).any()))
        pasted = np.zeros(size, bool)
        if crop is not None:
            height, width = crop.pixels.shape
            pasted[crop.top : crop.top + height, crop.left : crop.left + width] = crop.pixels
        np.testing.assert_array_equal(pasted, expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), offset=st.sampled_from([-2.5, -1.5, -0.5]), size=sizes)
def test_a_device_measures_what_the_host_does(seed: int, offset: float, size: tuple[int, int]) -> None:
    logits = candidates(seed, offset)
    masks = CandidateMasks(lambda: logits, *size)
    measured = extents_of(measure(logits[None], *size).double().flatten().tolist())
    assert measured == [masks.extent(index) for index in range(3)]
    given_extents = CandidateMasks(lambda: pytest.fail("the logits are not needed"), *size, measured)
    assert given_extents.extent(1) == measured[1]


def test_a_mask_without_a_pixel_in_a_small_video_is_visible_and_has_no_area() -> None:
    logits = torch.full((1, 64, 64), -5.0, dtype=torch.float64)
    logits[0, 3, 3] = 1.0
    assert CandidateMasks(lambda: logits, 8, 8).extent(0) == Extent(True, 0, (0.0, 0.0, 0.0, 0.0))


def lowest_box_iou(masks: np.ndarray, chosen: int) -> float | None:
    """The rule word by word, on whole masks (3, H, W)."""
    found = []
    for other in range(3):
        rest = masks[other] & ~masks[chosen]
        if other == chosen or not rest.any():
            continue
        labels, _ = ndimage.label(rest, structure=np.ones((3, 3)))
        areas = np.bincount(labels.ravel())[1:]
        union = masks[chosen] | (labels == 1 + areas.argmax())
        (own_height, own_width), (height, width) = spans(masks[chosen]), spans(union)
        found.append(1.0 if height <= 1 or width <= 1 else own_height * own_width / (height * width))
    return min(found, default=None)


def spans(mask: np.ndarray) -> tuple[int, int]:
    ys, xs = np.nonzero(mask)
    return int(np.ptp(ys)), int(np.ptp(xs))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    offset=st.sampled_from([-1.5, -1.0, -0.5]),
    size=sizes,
    chosen=st.integers(0, 2),
    limit=st.sampled_from([0.3, 0.7, 0.95]),
)
def test_a_distractor_is_one_by_the_rule_on_whole_masks(
    seed: int, offset: float, size: tuple[int, int], chosen: int, limit: float
) -> None:
    logits = candidates(seed, offset)
    whole = (resize_logits(logits[None], *size) > 0)[0].numpy()
    if not whole[chosen].any():
        return
    masks = CandidateMasks(lambda: logits, *size)
    ious = [union_box_iou(masks, chosen, other) for other in range(3) if other != chosen]
    lowest = min((iou for iou in ious if iou is not None), default=None)
    expected = lowest_box_iou(whole, chosen)
    assert lowest == pytest.approx(expected)
    assert has_distractor(masks, 3, chosen, limit) == (expected is not None and expected <= limit)


def test_boxes_of_one_pixel_are_compared_as_the_authors_do() -> None:
    assert iou_within((3.0, 3.0, 3.0, 3.0), (3.0, 3.0, 4.0, 9.0)) == 1.0
    assert iou_within((3.0, 3.0, 3.0, 3.0), (1.0, 3.0, 4.0, 9.0)) == 0.0
    assert iou_within((0.0, 0.0, 2.0, 4.0), (0.0, 0.0, 4.0, 4.0)) == 0.5
