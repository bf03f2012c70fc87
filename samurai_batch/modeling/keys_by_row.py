"""Attention to maps that are remembered, one row of cells at a time: the same scores from fewer products.

Half of a key's channels are turned by its column, the other half by its row, c / 2 channels each. With q_r the half of
a query that meets the latter, turned keys are linear in what is remembered, m of few channels, at every place:

    q_r · turn_row(W m + b) = (q_r turn_row(W | b)) · (m | 1)

For the keys of one row, which all memories have, the bracket is one product for each query. So a score takes c / 2
products for the column and |m| + 1 for the row, instead of c: for SAM 2, 128 + 65 instead of 256, and 128 · 65 more for
each query and row of 448 keys. Where a processor does nothing but multiply, that is an eighth of this attention's time.
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
WORTH = 0.9  # of the products, at most: with fewer keys in a row, others are as fast


@dataclass(frozen=True)
class KeyRows:
    """Keys whose first ``num_rows`` · ``keys_per_row`` are cells by row, all memories of a row together."""

    num_rows: int
    keys_per_row: int

    @property
    def num_cells(self) -> int:
        """Keys that have a place in the picture; pointers follow."""
        return self.num_rows * self.keys_per_row


def key_rows(x: Tensor, memory: Tensor, num_memories: int, side: int) -> KeyRows | None:
    """How the keys of x (N, L, c) in memory (N, Lk, m) can be attended to by row; None where that is no faster."""
    if x.dtype is not torch.float32 or not runs_on_cpu(x) or cpu_kernels().float32_softmax != "tiles":
        return None
    rows = KeyRows(side, num_memories * side)
    half, width = x.shape[-1] / 2, memory.shape[-1] + 1
    products = half + width + half * width / max(1, rows.keys_per_row)
    return rows if products < WORTH * x.shape[-1] else None


def by_row(cells: Tensor, num_memories: int, side: int) -> Tensor:
    """Cells (..., M · L, c) of M maps one after the other -> the same cells by row, the maps' rows together."""
    return cells.unflatten(-2, (num_memories, side, side)).transpose(-4, -3).flatten(-4, -2)


def attend_by_row(
    projection: nn.Linear,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    key_angles: tuple[Tensor, Tensor],
    rows: KeyRows,
) -> Tensor | None:
    """Turned query (Lq, c), keys (Lk, m) before their ``projection``, values (Lk, d) -> (Lq, d).

    None where scores are so large or small that their exponentials cannot be held.
    """
    query = query * (LOG2_E / math.sqrt(query.shape[-1]))
    quarters = query.unflatten(1, (4, -1))  # of even channels by column and by row, of odd ones by column and by row
    of_column, of_row = (quarters[:, part::2].flatten(1) for part in (0, 1))
    row_keys, turned_rows = _row_keys(projection, keys, key_angles, rows)
    row_values = values[: rows.num_cells].split(rows.keys_per_row)
    pointers = _in_halves(projection, keys[rows.num_cells :])
    found = []
    for start in range(0, len(query), TILE_QUERIES):
        block = slice(start, start + TILE_QUERIES)
        sums = TileSums(query[block], values.shape[-1])
        met = query.new_empty(len(query[block]), row_keys.shape[-1])
        met[:, : of_column.shape[1]] = of_column[block]
        for row, turned in enumerate(_queries_of_rows(of_row[block], turned_rows)):
            met[:, of_column.shape[1] :] = turned
            sums.add(met, row_keys[row], row_values[row])
        if len(pointers):
            sums.add(query[block], pointers, values[rows.num_cells :])
        found.append(sums.result())
    return None if any(part is None for part in found) else torch.cat([part for part in found if part is not None])


def _queries_of_rows(query: Tensor, turned_rows: Tensor) -> Iterator[Tensor]:
    """query (Lq, c / 2) by each of the matrices (rows, c / 2, m + 1), by several at once: narrow products are slow."""
    for matrices in turned_rows.split(ROWS_AT_ONCE):
        together = query @ matrices.transpose(0, 1).flatten(1)
        yield from together.chunk(len(matrices), dim=1)


def _row_keys(
    projection: nn.Linear, keys: Tensor, key_angles: tuple[Tensor, Tensor], rows: KeyRows
) -> tuple[Tensor, Tensor]:
    """What queries meet: (rows, keys of a row, c / 2 + m + 1), and the rows' matrices: (rows, c / 2, m + 1)."""
    cells = keys[: rows.num_cells]
    ones = cells.new_ones(len(cells), 1)
    (column_cosine, row_cosine), (column_sine, row_sine) = (table[: len(cells)].chunk(2, dim=1) for table in key_angles)
    weight = torch.cat((projection.weight, projection.bias[:, None]), dim=1)
    (column_even, row_even), (column_odd, row_odd) = (weight[part::2].chunk(2) for part in (0, 1))
    even, odd = (linear(cells, part[:, :-1], part[:, -1]) for part in (column_even, column_odd))
    turned = torch.cat(_turn(even, odd, column_cosine, column_sine), dim=1)
    cosine, sine = (table[:: rows.keys_per_row, :, None] for table in (row_cosine, row_sine))
    matrices = torch.cat(_turn(row_even, row_odd, cosine, sine), dim=1)
    return torch.cat((turned, cells, ones), dim=1).unflatten(0, (rows.num_rows, -1)), matrices


def _turn(even: Tensor, odd: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    return even * cosine - odd * sine, even * sine + odd * cosine


def _in_halves(projection: nn.Linear, keys: Tensor) -> Tensor:
    """Projected keys that are not turned, even channels before odd ones."""
    weight, bias = projection.weight, projection.bias
    return torch.cat([linear(keys, weight[part::2], bias[part::2]) for part in (0, 1)], dim=1)
