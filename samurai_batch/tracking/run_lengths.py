"""Run lengths of masks in the video's pixels, from logits on the S / 4 grid, without making the pixels.

`video_masks.to_video_masks` defines the masks: bilinear resizing by PyTorch on the CPU, then > 0. Here the grid is
resized along x alone, which gives one *node* for each of W columns and h grid rows. Along y, resizing is linear between
two nodes, so the mask changes at most once between them, and only where they differ in sign. That is at a few thousand
places of a mask; only the few pixels there are computed. All sizes are known beforehand, so on a GPU the host does not
wait. The largest array has W x h nodes: no mask of W x H pixels exists at any time.

PyTorch's kernels for this round in ways that differ from CPU to CPU. So sums are computed in float64 here, with the
weights that this PyTorch uses, and compared with a bound on the rounding of any such kernel. A mask with a node or
pixel too close to 0 to be certain of is marked unsure, and the caller makes it by `to_video_masks`. The run lengths are
therefore the same on all devices. Logits that are not finite are unsure as well.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.modeling.pixels import upload

CHANGES_PER_COLUMN = 4
"""Room for changes in what comes back from a device: for each mask so many times its width, shared by all masks."""
MAX_NODES = 2**23
"""Nodes that are computed together: 64 MiB for each of about six arrays, at least one mask's."""

_MAX_ROUNDINGS = {torch.float32: 6, torch.float64: 12}
"""Roundings of at most half an epsilon each that a pixel goes through in PyTorch's kernel: at most five; and here."""
_TINY = 2.0**-100  # added to the bound: products of numbers near the smallest ones lose more than their last digit
_ONE_KERNEL_ABOVE = 128  # PyTorch resizes to sizes of at most this, height + width, by another kernel
_DROPPED, _UNSURE = -1, -2  # in place of a position: not inside its column after all; sign not certain


@dataclass(frozen=True)
class Changes:
    """Where masks change, as a device computes it: ``numbers`` (2 N + capacity,) int32.

    First the number of entries of each mask, then whether its nodes are all sure (0), then the entries, mask after
    mask: positions in the mask's pixels, column by column, in ascending order, at which the mask's value changes. What
    is in front of position 0 is outside. An entry may be marked, and equal ones cancel each other in pairs.
    """

    numbers: Tensor
    num_masks: int

    @property
    def capacity(self) -> int:
        """Entries that there is room for."""
        return len(self.numbers) - 2 * self.num_masks


def find_changes(logits: Tensor, resizing: "Resizing", capacity: int | None = None) -> Changes:
    """Changes of masks out of logits (N, h, w), on the logits' device, which is that of ``resizing``.

    ``capacity`` None makes room for all changes; counting them waits for the device.
    """
    return _find(logits, resizing, capacity)


def find_changes_of_one(logits: Tensor, resizing: "Resizing") -> Changes:
    """The same for one mask (h, w) on the CPU; only the box around the object is computed."""
    is_inside = (logits > 0).numpy()
    rows, columns = np.flatnonzero(is_inside.any(1)), np.flatnonzero(is_inside.any(0))
    if not len(rows):
        return Changes(torch.zeros(2, dtype=torch.int32), 1)
    # One row or column of background stays on each side, where there is one.
    top, bottom = max(int(rows[0]) - 1, 0), int(rows[-1]) + 2
    left, right = resizing.column.numpy().searchsorted((int(columns[0]) - 1, int(columns[-1]) + 1))
    return _find(logits[None, top:bottom], resizing, None, top, slice(int(left), int(right) + 1))


