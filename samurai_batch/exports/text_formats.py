"""Text files of multi-object tracking: MOT (boxes) and MOTS (masks), one for each video; frames count from 1."""

from collections.abc import Iterable, Iterator

import numpy as np

from samurai_batch.exports.tracks import VideoMasks
from samurai_batch.rle import areas_and_boxes, encode_mask
from samurai_batch.storage import quote_id

Files = Iterator[tuple[str, bytes]]

MOTS_CLASS = 2  # pedestrian, the one class that MOTSChallenge measures


def mot(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.txt``: frame, id, left, top, width, height, confidence, -1, -1, -1, as MOTChallenge takes results.

    Pixels count from 1 there. Confidence is the mask score; absent objects leave no line.
    """
    for video in videos:
        numbers = _numbers(video)
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


def _numbers(video: VideoMasks) -> dict[str, int]:
    """A number from 1 on for each object: its own, if all ids are numbers."""
    ids = video.object_ids
    if all(text.isdecimal() and text == str(int(text)) and int(text) > 0 for text in ids):
        return {text: int(text) for text in ids}
    return {text: number for number, text in enumerate(ids, start=1)}
