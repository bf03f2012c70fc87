"""The column ``shot`` of a mask table: in which shot of its video a frame lies."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from samurai_batch.masks.table import MASK_SCHEMA


def shots_of(frames: NDArray[np.integer], scene_cuts: Sequence[int]) -> NDArray[np.int32]:
    """The shot of each frame, from 0; a shot begins at each of ``scene_cuts`` (ascending)."""
    return np.searchsorted(np.asarray(scene_cuts, np.int64), frames, side="right").astype(np.int32)


def with_shots(table: pa.Table, scene_cuts: Sequence[int] | None) -> pa.Table:
    """The rows with their shots; unchanged if the cuts of their video were not measured."""
    if scene_cuts is None:
        return table
    shots = pa.array(shots_of(table["frame_index"].to_numpy(), scene_cuts))
    return table.set_column(MASK_SCHEMA.get_field_index("shot"), MASK_SCHEMA.field("shot"), shots)
