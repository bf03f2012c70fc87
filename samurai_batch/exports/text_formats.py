"""Text files, one per video: MOT and MOTS for multi-object tracking, GOT-10k and TrackingNet for their servers.

MOT and MOTS count frames from 1. A submission to GOT-10k or TrackingNet (zip the folder's content) has a line
``left,top,width,height`` in pixels for every frame up to the last one with a row: zeros where the object is absent or
the frame has no row. Its first line is the tracker's own box on the prompted frame.
"""

from collections.abc import Iterable

import numpy as np

from samurai_batch.errors import ConfigError
from samurai_batch.exports.video_masks import Files, VideoMasks
from samurai_batch.rle import areas_and_boxes, encode_mask
from samurai_batch.storage import quote_id

MOTS_CLASS = 2  # pedestrian, the one class that MOTSChallenge measures


def mot(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.txt``: frame, id, left, top, width, height, confidence, -1, -1, -1, as MOTChallenge takes results.

    Pixels count from 1 there. Confidence is the mask score; absent objects leave no line.
    """
    for video in videos:
        numbers = video.numbers()
        lines = []
        for frame_index, masks in video.frames():
            boxes = areas_and_boxes([mask.rle for mask in masks if mask.rle is not None])[1]
            for mask, (left, top, width, height) in zip(masks, boxes.tolist(), strict=True):
                place = f"{left + 1:g},{top + 1:g},{width:g},{height:g}"
                lines.append(f"{frame_index + 1},{numbers[mask.object_id]},{place},{mask.score:.6g},-1,-1,-1\n")
        yield f"{quote_id(video.video_id)}.txt", "".join(lines).encode()


def mots(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.txt``: frame, class * 1000 + number, class, height, width, compressed COCO RLE.

    MOTS allows no pixel in two masks: where they overlap, the higher mask score keeps it.
    """
    for video in videos:
        labels = video.labels()
        lines = []
        for frame_index, masks in video.frames():
            label_map, _ = video.label_map(masks, labels)
            for label in np.unique(label_map[label_map > 0]).tolist():
                rle = encode_mask(label_map == label)
                assert rle is not None
                place = f"{MOTS_CLASS * 1000 + label} {MOTS_CLASS} {rle.height} {rle.width} {rle.counts}"
                lines.append(f"{frame_index + 1} {place}\n")
        yield f"{quote_id(video.video_id)}.txt", "".join(lines).encode()


def got10k(videos: Iterable[VideoMasks]) -> Files:
    """``<video>/<video>_001.txt``. There is no ``<video>_time.txt``: mask tables have no processing time per frame."""
    for video in videos:
        name = quote_id(video.video_id)
        yield f"{name}/{name}_001.txt", _boxes(video, decimals=3)


def trackingnet(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.txt``."""
    for video in videos:
        yield f"{quote_id(video.video_id)}.txt", _boxes(video, decimals=2)


def _boxes(video: VideoMasks, decimals: int) -> bytes:
    ids = video.object_ids
    if len(ids) != 1:
        raise ConfigError(f"{video.video_id}: has {len(ids)} objects, the server takes one; choose it with --object")
    boxes = np.zeros((video.num_frames, 4))
    present = [(mask.frame_index, mask.rle) for mask in video.masks() if mask.rle is not None]
    boxes[[frame_index for frame_index, _ in present]] = areas_and_boxes([rle for _, rle in present])[1]
    return "".join(",".join(f"{value:.{decimals}f}" for value in box) + "\n" for box in boxes.tolist()).encode()
