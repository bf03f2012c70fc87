"""Encode and decode masks as COCO run lengths (column-major, compressed in the format of pycocotools).

Counts are decoded here, because the decoder of pycocotools reads uninitialised memory if counts end too early, and
warns under numpy 2. Masks from users are checked by `rle_from_coco`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pycocotools.mask as coco
from numpy.typing import NDArray

from samurai_batch.prompts import Rle

MAX_PIXELS = 2**31 - 1
_MASKS_PER_CALL = 200  # pycocotools 2.0.11 under numpy 2 fails on more than 255
_CHARACTERS_PER_RUN = 7  # 5 bits each: more than the 32 bits of a run
_FIRST_OF_SIZE = 1 << np.arange(4, 5 * _CHARACTERS_PER_RUN, 5)  # from here on, a number takes a character more


def encode_mask(mask: NDArray[np.bool_]) -> Rle | None:
    """The run lengths of a (H, W) mask of dtype bool; None if it is empty."""
    assert mask.ndim == 2, mask.shape
    assert mask.dtype == np.bool_, mask.dtype
    if not mask.any():
        return None
    encoded = coco.encode(np.asfortranarray(mask.view(np.uint8)))
    return Rle(mask.shape[0], mask.shape[1], encoded["counts"].decode("ascii"))


def rle_from_changes(changes: NDArray[np.int64], height: int, width: int) -> Rle | None:
    """The same out of the ascending positions, column by column, at which a mask changes: from background on."""
    if not len(changes):
        return None
    runs = np.diff(changes, prepend=0, append=height * width)
    return Rle(height, width, _compressed(runs))


def decode_mask(rle: Rle) -> NDArray[np.bool_]:
    """The (H, W) mask, bool, C order, that `encode_mask` was given."""
    runs = run_lengths(rle.counts)
    column_major = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(column_major.reshape(rle.width, rle.height).T)


def areas_and_boxes(rles: Sequence[Rle]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels of each mask (n,), and its tight COCO box (n, 4): left, top, width, height in whole pixels."""
    areas, boxes = np.zeros(len(rles), np.int64), np.zeros((len(rles), 4))
    for start in range(0, len(rles), _MASKS_PER_CALL):
        part = slice(start, start + _MASKS_PER_CALL)
        encoded = [rle_to_coco(rle) for rle in rles[part]]
        areas[part], boxes[part] = coco.area(encoded), coco.toBbox(encoded)
    return areas, boxes


def box_xywh_of(rle: Rle) -> tuple[int, int, int, int]:
    """The tight COCO box of one mask that is not empty: left, top, width, height in whole pixels."""
    left, top, width, height = map(int, areas_and_boxes([rle])[1][0])
    return left, top, width, height


def mask_overlaps(some: Sequence[Rle], others: Sequence[Rle], of_the_first: bool = False) -> NDArray[np.float64]:
    """IoU of each mask with each of the others, (n, m). ``of_the_first``: share of the first mask."""
    overlaps = np.zeros((len(some), len(others)))
    for start in range(0, len(some), _MASKS_PER_CALL):
        first = [rle_to_coco(rle) for rle in some[start : start + _MASKS_PER_CALL]]
        for column in range(0, len(others), _MASKS_PER_CALL):
            second = [rle_to_coco(rle) for rle in others[column : column + _MASKS_PER_CALL]]
            part = coco.iou(first, second, [of_the_first] * len(second))
            overlaps[start : start + len(first), column : column + len(second)] = part
    return overlaps


def rle_iou(a: Rle | None, b: Rle | None) -> float:
    """IoU of two masks, None if the object is absent: 1 if both are empty, 0 if one is or if their sizes differ."""
    if a == b:
        return 1.0
    if a is None or b is None or (a.height, a.width) != (b.height, b.width):
        return 0.0
    areas, _ = areas_and_boxes([a, b])
    return float(mask_overlaps([a], [b])[0, 0]) if areas.any() else 1.0


