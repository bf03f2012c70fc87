"""Label Studio's run lengths: there and back, and as Label Studio's own converter reads and writes them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from samurai_batch.exports.brush_rle import decode_brush, encode_brush

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


@given(masks)
def test_a_mask_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 64, 65, 16384, 16385])
def test_runs_of_any_length_come_back(length: int) -> None:
    mask = np.zeros((3, length), np.bool_)
    mask[1] = True
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


def test_the_converter_of_label_studio_reads_what_is_written_and_the_other_way() -> None:
    brush: Any = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    mask = np.random.default_rng(0).random((40, 70)) < 0.3
    mask[10:30, 20:60] = True
    decoded = brush.decode_rle(encode_brush(mask)).reshape(40, 70, 4)
    np.testing.assert_array_equal(decoded[..., 3] > 0, mask)
    np.testing.assert_array_equal(decode_brush(brush.mask2rle(mask.astype(np.uint8) * 255), 40, 70), mask)


def test_lists_of_values_and_half_transparent_pixels_are_read() -> None:
    # Two pixels: 8 values, one list of 8 with 8-bit counts; the first is opaque enough, the second is not.
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + f"010{7:08b}"
    bits += "".join(f"{value:08b}" for value in (1, 2, 3, 128, 255, 255, 255, 127))
    padded = bits + "0" * (-len(bits) % 8)
    data = list(int(padded, 2).to_bytes(len(padded) // 8, "big"))
    assert decode_brush(data, 1, 2).tolist() == [[True, False]]


@pytest.mark.parametrize("data", [[], [1], [0, 0, 0, 8], [300], ["a"], encode_brush(np.ones((2, 2), np.bool_))[:-3]])
def test_damaged_bytes_are_refused(data: list[Any]) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode_brush(data, 2, 2)
