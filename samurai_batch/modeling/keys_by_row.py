"""Attention to spatial memories one row of cells at a time: the same scores with fewer multiplications.

Rotary encoding rotates c / 2 channels of a key by its column and c / 2 by its row. Let q_r be the half of a query that
is multiplied with the latter. The rotated key is linear in the memory's cell m, which has few channels:

    q_r · rotate_row(W m + b) = (q_r rotate_row(W | b)) · (m | 1)

For all keys of one row, in all memories, the bracket is the same and is computed once per query. So a score takes c / 2
multiplications for the column and |m| + 1 for the row, instead of c: for SAM 2, 128 + 65 instead of 256, and 128 · 65
more for each query and row of 448 keys. Where multiplications are the bottleneck, this saves an eighth of the time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from samurai_batch.modeling.attention import LOG2_E, TILE_QUERIES, TileSums
from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.modeling.products import linear, runs_on_cpu

ROWS_AT_ONCE = 8
MAX_SHARE = 0.9  # of the usual multiplications: with shorter rows of keys, this is not faster


@dataclass(frozen=True)
class KeyRows:
    """The order of keys: cells row by row, each row with the cells of all memories, then pointers."""

    num_rows: int
    keys_per_row: int

    @property
    def num_cells(self) -> int:
        """The number of keys that are cells of memories; pointers come after them."""
        return self.num_rows * self.keys_per_row


def key_rows(x: Tensor, memory: Tensor, num_memories: int, side: int) -> KeyRows | None:
    """The order of keys for attention by row of x (N, L, c) to memory (N, Lk, m); None if that is not faster."""
    if x.dtype is not torch.float32 or not runs_on_cpu(x) or cpu_kernels().float32_softmax != "tiles":
        return None
    rows = KeyRows(side, num_memories * side)
    half, width = x.shape[-1] / 2, memory.shape[-1] + 1
    products = half + width + half * width / max(1, rows.keys_per_row)
    return rows if products < MAX_SHARE * x.shape[-1] else None


def by_row(cells: Tensor, num_memories: int, side: int) -> Tensor:
    """Cells (..., M · L, c) of M memories, one after the other -> the same cells in the order of `KeyRows`."""
    return cells.unflatten(-2, (num_memories, side, side)).transpose(-4, -3).flatten(-4, -2)


def attend_by_row(
    projection: nn.Linear,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    key_angles: tuple[Tensor, Tensor],
    rows: KeyRows,
) -> Tensor | None:
    """Rotated query (Lq, c), keys (Lk, m) before their ``projection``, values (Lk, d) -> (Lq, d).

    None if scores are so large or small that their exponentials overflow or underflow.
    """
    query = query * (LOG2_E / math.sqrt(query.shape[-1]))
    quarters = query.unflatten(1, (4, -1))  # even channels by column, by row; odd channels by column, by row
    of_column, of_row = (quarters[:, part::2].flatten(1) for part in (0, 1))
    row_keys, row_matrices = _row_keys(projection, keys, key_angles, rows)
    row_values = values[: rows.num_cells].split(rows.keys_per_row)
    pointers = _in_halves(projection, keys[rows.num_cells :])
    blocks = []
    for start in range(0, len(query), TILE_QUERIES):
        block = slice(start, start + TILE_QUERIES)
        sums = TileSums(query[block], values.shape[-1])
        projected = query.new_empty(len(query[block]), row_keys.shape[-1])
        projected[:, : of_column.shape[1]] = of_column[block]
        for row, rotated in enumerate(_queries_of_rows(of_row[block], row_matrices)):
            projected[:, of_column.shape[1] :] = rotated
            sums.add(projected, row_keys[row], row_values[row])
        if len(pointers):
            sums.add(query[block], pointers, values[rows.num_cells :])
        blocks.append(sums.result())
    return None if any(part is None for part in blocks) else torch.cat([part for part in blocks if part is not None])


def _queries_of_rows(query: Tensor, row_matrices: Tensor) -> Iterator[Tensor]:
    """query (Lq, c / 2) times each matrix (rows, c / 2, m + 1), several at once, because narrow products are slow."""
    for matrices in row_matrices.split(ROWS_AT_ONCE):
        together = query @ matrices.transpose(0, 1).flatten(1)
        yield from together.chunk(len(matrices), dim=1)


def _row_keys(
    projection: nn.Linear, keys: Tensor, key_angles: tuple[Tensor, Tensor], rows: KeyRows
) -> tuple[Tensor, Tensor]:
    """The keys by row (rows, keys of a row, c / 2 + m + 1), and the rows' matrices (rows, c / 2, m + 1)."""
    cells = keys[: rows.num_cells]
    ones = cells.new_ones(len(cells), 1)
    (column_cosine, row_cosine), (column_sine, row_sine) = (table[: len(cells)].chunk(2, dim=1) for table in key_angles)
    weight = torch.cat((projection.weight, projection.bias[:, None]), dim=1)
    (column_even, row_even), (column_odd, row_odd) = (weight[part::2].chunk(2) for part in (0, 1))
    even, odd = (linear(cells, part[:, :-1], part[:, -1]) for part in (column_even, column_odd))
    rotated = torch.cat(_rotate(even, odd, column_cosine, column_sine), dim=1)
    cosine, sine = (table[:: rows.keys_per_row, :, None] for table in (row_cosine, row_sine))
    matrices = torch.cat(_rotate(row_even, row_odd, cosine, sine), dim=1)
    return torch.cat((rotated, cells, ones), dim=1).unflatten(0, (rows.num_rows, -1)), matrices


def _rotate(even: Tensor, odd: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    return even * cosine - odd * sine, even * sine + odd * cosine


def _in_halves(projection: nn.Linear, keys: Tensor) -> Tensor:
    """Projected keys without rotation, even channels before odd ones."""
    weight, bias = projection.weight, projection.bias
    return torch.cat([linear(keys, weight[part::2], bias[part::2]) for part in (0, 1)], dim=1)