def centroid(rle: Rle) -> tuple[float, float]:
    """The mean x, y of a mask's pixels, in pixels; the centre of the first pixel is (0.5, 0.5)."""
    changes = np.cumsum(run_lengths(rle.counts), dtype=np.float64)
    ends = changes[1::2]
    starts = changes[::2][: len(ends)]
    area = float((ends - starts).sum())
    sums = [of_ends - of_starts for of_ends, of_starts in zip(_sums(ends, rle), _sums(starts, rle), strict=True)]
    return float(sums[0].sum()) / area + 0.5, float(sums[1].sum()) / area + 0.5


def _sums(counts: NDArray[np.float64], rle: Rle) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums of columns and of rows over the first pixels in column-major order, for each number of pixels."""
    columns, rest = np.divmod(counts, rle.height)
    of_columns = rle.height * columns * (columns - 1) / 2 + columns * rest
    return of_columns, columns * rle.height * (rle.height - 1) / 2 + rest * (rest - 1) / 2


def rle_to_coco(rle: Rle) -> dict[str, object]:
    """A mask as pycocotools and JSON take it: ``{"size": [height, width], "counts": text}``."""
    return {"size": [rle.height, rle.width], "counts": rle.counts}


def rle_from_coco(value: Mapping[str, object]) -> Rle:
    """The mask in a COCO dict, whose counts may be compressed (text or bytes) or a list of run lengths.

    Raises ValueError, with the reason, if the runs do not cover the mask's size exactly.
    """
    if set(value) != {"size", "counts"}:
        raise ValueError("a COCO mask has the keys size and counts, and no others")
    height, width = _size(value["size"])
    counts = value["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", errors="replace")
    if isinstance(counts, str):
        _check_runs(run_lengths(counts), height, width)
        return Rle(height, width, counts)
    if isinstance(counts, list | tuple | np.ndarray) and all(_is_whole(run) for run in counts):
        runs = [int(run) for run in counts]
        _check_runs(runs, height, width)
        encoded = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
        return Rle(height, width, encoded["counts"].decode("ascii"))
    raise ValueError("counts is neither text nor a list of whole numbers")


def run_lengths(counts: str) -> list[int]:
    """The run lengths, background first, in compressed counts. Raises ValueError if they are damaged.

    The format is that of ``rleFrString`` in the COCO API: six bits a character from "0" on, five of them the
    value, low ones first, the sixth "more follows"; from the fourth run on, the change to the last but one.
    """
    codes = np.frombuffer(counts.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return []
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise ValueError("its counts are not compressed COCO run lengths")
    ends = np.flatnonzero((codes & 0x20) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if sizes.max() > _CHARACTERS_PER_RUN:
        raise ValueError("its counts hold a run that is too long")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, sizes))
    runs = np.add.reduceat((codes & 0x1F) << shifts, starts)
    runs -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * sizes), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    lengths: list[int] = runs.tolist()
    return lengths


def _compressed(runs: NDArray[np.int64]) -> str:
    """Runs as text: what `run_lengths` reads."""
    values = runs.copy()
    values[3:] -= runs[1:-2]
    sizes = 1 + np.searchsorted(_FIRST_OF_SIZE, values ^ (values >> 63), side="right")  # ^: as many bits if negative
    starts = np.cumsum(sizes) - sizes
    text = np.empty(sizes.sum(), np.uint8)
    for place in range(sizes.max()):
        is_last = sizes == place + 1
        text[starts + place] = (values & 0x1F) + np.where(is_last, 48, 48 + 0x20)
        starts, values, sizes = starts[~is_last], values[~is_last] >> 5, sizes[~is_last]
    return text.tobytes().decode("ascii")


def _check_runs(runs: list[int], height: int, width: int) -> None:
    if any(run < 0 for run in runs):
        raise ValueError("its counts hold a negative run")
    if sum(runs) != height * width:
        raise ValueError(f"its runs cover {sum(runs)} pixels, but its size {height} x {width} has {height * width}")


def check_size(height: int, width: int) -> None:
    """Raises ValueError for a size that no picture has, before memory is taken for it."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"its size {height} x {width} is not that of a picture")


def _size(value: object) -> tuple[int, int]:
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != 2 or not all(map(_is_whole, value)):
        raise ValueError("size is not [height, width]")
    height, width = int(value[0]), int(value[1])
    check_size(height, width)
    return height, width


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
