"""Pictures of the frames that an export names, read from the video."""

import io
import re
from collections.abc import Iterator

from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.exports.video_masks import VideoMasks
from samurai_batch.rendering.render import opened_video

JPEG_QUALITY = 95
_NAME = re.compile(r"(?:.*/)?([^/]+)/(\d+)\.[A-Za-z]+")


def picture_name(video_id: str, frame_index: int) -> str:
    """``<video>/<frame>.jpg``, the video id URL-quoted; `parsed_picture_name` gives both back."""
    return f"{storage.quote_id(video_id)}/{frame_index:06d}.jpg"


def parsed_picture_name(name: str) -> tuple[str, int] | None:
    """Video id and frame index of a picture, whatever folders are before them; None if the name has none."""
    found = _NAME.fullmatch(name)
    return None if found is None else (storage.unquote_id(found[1]), int(found[2]))


def frame_pictures(video: VideoMasks) -> Iterator[tuple[str, bytes]]:
    """The name and the JPEG of each frame that has a row.

    Raises ConfigError if it is not known where the video is, VideoError if it cannot be read.
    """
    if not video.uri:
        raise ConfigError(f"{video.video_id}: this format has pictures, and it is not known where the video is")
    with opened_video(video.uri) as source:
        for index in sorted({int(frame) for frame in video.rows["frame_index"]}):
            (frame,) = source.frames(range(index, index + 1))
            sink = io.BytesIO()
            Image.fromarray(frame.pixels).save(sink, format="JPEG", quality=JPEG_QUALITY)
            yield picture_name(video.video_id, index), sink.getvalue()
