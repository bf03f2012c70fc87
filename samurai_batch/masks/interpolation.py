"""Rows for the frames that a frame step has left out, with boxes between those of their neighbours."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from samurai_batch.masks.shots import shots_of
from samurai_batch.masks.table import MASK_SCHEMA

_BOX_COLUMNS = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
_EMPTY_COLUMNS = ("segmentation", "motion_score", "predicted_x", "predicted_y", "predicted_w", "predicted_h")


def with_interpolated_boxes(
    table: pa.Table, timestamp_s: Callable[[int], float], scene_cuts: Sequence[int] = ()
) -> pa.Table:
    """The rows of one track (`MASK_SCHEMA`, by frame), and a row for every frame between them that has none.

    Such a row is ``interpolated``: its box lies between those of the rows around it, linear in the frame index, or is
    null if the object is absent in one of them. It has no mask and an area of 0; its scores are those of the row
    before. ``timestamp_s`` gives the presentation time of a frame. Rows on both sides of a scene cut get none between.
    """
    frames = table["frame_index"].to_numpy()
    if len(frames) < 2:
        return table
    missing = np.setdiff1d(np.arange(frames[0], frames[-1] + 1), frames)
    after = np.searchsorted(frames, missing)
    shots = shots_of(frames, scene_cuts)
    is_within = shots[after - 1] == shots[after]
    missing, after = missing[is_within], after[is_within]
    if not len(missing):
        return table
    rows = table.take(pa.array(after - 1))
    shares = (missing - frames[after - 1]) / (frames[after] - frames[after - 1])
    columns = {name: rows[name] for name in MASK_SCHEMA.names}
    # Not pa.nulls, whose structs hold null fields, which the schema does not allow.
    columns |= {name: pa.array([None] * len(missing), MASK_SCHEMA.field(name).type) for name in _EMPTY_COLUMNS}
    columns |= {name: _between(table[name], after, shares) for name in _BOX_COLUMNS}
    columns["frame_index"] = pa.array(missing, pa.int32())
    columns["timestamp_s"] = pa.array([timestamp_s(index) for index in missing.tolist()], pa.float64())
    columns["area"] = pa.array(np.zeros(len(missing)), pa.int32())
    columns["prompted"] = pa.array(np.zeros(len(missing), np.bool_))
    columns["interpolated"] = pa.array(np.ones(len(missing), np.bool_))
    between = pa.table([columns[name] for name in MASK_SCHEMA.names], schema=MASK_SCHEMA)
    return pa.concat_tables([table, between]).sort_by("frame_index").combine_chunks()


def _between(column: pa.ChunkedArray, after: NDArray[np.int64], shares: NDArray[np.float64]) -> pa.Array:
    values = column.to_numpy().astype(np.float64)  # a null is NaN
    mixed = (1 - shares) * values[after - 1] + shares * values[after]
    return pa.array(mixed, pa.float32(), mask=np.isnan(mixed))
