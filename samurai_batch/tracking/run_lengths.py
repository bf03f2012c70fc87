"""Run lengths of masks in the video's pixels, from logits on the S / 4 grid, without making the pixels.

`video_masks.to_video_masks` defines the masks: bilinear resizing by PyTorch on the CPU, then > 0. Here the grid is
resized along x alone, which gives one *node* for each of W columns and h grid rows. Along y, resizing is linear between
two nodes, so the mask changes at most once between them, and only where they differ in sign. That is at a few thousand
places of a mask; only the few pixels there are computed. All sizes are known beforehand, so on a GPU the host does not
wait. The largest array has W x h nodes: no mask of W x H pixels exists at any time.

PyTorch's kernels for this round in ways that differ from CPU to CPU. So sums are computed in float64 here, with the
weights that this PyTorch uses, and compared with a bound on the rounding of any such kernel. A pixel too close to 0 to
be certain of is unsure, and PyTorch's own kernel is asked for it on the CPU, if that is known to round such a pixel as
it does in the mask. A mask that is unsure even so, or whose logits are not finite, is made by `to_video_masks`. The run
lengths are therefore the same on all devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
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
_NUM_SAMPLES = 64  # columns that are tried for each size


@dataclass(frozen=True)
class Changes:
    """Where masks change, as a device computes it: ``numbers`` (2 N + capacity,) int32.

    First the number of entries of each mask, then whether all its nodes are sure (1), then the entries, mask after
    mask: ascending positions, among the pixels of all masks of ``num_pixels``, column by column, at which the value
    changes. In front of a mask's first pixel is background. Equal entries cancel each other in pairs: two changes
    between the same two pixels. In place of an unsure one stands -1 - n, n being the number of the node below it.
    """

    numbers: Tensor
    num_masks: int
    num_pixels: int


def find_changes_of_one(logits: Tensor, resizing: "Resizing") -> Changes:
    """The same for one mask (h, w) on the CPU; only the box around the object is computed.

    Pixels that are unsure are then computed by PyTorch's own kernel, so that hardly any mask stays unsure.
    """
    is_inside = (logits > 0).numpy()
    rows, columns = np.flatnonzero(is_inside.any(1)), np.flatnonzero(is_inside.any(0))
    if not len(rows):
        return Changes(torch.tensor([0, 1], dtype=torch.int32), 1, resizing.height * resizing.width)
    # One row or column of background stays on each side, where there is one.
    top, bottom = max(int(rows[0]) - 1, 0), int(rows[-1]) + 2
    left, right = resizing.column.numpy().searchsorted((int(columns[0]) - 1, int(columns[-1]) + 1))
    changes = find_changes(logits[None, top:bottom], resizing, None, top, slice(int(left), int(right) + 1))
    entries = changes.numbers[2:]
    unsure = (entries < 0).nonzero()[:, 0].tolist()
    if unsure and _columns_can_be_resized_alone(*logits.shape, resizing.height, resizing.width, logits.dtype):
        for index in unsure:
            column, row = divmod(-1 - int(entries[index]), len(logits[top:bottom]))
            entries[index] = _position_by_pytorch(logits, resizing, column, row + top)
    return changes


def _position_by_pytorch(logits: Tensor, resizing: "Resizing", column: int, row: int) -> int:
    """The position of the change between a node in grid row ``row`` and the one above it, as PyTorch rounds."""
    first = int(resizing.first[row - 1])
    above, pixels = _pixels_below(logits, resizing, column, row - 1)
    return column * resizing.height + first + int(((pixels > 0) == (above > 0)).sum())


def _pixels_below(logits: Tensor, resizing: "Resizing", column: int, row: int) -> tuple[Tensor, Tensor]:
    """A node, and the pixels between it and the one below, out of logits (h, w): resized along x, then along y."""
    two_nodes = resize_logits(logits[None, None, row : row + 2], 2, resizing.width)[0, 0, :, column]
    nodes = logits.new_zeros(1, 1, len(logits), 1)
    nodes[0, 0, row : row + 2, 0] = two_nodes
    ends = [*resizing.first.tolist(), resizing.height]
    return two_nodes[0], resize_logits(nodes, resizing.height, 1)[0, 0, ends[row] : ends[row + 1], 0]


@lru_cache(maxsize=16)
def _columns_can_be_resized_alone(h: int, w: int, height: int, width: int, dtype: torch.dtype) -> bool:
    """Whether `_pixels_below` has the pixels of the whole mask, bit for bit, in samples all over a random one.

    It has where PyTorch uses one kernel for both sizes, and that rounds a pixel alike wherever it lies.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(h, w, generator=generator, dtype=torch.float64).to(dtype)
    mask = resize_logits(logits[None, None], height, width)[0, 0]
    resizing = make_resizing(h, w, height, width, dtype)
    ends = [*resizing.first.tolist(), height]
    columns = torch.randint(width, (_NUM_SAMPLES,), generator=generator).tolist()
    rows = torch.randint(h - 1, (_NUM_SAMPLES,), generator=generator).tolist()
    return all(
        torch.equal(_pixels_below(logits, resizing, column, row)[1], mask[ends[row] : ends[row + 1], column])
        for column, row in zip(columns, rows, strict=True)
    )


