import json

import numpy as np
import pycocotools.mask as coco
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.prompts import Rle
from samurai_batch.rle import (
    areas_and_boxes,
    decode_mask,
    encode_mask,
    rle_from_coco,
    rle_to_coco,
    run_lengths,
)

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
large_masks = st.tuples(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random((drawn[0], drawn[1])) > 0.001
)

pycocotools_under_numpy_2 = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def runs_by_hand(mask: NDArray[np.bool_]) -> list[int]:
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0))
    return [int(run) for run in np.diff([0, *edges, flat.size])]


@given(masks)
def test_a_mask_comes_back_as_it_was(mask: NDArray[np.bool_]) -> None:
    rle = encode_mask(mask)
    if rle is None:
        assert not mask.any()
        return
    decoded = decode_mask(rle)
    assert decoded.dtype == np.bool_
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, mask)


@given(masks)
def test_memory_order_and_strides_of_a_mask_make_no_difference(mask: NDArray[np.bool_]) -> None:
    flipped = mask[::-1, ::-1]
    assert encode_mask(flipped) == encode_mask(flipped.copy())
    assert encode_mask(np.asfortranarray(mask)) == encode_mask(mask)


@given(large_masks)
def test_run_lengths_are_those_counted_by_hand(mask: NDArray[np.bool_]) -> None:
    rle = encode_mask(mask)
    assert rle is not None
    assert run_lengths(rle.counts) == runs_by_hand(mask)
    assert rle_from_coco(rle_to_coco(rle)) == rle


@given(masks)
def test_area_and_box_are_those_of_the_pixels(mask: NDArray[np.bool_]) -> None:
    rle = encode_mask(mask)
    areas, boxes = areas_and_boxes([] if rle is None else [rle])
    assert areas.tolist() == ([] if rle is None else [int(mask.sum())])
    boxes[:, 2:] += boxes[:, :2]
    assert [tuple(box) for box in boxes.tolist()] == ([] if rle is None else [mask_box_xyxy(mask)])


def test_more_masks_than_pycocotools_takes_at_once_are_measured() -> None:
    rle = encode_mask(np.ones((3, 2), np.bool_))
    assert rle is not None
    areas, boxes = areas_and_boxes([rle] * 1000)
    assert areas.tolist() == [6] * 1000
    assert boxes.tolist() == [[0, 0, 2, 3]] * 1000


def test_an_rle_survives_json() -> None:
    rle = encode_mask(np.eye(7, dtype=np.bool_))
    assert rle is not None
    assert rle_from_coco(json.loads(json.dumps(rle_to_coco(rle)))) == rle


@given(masks)
def test_plain_run_lengths_mean_the_same_as_compressed_ones(mask: NDArray[np.bool_]) -> None:
    rle = rle_from_coco({"size": list(mask.shape), "counts": runs_by_hand(mask)})
    np.testing.assert_array_equal(decode_mask(rle), mask)


@pycocotools_under_numpy_2
@given(masks)
def test_pycocotools_decodes_to_the_same_mask(mask: NDArray[np.bool_]) -> None:
    rle = encode_mask(mask)
    if rle is not None:
        np.testing.assert_array_equal(coco.decode(rle_to_coco(rle)), mask)


@given(st.text(st.characters(codec="ascii"), max_size=12) | st.text(max_size=5) | st.binary(max_size=8))
@pycocotools_under_numpy_2
def test_counts_are_refused_or_mean_what_pycocotools_takes_them_for(counts: str | bytes) -> None:
    try:
        rle = rle_from_coco({"size": [3, 4], "counts": counts})
    except ValueError:
        return
    np.testing.assert_array_equal(coco.decode(rle_to_coco(rle)), decode_mask(rle))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"size": [3, 4]}, "keys size and counts"),
        ({"size": [3, 4], "counts": "<", "iscrowd": 0}, "keys size and counts"),
        ({"size": [3], "counts": "<"}, "not \\[height, width\\]"),
        ({"size": [3, True], "counts": "<"}, "not \\[height, width\\]"),
        ({"size": "34", "counts": "<"}, "not \\[height, width\\]"),
        ({"size": [0, 4], "counts": ""}, "not that of a picture"),
        ({"size": [2**20, 2**20], "counts": ""}, "not that of a picture"),
        ({"size": [3, 4], "counts": ""}, "cover 0 pixels"),
        ({"size": [3, 4], "counts": "0"}, "cover 0 pixels"),
        ({"size": [4, 3], "counts": [1, 2, 3]}, "cover 6 pixels"),
        ({"size": [3, 4], "counts": [13, -1]}, "negative run"),
        ({"size": [3, 4], "counts": "l0o"}, "not compressed COCO"),
        ({"size": [3, 4], "counts": "oooooooooooo0"}, "too long"),
        ({"size": [3, 4], "counts": [1.5]}, "neither text nor"),
        ({"size": [3, 4], "counts": 12}, "neither text nor"),
    ],
)
def test_a_coco_mask_that_cannot_be_is_refused_with_its_reason(value: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rle_from_coco(value)


def test_an_empty_mask_has_no_run_lengths() -> None:
    assert encode_mask(np.zeros((4, 5), np.bool_)) is None
    assert decode_mask(Rle(4, 5, rle_from_coco({"size": [4, 5], "counts": [20]}).counts)).sum() == 0
