"""Outputs whose objects are squares on given places."""

from collections.abc import Sequence

import numpy as np

from samurai_batch import storage
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes

HEIGHT, WIDTH, SIDE, FPS = 120, 160, 4, 10
Places = Sequence[tuple[int, int] | None]
"""The left upper corner of the square on each frame; None: absent. Its centre is 2 pixels further."""


def write_places(output: str, video_id: str, object_id: str, places: Places, fps: float = FPS) -> None:
    rows = []
    for index, place in enumerate(places):
        mask = np.zeros((HEIGHT, WIDTH), np.bool_)
        if place is not None:
            mask[place[1] : place[1] + SIDE, place[0] : place[0] + SIDE] = True
        rows.append(
            MaskRow(
                video_id=video_id,
                object_id=object_id,
                frame_index=index,
                timestamp_s=index / fps,
                height=HEIGHT,
                width=WIDTH,
                segmentation=encode_mask(mask),
                mask_score=0.9,
                object_score=5.0,
                motion_score=None,
                mask_index=0,
                prompted=index == 0,
            )
        )
    storage.write_bytes(mask_table_uri(output, video_id, object_id), table_to_bytes(rows_to_table(rows), {}))


def walk(start: int, stop: int, step: int = 4, y: int = 48) -> list[tuple[int, int]]:
    """Squares that move sideways."""
    return [(x, y) for x in range(start, stop, step)]