def positions_of(changes: Changes, numbers: NDArray[np.int32]) -> list[NDArray[np.int64] | None]:
    """The positions of each mask's changes, ascending, out of ``changes.numbers`` on the host.

    None for a mask that is unsure, or that there was not room for.
    """
    counts, are_sure = numbers[: changes.num_masks], numbers[changes.num_masks : 2 * changes.num_masks]
    entries = numbers[2 * changes.num_masks :]
    ends = np.cumsum(counts)
    found: list[NDArray[np.int64] | None] = []
    for index, (end, count, is_sure) in enumerate(zip(ends.tolist(), counts.tolist(), are_sure.tolist(), strict=True)):
        own = entries[end - count : end]
        if not is_sure or end > len(entries) or (count and own.min() < 0):
            found.append(None)
        else:
            found.append(_cancelled(own.astype(np.int64) - index * changes.num_pixels))
    return found


def _cancelled(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending positions without pairs of equal ones."""
    if (positions[1:] != positions[:-1]).all():
        return positions
    unique, counts = np.unique(positions, return_counts=True)
    left: NDArray[np.int64] = unique[counts % 2 == 1]
    return left


@dataclass(frozen=True)
class Resizing:
    """How an h x w grid is resized to height x width, as tensors of one device; `make_resizing` makes it.

    Column x is low[x] times grid column column[x] plus high[x] times grid column next_column[x]. Below grid row i and
    above row i + 1 lie the pixels from first[i] on; row_weights (h - 1, 2, P) hold their weights of the two rows. Where
    there are fewer than P pixels, more weights of (0, 1) follow, those of row i + 1 itself. ``rounding`` bounds the
    error of a pixel, relative to the largest of the logits that it is made of. All weights are float64.
    """

    height: int
    width: int
    column: Tensor
    next_column: Tensor
    low: Tensor
    high: Tensor
    rounding: float
    first: Tensor
    row_weights: Tensor

    def on(self, device: torch.device) -> "Resizing":
        """The same on another device; the host does not wait for it."""
        moved: dict[str, Any] = {name: upload(x, device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **moved)


@lru_cache(maxsize=16)
def make_resizing(h: int, w: int, height: int, width: int, dtype: torch.dtype) -> Resizing:
    """Tables on the CPU, for masks (height, width) out of grids (h, w) of a dtype for which `can_resize` is True."""
    assert can_resize((h, w), height)
    column, low, high = _weights(w, width, height, dtype)
    row, row_low, row_high = _weights(h, height, width, dtype)
    assert (row[0], row_low[0], row[-1], row_low[-1]) == (0, 1, h - 2, 0), "columns do not begin and end with a node"
    first = np.searchsorted(row, np.arange(h - 1))
    place = np.arange(height) - first[row]
    row_weights = np.zeros((h - 1, 2, int(place.max()) + 1))
    row_weights[:, 1] = 1
    row_weights[row, 0, place], row_weights[row, 1, place] = row_low, row_high
    return Resizing(
        height=height,
        width=width,
        column=torch.from_numpy(column),
        next_column=torch.from_numpy(column + 1),
        low=torch.from_numpy(low[:, None]),
        high=torch.from_numpy(high[:, None]),
        rounding=_MAX_ROUNDINGS[dtype] * torch.finfo(dtype).eps / 2,
        first=torch.from_numpy(first),
        row_weights=torch.from_numpy(row_weights),
    )


def can_resize(grid: Sequence[int], height: int) -> bool:
    """Whether this module makes masks of a height from grids (h, w): not lower ones, where it would skip grid rows."""
    h, w = grid
    return h >= 2 and w >= 2 and h <= height < 256 * h


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


def find_changes(
    logits: Tensor, resizing: Resizing, capacity: int | None = None, top: int = 0, columns: slice = slice(None)
) -> Changes:
    """Changes of masks out of logits (N, h', w), on the logits' device, which is that of ``resizing``.

    ``capacity`` None makes room for all changes; counting them waits for the device. The logits begin with grid row
    ``top``; outside of ``columns`` of the masks nothing is computed.

    The first and last pixel of a column are inside if its first and last node are. So the nodes of one column after
    the other change where the pixels do.
    """
    nodes, bounds = _nodes(logits, resizing, columns)
    num_masks, _, h = nodes.shape
    is_sure = (nodes.abs() > bounds).flatten(1).all(1)
    is_inside = (nodes > 0).flatten(1)
    is_change = torch.cat((is_inside[:, :1], is_inside[:, 1:] != is_inside[:, :-1]), dim=1)
    counts = is_change.sum(1, dtype=torch.int32)
    if capacity is None:
        capacity = int(counts.sum())
    node = torch.nonzero_static(is_change.flatten(), size=capacity, fill_value=0)[:, 0]
    column, row = node.div(h, rounding_mode="floor"), node.remainder(h)
    places, is_unsure = _places(nodes.flatten(), bounds.flatten(), node, row, resizing, top)
    if columns.start:
        column += columns.start
        node = node + columns.start * h
    positions = torch.where(is_unsure, -1 - node, (column * resizing.height).add_(places))
    numbers = torch.cat((counts, is_sure.to(torch.int32), positions.to(torch.int32)))
    return Changes(numbers, num_masks, resizing.height * resizing.width)


def _nodes(logits: Tensor, resizing: Resizing, columns: slice) -> tuple[Tensor, Tensor]:
    """Logits (N, h', w) resized along x, transposed: (N, W', h') float64; and bounds on their error."""
    grid = logits.transpose(1, 2).to(torch.float64, memory_format=torch.contiguous_format)
    size = grid.abs()
    bound = torch.maximum(size[:, :-1], size[:, 1:]).mul_(resizing.rounding).add_(_TINY)
    column = resizing.column[columns]
    nodes = grid.index_select(1, column).mul_(resizing.low[columns])
    nodes += grid.index_select(1, resizing.next_column[columns]).mul_(resizing.high[columns])
    return nodes, bound.index_select(1, column)


def _places(
    nodes: Tensor, bounds: Tensor, node: Tensor, row: Tensor, resizing: Resizing, top: int
) -> tuple[Tensor, Tensor]:
    """Row of the first pixel after the change between each node (K,) and the one above it, and whether it is unsure.

    0, and sure, for a node in the first row, which has none above it.
    """
    above = (node - 1).clamp_(min=0)
    segment = (row - 1).clamp_(min=0)
    if top:
        segment += top
    low, high = resizing.row_weights.index_select(0, segment).unbind(1)
    from_above = nodes[above][:, None]
    values = (low * from_above).addcmul_(high, nodes[node][:, None])
    errors = (low * bounds[above][:, None]).addcmul_(high, bounds[node][:, None])
    places = ((values > 0) == (from_above > 0)).sum(1).add_(resizing.first[segment])
    is_first = row == 0
    is_unsure = (values.abs() <= errors).any(1).logical_and_(is_first.logical_not())
    return places.masked_fill_(is_first, 0), is_unsure
