"""JSON: COCO and YouTube-VIS (one file for all videos), and SA-V (one for each)."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from samurai_batch.exports.video_masks import Files, VideoMasks
from samurai_batch.masks.coco import CATEGORY, coco_annotations, frame_file_name, mask_fields
from samurai_batch.rle import areas_and_boxes, rle_from_coco, rle_to_coco
from samurai_batch.storage import quote_id


def coco(videos: Iterable[VideoMasks]) -> Files:
    """``annotations.json``: an image per frame, an annotation per mask."""
    yield "annotations.json", _dumped(coco_annotations(pd.concat([video.rows for video in videos])))


def youtube_vis(videos: Iterable[VideoMasks]) -> Files:
    """``instances.json``: an annotation per object, with null where the object is absent.

    A video ends with its last frame that has a row.
    """
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, video in enumerate(videos, start=1):
        length = video.num_frames
        size = {"height": video.height, "width": video.width, "length": length}
        names = [frame_file_name(video.video_id, index) for index in range(length)]
        listed.append({"id": number, "file_names": names, "video_id": video.video_id, **size})
        for object_id, masks in video.tracks():
            present = [(mask, mask.rle) for mask in masks if mask.rle is not None]
            track: dict[str, list[Any]] = {name: [None] * length for name in ("segmentations", "bboxes", "areas")}
            for mask, rle in present:
                fields = mask_fields(rle_to_coco(rle))
                for name, key in (("segmentations", "segmentation"), ("bboxes", "bbox"), ("areas", "area")):
                    track[name][mask.frame_index] = fields[key]
            annotation = {"id": len(annotations) + 1, "video_id": number, "category_id": CATEGORY["id"], "iscrowd": 0}
            score = float(np.mean([mask.score for mask, _ in present])) if present else 0.0
            annotations.append({**annotation, "object_id": object_id, "score": score, **size, **track})
    yield "instances.json", _dumped({"videos": listed, "annotations": annotations, "categories": [CATEGORY]})


def sav(videos: Iterable[VideoMasks]) -> Files:
    """``<video_id>_auto.json``, as SA-V's training set has it: ``masklet[frame][object]``, empty masks where absent.

    ``masklet_object_id`` is an addition. Environment, split and stability scores, which tables do not have, are empty.
    """
    for video in videos:
        yield f"{quote_id(video.video_id)}_auto.json", _dumped(_sav_video(video))


def _sav_video(video: VideoMasks) -> dict[str, Any]:
    ids = video.object_ids
    column_of = {object_id: column for column, object_id in enumerate(ids)}
    nothing = rle_to_coco(rle_from_coco({"size": [video.height, video.width], "counts": [video.height * video.width]}))
    masklets = [[nothing] * len(ids) for _ in range(video.num_frames)]
    areas = np.zeros((video.num_frames, len(ids)), np.int64)
    for mask in video.masks():
        if mask.rle is not None:
            place = mask.frame_index, column_of[mask.object_id]
            masklets[place[0]][place[1]] = rle_to_coco(mask.rle)
            areas[place] = areas_and_boxes([mask.rle])[0][0]
    means = [float(column[column > 0].mean()) if column.any() else 0.0 for column in areas.T]
    resolution = float(video.height * video.width)
    return {
        "video_id": video.video_id,
        "video_duration": _duration_s(video),
        "video_frame_count": float(video.num_frames),
        "video_height": float(video.height),
        "video_width": float(video.width),
        "video_resolution": resolution,
        "video_environment": [],
        "video_split": "",
        "masklet": masklets,
        "masklet_id": list(range(len(ids))),
        "masklet_object_id": ids,
        "masklet_size_rel": [mean / resolution for mean in means],
        "masklet_size_abs": means,
        "masklet_size_bucket": ["small" if mean < 32**2 else "medium" if mean < 96**2 else "large" for mean in means],
        "masklet_visibility_changes": [_visibility_changes(column > 0) for column in areas.T],
        "masklet_first_appeared_frame": [int(np.argmax(column > 0)) for column in areas.T],
        "masklet_frame_count": [video.num_frames] * len(ids),
        "masklet_edited_frame_count": [0] * len(ids),
        "masklet_type": ["auto"] * len(ids),
        "masklet_stability_score": None,
        "masklet_num": len(ids),
    }


def _duration_s(video: VideoMasks) -> float:
    """The time from the first frame to the end of the last one, which is taken to last as long as the mean frame."""
    frames = video.rows["frame_index"]
    return video.frame_s * int(frames.max() - frames.min() + 1)


def _visibility_changes(visible: Any) -> int:
    """The number of changes between visible and not, after the first visible frame."""
    after = visible[int(np.argmax(visible)) :]
    return int(np.count_nonzero(after[1:] != after[:-1]))


def _dumped(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
