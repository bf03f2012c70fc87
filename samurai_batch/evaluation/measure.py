"""Mask tables against the truth of one sequence."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.evaluation.boxes import BoxErrors, BoxProtocol, box_errors
from samurai_batch.evaluation.regions import contour_accuracy, region_similarity
from samurai_batch.evaluation.truth import BoxTruth, MaskTruth
from samurai_batch.geometry import to_label_map
from samurai_batch.rle import decode_mask, rle_from_coco

Mask = NDArray[np.bool_]

BOX_COLUMNS = ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]


def regions_per_frame(rows: pd.DataFrame, truths: Mapping[str, MaskTruth], exclusive: bool) -> pd.DataFrame:
    """J and F of every object on every frame that counts: columns ``object_id, frame_index, J, F``.

    ``rows`` are the mask table's of one video. Frames without a row have an empty mask. The first frame of each
    object, where it is prompted, and the last annotated one do not count. Where ``exclusive``, masks that overlap
    are cut first.
    """
    measured: list[dict[str, Any]] = []
    frames = {object_id: _counted_frames(truth) for object_id, truth in truths.items()}
    by_frame = dict(iter(rows.groupby("frame_index")))
    for frame_index in sorted({index for counted in frames.values() for index in counted}):
        predicted = _masks_on(by_frame.get(frame_index), exclusive)
        for object_id, truth in truths.items():
            if frame_index not in frames[object_id]:
                continue
            expected, void = truth.read(frame_index)
            mask = predicted.get(object_id, np.zeros_like(expected))
            scores = {"J": region_similarity(mask, expected, void), "F": contour_accuracy(mask, expected, void)}
            measured.append({"object_id": object_id, "frame_index": frame_index, **scores})
    return pd.DataFrame(measured, columns=["object_id", "frame_index", "J", "F"])


def object_box_errors(rows: pd.DataFrame, truth: BoxTruth, protocol: BoxProtocol) -> BoxErrors:
    """Overlaps and distances of one track, whose mask rows are given; a frame without a row has no box."""
    num_frames = len(truth.boxes_xywh)
    predicted = np.full((num_frames, 4), np.nan)
    places = rows["frame_index"].to_numpy() - truth.start
    inside = (places >= 0) & (places < num_frames)
    predicted[places[inside]] = rows.loc[inside, BOX_COLUMNS].to_numpy(np.float64)
    height, width = (int(rows[name].iloc[0]) if len(rows) else 1 for name in ("height", "width"))
    return box_errors(predicted, truth.boxes_xywh, truth.visible, protocol, height, width)


def _counted_frames(truth: MaskTruth) -> set[int]:
    first = truth.first_frame()
    return {index for index in truth.pngs if first < index < max(truth.pngs)}


def _masks_on(rows: pd.DataFrame | None, exclusive: bool) -> dict[str, Mask]:
    """The masks of one frame by object; absent ones are left out."""
    if rows is None:
        return {}
    present = rows[rows["segmentation"].notna()]
    masks = {
        str(object_id): decode_mask(rle_from_coco(segmentation))
        for object_id, segmentation in zip(present["object_id"], present["segmentation"], strict=True)
    }
    return _cut(masks, present["mask_score"]) if exclusive and masks else masks


def _cut(masks: Mapping[str, Mask], scores: Iterable[float]) -> dict[str, Mask]:
    height, width = next(iter(masks.values())).shape
    labels = range(1, len(masks) + 1)
    label_map = to_label_map(list(masks.values()), labels, list(scores), height, width)
    return {object_id: label_map == label for object_id, label in zip(masks, labels, strict=True)}
