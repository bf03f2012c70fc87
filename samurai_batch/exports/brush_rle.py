"""The run lengths of Label Studio's brush: bits, big end first, over the R, G, B and A of each pixel by row.

32 bits   number of values, 4 for each pixel
5 bits    bits of a value, minus 1
4 x 4     bits of a count, minus 1, of four sizes
then      1 bit: a run, or a list of values; 2 bits: the size of the count; count minus 1; the value or values
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from samurai_batch.rle import check_size

CHANNELS = 4
OPAQUE = 128
"""A pixel is part of the mask if its alpha is at least this."""

_COUNT_BITS = (3, 4, 8, 16)
_VALUE_BITS = 8


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """The bytes of a (H, W) mask: 255 in all channels on the object, 0 beside it."""
    values = mask.ravel()
    changes = np.flatnonzero(np.diff(values)) + 1
    borders = [0, *changes.tolist(), values.size]
    header = [format(CHANNELS * values.size, "032b"), format(_VALUE_BITS - 1, "05b")]
    header += [format(bits - 1, "04b") for bits in _COUNT_BITS]
    blocks = (_run(CHANNELS * (end - start), bool(values[start])) for start, end in pairwise(borders))
    bits = "".join([*header, *blocks])
    padded = bits + "0" * (-len(bits) % 8)
    return list(int(padded, 2).to_bytes(len(padded) // 8, "big"))


def decode_brush(data: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The (H, W) mask in bytes that Label Studio wrote. Raises ValueError if they are damaged or of another size."""
    check_size(height, width)
    values = np.zeros(CHANNELS * height * width, np.uint8)
    place = 0
    for block in _blocks(data, values.size):
        if place + len(block) > values.size:
            raise ValueError(f"its run lengths go beyond {width} x {height} pixels")
        values[place : place + len(block)] = block
        place += len(block)
    return np.asarray(values.reshape(height, width, CHANNELS)[..., 3] >= OPAQUE)


def _run(length: int, is_object: bool) -> str:
    """Blocks for ``length`` equal values; the longest count has 16 bits."""
    longest = 2 ** _COUNT_BITS[-1]
    value = "1" * _VALUE_BITS if is_object else "0" * _VALUE_BITS
    blocks = []
    while length > 0:
        count = min(length, longest)
        size = next(place for place, bits in enumerate(_COUNT_BITS) if count <= 2**bits)
        blocks.append(f"1{size:02b}{count - 1:0{_COUNT_BITS[size]}b}{value}")
        length -= count
    return "".join(blocks)


def _blocks(data: Sequence[int], num_values: int) -> Iterator[NDArray[np.uint8]]:
    """The values of each block, until there are ``num_values``."""
    try:
        bits = "".join(f"{byte:08b}" for byte in bytes(data))
        if int(bits[:32], 2) != num_values:
            raise ValueError(f"it has {int(bits[:32], 2)} values, but its picture {num_values}")
        value_bits = int(bits[32:37], 2) + 1
        count_bits = [int(bits[start : start + 4], 2) + 1 for start in range(37, 53, 4)]
        at, done = 53, 0
        while done < num_values:
            size = count_bits[int(bits[at + 1 : at + 3], 2)]
            count = int(bits[at + 3 : at + 3 + size], 2) + 1
            start = at + 3 + size
            num_read = 1 if bits[at] == "1" else count
            at = start + num_read * value_bits
            read = [int(bits[place : place + value_bits], 2) for place in range(start, at, value_bits)]
            yield np.array(read * (count if num_read == 1 else 1), np.uint8)
            done += count
    except (IndexError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"its brush is damaged ({error})") from error
