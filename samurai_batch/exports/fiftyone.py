"""FiftyOne: a dataset of videos with the masks of each frame, for FiftyOne's own importer.

    fiftyone.Dataset.from_dir("<folder>", dataset_type=fiftyone.types.FiftyOneVideoLabelsDataset)

Every sample has a frame field ``tracks`` of detections: label and ``index`` name the object, confidence is the mask
score, the instance mask is that of its box. FiftyOne counts frames from 1. ``manifest.json`` names local videos where
they are; a remote one is expected in ``data/``.
"""

import io
import json
import zlib
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samurai_batch.exports.video_masks import Files, MaskOnFrame, VideoMasks
from samurai_batch.prompts import Rle
from samurai_batch.rle import box_xywh_of, decode_mask
from samurai_batch.storage import file_name, is_remote, local_path, quote_id

FIELD = "tracks"


def fiftyone(videos: Iterable[VideoMasks]) -> Files:
    """``labels/<video>.json`` for each video, and ``manifest.json``."""
    index = []
    for video in videos:
        labels = f"labels/{quote_id(video.video_id)}.json"
        index.append({"data": _data(video), "labels": labels})
        yield labels, json.dumps({"frames": _frames(video)}, ensure_ascii=False).encode()
    manifest = {"type": "eta.core.datasets.LabeledVideoDataset", "description": "", "index": index}
    yield "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1).encode()


def _data(video: VideoMasks) -> str:
    if video.uri and not is_remote(video.uri):
        return str(Path(local_path(video.uri)).absolute())
    return f"data/{file_name(video.uri) or quote_id(video.video_id)}"


def _frames(video: VideoMasks) -> dict[str, Any]:
    numbers = video.numbers()
    frames = {}
    for frame_index, masks in video.frames():
        objects = [_object(mask, mask.rle, numbers[mask.object_id]) for mask in masks if mask.rle is not None]
        number = frame_index + 1
        frames[str(number)] = {"frame_number": number, "objects": {"objects": objects}}
    return frames


def _object(mask: MaskOnFrame, rle: Rle, number: int) -> dict[str, Any]:
    left, top, width, height = box_xywh_of(rle)
    right, bottom = left + width, top + height
    box = {
        "top_left": {"x": left / rle.width, "y": top / rle.height},
        "bottom_right": {"x": right / rle.width, "y": bottom / rle.height},
    }
    return {
        "type": "eta.core.objects.DetectedObject",
        "name": FIELD,
        "label": mask.object_id,
        "index": number,
        "confidence": mask.score,
        "bounding_box": box,
        "mask": _packed(decode_mask(rle)[top:bottom, left:right]),
    }


def _packed(mask: NDArray[np.bool_]) -> str:
    """An array as FiftyOne stores it: NumPy's file format, compressed, as text."""
    sink = io.BytesIO()
    np.save(sink, mask, allow_pickle=False)
    return b64encode(zlib.compress(sink.getvalue())).decode("ascii")
