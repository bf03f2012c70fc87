import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch.evaluation.regions import contour, contour_accuracy, region_similarity, statistics

Mask = NDArray[np.bool_]


def slow_iou(a: Mask, b: Mask) -> float:
    pixels = [(y, x) for y in range(a.shape[0]) for x in range(a.shape[1])]
    union = sum(bool(a[p] or b[p]) for p in pixels)
    return sum(bool(a[p] and b[p]) for p in pixels) / union if union else 1.0


def slow_contour(mask: Mask) -> list[tuple[int, int]]:
    """The definition, pixel by pixel: a pixel differs from its right, lower or lower right neighbour."""
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if y == height - 1:
                neighbours = [(y, x + 1)]
            elif x == width - 1:
                neighbours = [(y + 1, x)]
            inside = [(j, i) for j, i in neighbours if j < height and i < width]
            if any(mask[place] != mask[y, x] for place in inside):
                found.append((y, x))
    return found


def slow_f(predicted: Mask, truth: Mask) -> float:
    """Every contour pixel looks for one of the other contour within the tolerance."""
    tolerance = int(np.ceil(0.008 * np.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
    a, b = slow_contour(predicted), slow_contour(truth)
    if not a or not b:
        return float(len(a) == len(b))

    def share(these: list[tuple[int, int]], those: list[tuple[int, int]]) -> float:
        near = [any((y - j) ** 2 + (x - i) ** 2 <= tolerance**2 for j, i in those) for y, x in these]
        return sum(near) / len(these)

    precision, recall = share(a, b), share(b, a)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    masks = []
    for _ in range(2):
        mask = np.zeros((height, width), np.bool_)
        for _ in range(draw(st.integers(0, 3))):
            y, x = rng.integers(0, height), rng.integers(0, width)
            mask[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] ^= True
        masks.append(mask)
    return masks[0], masks[1]


def disc(height: int, width: int, y: float, x: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:height, :width]
    found: Mask = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    return found


@given(mask_pairs())
@settings(deadline=None, max_examples=150)
def test_region_and_contour_scores_equal_their_definitions_written_out(pair: tuple[Mask, Mask]) -> None:
    predicted, truth = pair
    assert region_similarity(predicted, truth) == pytest.approx(slow_iou(predicted, truth), abs=1e-12)
    assert contour_accuracy(predicted, truth) == pytest.approx(slow_f(predicted, truth), abs=1e-12)
    assert list(zip(*np.nonzero(contour(truth)), strict=True)) == slow_contour(truth)


@pytest.mark.parametrize("shift", [0, 1, 3, 9])
def test_a_tolerance_of_several_pixels_equals_the_definition_too(shift: int) -> None:
    predicted, truth = disc(200, 260, 90, 120 + shift, 40), disc(200, 260, 90, 120, 42)
    assert contour_accuracy(predicted, truth) == pytest.approx(slow_f(predicted, truth), abs=1e-12)


@given(mask_pairs())
@settings(deadline=None)
def test_scores_lie_between_0_and_1_and_do_not_care_which_mask_is_the_truth(pair: tuple[Mask, Mask]) -> None:
    a, b = pair
    for score in (region_similarity, contour_accuracy):
        assert 0 <= score(a, b) <= 1
        assert score(a, b) == pytest.approx(score(b, a))
        assert score(a, a) == 1


def test_two_empty_masks_agree_and_an_empty_one_misses_everything() -> None:
    empty, full = np.zeros((20, 30), np.bool_), disc(20, 30, 10, 10, 5)
    assert (region_similarity(empty, empty), contour_accuracy(empty, empty)) == (1, 1)
    assert (region_similarity(empty, full), contour_accuracy(empty, full)) == (0, 0)
    assert (region_similarity(full, empty), contour_accuracy(full, empty)) == (0, 0)


def test_void_pixels_do_not_count() -> None:
    truth, void = disc(40, 40, 20, 10, 6), np.zeros((40, 40), np.bool_)
    void[:, 25:] = True
    predicted = truth | (void & disc(40, 40, 20, 32, 4))
    assert region_similarity(predicted, truth) < 1
    assert region_similarity(predicted, truth, void) == 1
    assert contour_accuracy(predicted, truth, void) == 1


def test_statistics_of_a_hand_made_sequence() -> None:
    per_frame = np.array([1.0, 0.9, 0.8, 0.6, 0.5, 0.4, 0.2, 0.0])
    # Quarters end on frames round(1, 2.75, 4.5, 6.25, 8) - 1 = 0, 2, 3, 5, 7 and share their borders.
    found = statistics(per_frame)
    assert found.mean == pytest.approx(0.55)
    assert found.recall == pytest.approx(4 / 8)
    assert found.decay == pytest.approx((1.0 + 0.9 + 0.8) / 3 - (0.4 + 0.2 + 0.0) / 3)