def positions_of(changes: Changes, numbers: NDArray[np.int32]) -> list[NDArray[np.int64] | None]:
    """The positions of each mask's changes, ascending, out of ``changes.numbers`` on the host.

    None for a mask that is unsure, or that there was not room for.
    """
    counts, are_unsure = numbers[: changes.num_masks], numbers[changes.num_masks : 2 * changes.num_masks]
    entries = numbers[2 * changes.num_masks :]
    ends = np.cumsum(counts)
    found: list[NDArray[np.int64] | None] = []
    for end, count, is_unsure in zip(ends.tolist(), counts.tolist(), are_unsure.tolist(), strict=True):
        own = entries[end - count : end]
        if is_unsure or end > len(entries) or (count and own.min() == _UNSURE):
            found.append(None)
        else:
            found.append(_cancelled(own[own >= 0]).astype(np.int64))
    return found


def _cancelled(positions: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ascending positions without pairs of equal ones, which occur where a mask is made smaller than its grid."""
    if (positions[1:] != positions[:-1]).all():
        return positions
    unique, counts = np.unique(positions, return_counts=True)
    left: NDArray[np.int32] = unique[counts % 2 == 1]
    return left


@dataclass(frozen=True)
class Resizing:
    """How an h x w grid is resized to height x width, as tensors of one device; `make_resizing` makes it.

    Column x is low[x] times grid column column[x] plus high[x] times the next one. Between grid rows i and i + 1 lie
    the pixels first[i] to first[i + 1] of every column; row_low and row_high (h - 1, P) hold their weights. Where there
    are fewer than P pixels, the weights are 0 and ``is_pixel`` is False. ``ends`` has the grid row and the two weights
    of the first and of the last pixel of a column. ``rounding`` bounds the error of a pixel, relative to the largest of
    the logits that it is made of. All weights are float64.
    """

    height: int
    width: int
    column: Tensor
    low: Tensor
    high: Tensor
    rounding: float
    first: Tensor
    row_low: Tensor
    row_high: Tensor
    is_pixel: Tensor
    ends: tuple[tuple[int, float, float], tuple[int, float, float]]

    def on(self, device: torch.device) -> "Resizing":
        """The same on another device; the host does not wait for it."""
        moved: dict[str, Any] = {name: upload(x, device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **moved)


@lru_cache(maxsize=16)
def make_resizing(h: int, w: int, height: int, width: int, dtype: torch.dtype) -> Resizing:
    """Tables on the CPU, for grids (h, w) of at least 2 x 2 cells of a dtype and masks (height, width)."""
    column, low, high = _weights(w, width, height, dtype)
    row, row_low, row_high = _weights(h, height, width, dtype)
    first = np.searchsorted(row, np.arange(h))
    first[-1] = height
    place = np.arange(height) - first[row]
    shape = (h - 1, int(place.max()) + 1)
    by_row_low, by_row_high, is_pixel = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
    by_row_low[row, place], by_row_high[row, place], is_pixel[row, place] = row_low, row_high, True
    return Resizing(
        height=height,
        width=width,
        column=torch.from_numpy(column),
        low=torch.from_numpy(low[:, None]),
        high=torch.from_numpy(high[:, None]),
        rounding=_MAX_ROUNDINGS[dtype] * torch.finfo(dtype).eps / 2,
        first=torch.from_numpy(first),
        row_low=torch.from_numpy(by_row_low),
        row_high=torch.from_numpy(by_row_high),
        is_pixel=torch.from_numpy(is_pixel),
        ends=(
            (int(row[0]), float(row_low[0]), float(row_high[0])),
            (int(row[-1]), float(row_low[-1]), float(row_high[-1])),
        ),
    )


def _weights(
    size: int, new_size: int, other_size: int, dtype: torch.dtype
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """(index, low, high): output k is ``low[k] * x[index[k]] + high[k] * x[index[k] + 1]`` of x (size,).

    They are those of this PyTorch, bit for bit, because it is asked to resize each row of an identity matrix.
    ``other_size`` is the size to which the other axis is resized; it decides which kernel does it.
    """
    beside = min(other_size, max(1, _ONE_KERNEL_ABOVE + 1 - new_size))
    rows = torch.eye(size, dtype=dtype)[:, None, :, None].expand(-1, -1, -1, beside)
    matrix = resize_logits(rows, new_size, beside)[:, 0, :, 0].double().numpy()
    index = (matrix != 0).argmax(axis=0).clip(max=size - 2)  # after the last cell's centre: 0 x before it + 1 x itself
    out = np.arange(new_size)
    return index, matrix[index, out], matrix[index + 1, out]


def _find(
    logits: Tensor, resizing: Resizing, capacity: int | None, top: int = 0, columns: slice = slice(None)
) -> Changes:
    """Changes in some columns; ``logits`` (N, h', w) begin with grid row ``top``."""
    nodes, bounds = _nodes(logits, resizing, columns)
    num_masks, num_columns, h = nodes.shape
    is_inside = nodes > 0
    begins, ends = (_is_inside_at(nodes, resizing.ends[which], top) for which in (0, 1))
    ends_before = F.pad(ends[:, :-1], (1, 0))
    is_change = torch.cat(((begins != ends_before)[..., None], is_inside[..., 1:] != is_inside[..., :-1]), dim=-1)
    counts = is_change.flatten(1).sum(1, dtype=torch.int32)
    if capacity is None:
        capacity = int(counts.sum())
    node = torch.nonzero_static(is_change.flatten(), size=capacity, fill_value=0)[:, 0]
    column, row = node.div(h, rounding_mode="floor"), node.remainder(h)
    places = _places(nodes.flatten(), bounds.flatten(), node, row, resizing, top)
    start = (column.remainder(num_columns) + (columns.start or 0)) * resizing.height
    positions = torch.where(row == 0, start, torch.where(places < 0, places, start + places))
    is_unsure = ~(nodes.abs() > bounds).flatten(1).all(1)
    numbers = torch.cat((counts, is_unsure.to(torch.int32), positions.to(torch.int32)))
    return Changes(numbers, num_masks)


def _nodes(logits: Tensor, resizing: Resizing, columns: slice) -> tuple[Tensor, Tensor]:
    """Logits (N, h', w) resized along x, transposed: (N, W', h') float64; and bounds on their error."""
    grid = logits.transpose(1, 2).contiguous().double()
    size = grid.abs()
    bound = torch.maximum(size[:, :-1], size[:, 1:]) * resizing.rounding + _TINY
    column = resizing.column[columns]
    nodes = grid.index_select(1, column).mul_(resizing.low[columns])
    nodes += grid.index_select(1, column + 1).mul_(resizing.high[columns])
    return nodes, bound.index_select(1, column)


def _is_inside_at(nodes: Tensor, pixel: tuple[int, float, float], top: int) -> Tensor:
    """Whether the first or last pixel of every column is inside: (N, W')."""
    row, low, high = pixel
    if not 0 <= row - top < nodes.shape[-1] - 1:  # beyond the grid rows given, where all is background
        return torch.zeros_like(nodes[..., 0], dtype=torch.bool)
    return nodes[..., row - top] * low + nodes[..., row - top + 1] * high > 0


def _places(nodes: Tensor, bounds: Tensor, node: Tensor, row: Tensor, resizing: Resizing, top: int) -> Tensor:
    """Row of the first pixel behind the change between each node (K,) and the one above it, or its mark."""
    above = (node - 1).clamp(min=0)
    segment = (row - 1).clamp(min=0) + top
    low, high = resizing.row_low.index_select(0, segment), resizing.row_high.index_select(0, segment)
    from_above = nodes[above]
    values = low * from_above[:, None] + high * nodes[node][:, None]
    errors = low * bounds[above][:, None] + high * bounds[node][:, None]
    is_unsure = (resizing.is_pixel.index_select(0, segment) & ~(values.abs() > errors)).any(1)
    num_inside = (values > 0).sum(1)
    places = torch.where(from_above > 0, resizing.first[segment] + num_inside, resizing.first[segment + 1] - num_inside)
    places = torch.where((places == 0) | (places == resizing.height), _DROPPED, places)
    return torch.where(is_unsure, _UNSURE, places)
