"""PNGs: DAVIS' label maps with its palette, and one black and white PNG per object and frame."""

import io
import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.exports.video_masks import Files, VideoMasks
from samurai_batch.rle import decode_mask
from samurai_batch.storage import quote_id


def davis(videos: Iterable[VideoMasks]) -> Files:
    """``Annotations/<video>/<frame>.png`` with the labels of ``objects.json``, and ``PerObject/...``.

    A pixel has one label: where masks overlap, that of the higher mask score. For videos with overlapping masks, the
    complete masks are in ``PerObject/<video>/<object>/<frame>.png`` as well.
    """
    all_labels: dict[str, dict[str, int]] = {}
    for video in videos:
        labels = all_labels[video.video_id] = video.labels()
        overlapping = False
        for frame_index, masks in video.frames():
            label_map, num_shared = video.label_map(masks, labels)
            overlapping |= num_shared > 0
            yield f"Annotations/{quote_id(video.video_id)}/{frame_index:05d}.png", palette_png(label_map)
        if overlapping:
            yield from ((f"PerObject/{name}", data) for name, data in per_object_png([video]))
    yield "objects.json", json.dumps(all_labels, ensure_ascii=False, indent=1).encode()


def per_object_png(videos: Iterable[VideoMasks]) -> Files:
    """``<video>/<object>/<frame>.png`` for every row: 255 on the object, 0 elsewhere."""
    for video in videos:
        nothing = np.zeros((video.height, video.width), np.bool_)
        for mask in video.masks():
            pixels = nothing if mask.rle is None else decode_mask(mask.rle)
            folder = f"{quote_id(video.video_id)}/{quote_id(mask.object_id)}"
            yield f"{folder}/{mask.frame_index:05d}.png", _png(Image.fromarray(pixels.view(np.uint8) * 255))


def palette_png(label_map: NDArray[np.uint8]) -> bytes:
    """A (H, W) uint8 map of labels as a PNG with DAVIS' palette."""
    image = Image.fromarray(label_map)
    image.putpalette(davis_palette().tobytes())
    return _png(image)


def davis_palette() -> NDArray[np.uint8]:
    """(256, 3) uint8 RGB, Pascal VOC's colours: bit 3 j + k of a label is bit 7 - j of its channel k."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for triple in range(3):
        for channel in range(3):
            palette[:, channel] |= (((labels >> (3 * triple + channel)) & 1) << (7 - triple)).astype(np.uint8)
    return palette


def _png(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format="PNG")
    return sink.getvalue()
