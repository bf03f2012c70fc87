"""What is known of the sampled frames of a window: detections, tracks with a mask, and how they overlap.

The detections are filtered first: classes, score, and non-maximum suppression, so that one object has one detection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from samurai_batch.errors import PromptError
from samurai_batch.geometry import box_iou, box_ious, clip_box, to_xyxy
from samurai_batch.planning.discovery import DiscoveryRules, FrameFacts
from samurai_batch.prompts import DiscoverPrompt, FrameDetection, Rle
from samurai_batch.rle import areas_and_boxes, mask_overlaps


@dataclass(frozen=True)
class MaskOfTrack:
    """The mask of a track on one frame."""

    object_id: str
    mask: Rle
    mask_score: float


def sampled_frames(prompt: DiscoverPrompt, frames: range, every: int) -> range:
    """The frames of a range on which detections count: the prompt's first frame, and every n-th from there."""
    first = prompt.frame_index
    start = max(first, first + -(-(frames.start - first) // every) * every)
    return range(start, max(frames.stop, start), every)


def useful_detections(
    prompt: DiscoverPrompt, found: Sequence[FrameDetection], rules: DiscoveryRules, height: int, width: int
) -> dict[int, tuple[FrameDetection, ...]]:
    """The detections of each frame that the prompt means, in pixels of the picture, the best first.

    Raises PromptError for a mask of another size than the picture.
    """
    wanted = {name.casefold() for name in prompt.classes}
    inside = [
        within
        for one in found
        if one.score >= rules.detection_score and (not wanted or one.class_name.casefold() in wanted)
        if (within := _in_picture(one, height, width)) is not None
    ]
    inside.sort(key=lambda one: (one.frame_index, -one.score, one.class_name, one.box_xyxy))
    by_frame = groupby(inside, key=lambda one: one.frame_index)
    return {index: _without_doubles(list(of_frame), rules) for index, of_frame in by_frame}


def facts_of(frame_index: int, detections: Sequence[FrameDetection], masks: Sequence[MaskOfTrack]) -> FrameFacts:
    """How detections and masks overlap on one frame: by masks where the detection has one, else by boxes."""
    found = tuple(detections)
    rles = [one.mask for one in masks]
    between = mask_overlaps(rles, rles)
    names = [one.object_id for one in masks]
    pairs = zip(*np.nonzero(np.triu(between, 1)), strict=True)
    overlap = _overlap(rles, found)
    return FrameFacts(
        frame_index=frame_index,
        detections=found,
        mask_scores={one.object_id: one.mask_score for one in masks},
        match_iou={
            (names[row], int(column)): float(overlap[row, column])
            for row, column in zip(*np.nonzero(overlap), strict=True)
        },
        track_iou={(names[one], names[other]): float(between[one, other]) for one, other in pairs},
    )


def masks_on(tables: Mapping[str, pa.Table], frame_indices: Sequence[int]) -> dict[int, list[MaskOfTrack]]:
    """The masks of tracks on these frames, out of their tables of rows by object_id."""
    found: dict[int, list[MaskOfTrack]] = {index: [] for index in frame_indices}
    wanted = pa.array(list(frame_indices), pa.int32())
    for object_id, table in tables.items():
        columns = table.select(["frame_index", "segmentation", "mask_score"])
        for row in columns.filter(pc.is_in(columns["frame_index"], wanted)).to_pylist():
            if row["segmentation"] is not None:
                height, width = row["segmentation"]["size"]
                mask = Rle(height, width, row["segmentation"]["counts"])
                found[row["frame_index"]].append(MaskOfTrack(object_id, mask, row["mask_score"]))
    return found


def _in_picture(one: FrameDetection, height: int, width: int) -> FrameDetection | None:
    """The detection with its box in pixels, clipped to the picture; None if nothing of it is inside."""
    x1, y1, x2, y2 = one.box_xyxy
    box = (x1 * width, y1 * height, x2 * width, y2 * height) if one.is_relative else one.box_xyxy
    left, top, right, bottom = clip_box(box, height, width)
    if left >= right or top >= bottom:
        return None
    if one.mask is not None and (one.mask.height, one.mask.width) != (height, width):
        size = f"{one.mask.width}x{one.mask.height}"
        raise PromptError(
            f"a detection on frame {one.frame_index} has a mask of {size} pixels, on a picture of {width}x{height}"
        )
    return replace(one, box_xyxy=(left, top, right, bottom), is_relative=False)


def _without_doubles(found: Sequence[FrameDetection], rules: DiscoveryRules) -> tuple[FrameDetection, ...]:
    """Non-maximum suppression, the best first."""
    kept: list[FrameDetection] = []
    for one in found:
        if not any(_are_doubles(one, other, rules) for other in kept):
            kept.append(one)
    return tuple(kept)


def _are_doubles(one: FrameDetection, other: FrameDetection, rules: DiscoveryRules) -> bool:
    overlap = box_iou(one.box_xyxy, other.box_xyxy)
    if one.mask is None or other.mask is None:
        return overlap > rules.detection_box_nms
    return overlap > 0 and float(mask_overlaps([one.mask], [other.mask])[0, 0]) > rules.detection_nms


def _overlap(masks: Sequence[Rle], found: Sequence[FrameDetection]) -> NDArray[np.float64]:
    """(number of masks, number of detections) IoU."""
    overlap = np.zeros((len(masks), len(found)))
    detected = [(place, one.mask) for place, one in enumerate(found) if one.mask is not None]
    if detected:
        overlap[:, [place for place, _ in detected]] = mask_overlaps(masks, [mask for _, mask in detected])
    boxed = [place for place, one in enumerate(found) if one.mask is None]
    if boxed and len(masks):
        _, xywh = areas_and_boxes(masks)
        overlap[:, boxed] = box_ious(to_xyxy(xywh), np.array([found[place].box_xyxy for place in boxed]))
    return overlap
