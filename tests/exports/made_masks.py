"""Mask rows of one small video, made from arrays."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.exports.video_masks import VideoMasks
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes

HEIGHT, WIDTH, NUM_FRAMES = 7, 9, 4
Mask = NDArray[np.bool_]
Masks = Mapping[tuple[str, int], Mask]
"""The mask of each object and frame; empty where the object is absent."""

OBJECT_IDS = ["left hand", "2", "<cup> & \"saucer\"", "é#0"]  # fmt: skip

made = st.dictionaries(
    st.tuples(st.sampled_from(OBJECT_IDS), st.integers(0, NUM_FRAMES - 1)),
    arrays(np.bool_, (HEIGHT, WIDTH), elements=st.booleans()),
    min_size=1,
).filter(lambda masks: any(mask.any() for mask in masks.values()))


def mask_rows(video_id: str, masks: Masks) -> list[MaskRow]:
    return [
        MaskRow(
            video_id=video_id,
            object_id=object_id,
            frame_index=frame,
            timestamp_s=frame / 10,
            height=mask.shape[0],
            width=mask.shape[1],
            segmentation=encode_mask(mask),
            mask_score=0.5 + frame / 100,
            object_score=1.0,
            motion_score=None,
            mask_index=0,
            prompted=frame == 0,
        )
        for (object_id, frame), mask in sorted(masks.items(), key=lambda one: one[0])
    ]


def video_masks(video_id: str, masks: Masks, uri: str = "") -> VideoMasks:
    rows: pd.DataFrame = rows_to_table(mask_rows(video_id, masks)).to_pandas()
    return VideoMasks.of_rows(video_id, rows, uri)


def write_output(output: str, video_id: str, masks: Masks) -> None:
    rows = mask_rows(video_id, masks)
    for object_id in {row.object_id for row in rows}:
        table = rows_to_table([row for row in rows if row.object_id == object_id])
        storage.write_bytes(mask_table_uri(output, video_id, object_id), table_to_bytes(table, {}))


def present(masks: Masks) -> dict[tuple[str, int], Mask]:
    return {place: mask for place, mask in masks.items() if mask.any()}


def box_of(mask: Mask) -> tuple[float, ...]:
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def write_frames(folder: Path, size: tuple[int, int] = (HEIGHT, WIDTH), num_frames: int = NUM_FRAMES) -> str:
    """A video of plain frames, as a folder; returns its path."""
    folder.mkdir(parents=True)
    for index in range(num_frames):
        Image.new("RGB", (size[1], size[0]), (30 * index, 60, 90)).save(folder / f"{index:05d}.png")
    return str(folder)
