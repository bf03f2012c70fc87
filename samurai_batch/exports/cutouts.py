"""Video with alpha for each object: the object's pixels are opaque, all others transparent.

``<video>/<object>.mov`` (``prores4444``) or ``.webm`` (``vp9-alpha``) has every frame from the object's first row to
its last one; where it is absent, or has no row, the frame is transparent. Colours are kept up to `MARGIN_PX` around the
object's box, for soft edges, and are black beyond, which takes fewer bytes. The videos are read. A file is made in
memory.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.exports.video_masks import Files, MaskOnFrame, VideoMasks
from samurai_batch.rendering.alpha import PRORES_4444, VP9, AlphaCodec, alpha_video
from samurai_batch.rendering.render import opened_video
from samurai_batch.rle import box_xywh_of, decode_mask
from samurai_batch.storage import quote_id

MARGIN_PX = 16


def cutouts(codec: AlphaCodec, videos: Iterable[VideoMasks]) -> Files:
    """A file for each object. Raises ConfigError if it is not known where a video is, VideoError if it is damaged."""
    for video in videos:
        if not video.uri:
            raise ConfigError(f"{video.video_id}: its frames are needed, and it is not known where the video is")
        for object_id, masks in video.tracks():
            name = f"{quote_id(video.video_id)}/{quote_id(object_id)}.{codec.suffix}"
            yield name, alpha_video(codec, _frames(video.uri, masks))


prores4444 = partial(cutouts, PRORES_4444)
vp9_alpha = partial(cutouts, VP9)


def _frames(uri: str, masks: list[MaskOnFrame]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    rles = {mask.frame_index: mask.rle for mask in masks}
    with opened_video(uri) as source:
        for frame in source.frames(range(min(rles), max(rles) + 1)):
            rle = rles.get(frame.index)
            picture = np.zeros((*frame.pixels.shape[:2], 4), np.uint8)
            if rle is not None:
                left, top, width, height = box_xywh_of(rle)
                near = (
                    slice(max(top - MARGIN_PX, 0), top + height + MARGIN_PX),
                    slice(max(left - MARGIN_PX, 0), left + width + MARGIN_PX),
                )
                picture[(*near, slice(3))] = frame.pixels[near]
                picture[..., 3] = decode_mask(rle).view(np.uint8) * np.uint8(255)
            yield frame.timestamp_s, picture
