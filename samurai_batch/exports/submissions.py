"""What the servers of GOT-10k and TrackingNet take: text files of one box on each frame. Zip the folder's content.

A line is ``left,top,width,height`` in pixels, for every frame from the first to the last with a row; zeros where the
object is absent, or a frame has no row. The first line is the tracker's own box of the prompted frame.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from samurai_batch.errors import ConfigError
from samurai_batch.exports.tracks import VideoMasks
from samurai_batch.rle import areas_and_boxes
from samurai_batch.storage import quote_id

Files = Iterator[tuple[str, bytes]]


def got10k(videos: Iterable[VideoMasks]) -> Files:
    """``<video>/<video>_001.txt``. Without ``<video>_time.txt``: mask tables do not tell the time of single frames."""
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
        raise ConfigError(f"{video.video_id}: has {len(ids)} objects, the server takes one; choose it by --object")
    boxes = np.zeros((video.num_frames, 4))
    present = [(mask.frame_index, mask.rle) for mask in video.masks() if mask.rle is not None]
    boxes[[frame_index for frame_index, _ in present]] = areas_and_boxes([rle for _, rle in present])[1]
    return "".join(",".join(f"{value:.{decimals}f}" for value in box) + "\n" for box in boxes.tolist()).encode()
