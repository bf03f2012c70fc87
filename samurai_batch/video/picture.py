"""A single picture: a video of one frame, read by PIL."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import Pixels, VideoInfo

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MIN_SIDE_PX, MAX_SIDE_PX = 2, 16_384
"""What can be segmented: one pixel has no parts, and masks are made at the picture's own size."""

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What PIL raises for files that are damaged, cut off, no pictures, or too large."""


class PictureReader:
    """One picture as frame 0, at 0 seconds; EXIF orientation is honoured.

    Raises VideoError for what is damaged, cut off, no picture, or of a size that cannot be segmented.
    """

    def __init__(self, path: Path, name: str) -> None:
        try:
            with Image.open(path) as image:
                self._pixels = pixels_of(image, name)
        except UNREADABLE as error:
            raise VideoError(f"{name} cannot be read as a picture: {error}") from error
        height, width, _ = self._pixels.shape
        self._info = VideoInfo(1, height, width)

    @property
    def info(self) -> VideoInfo:
        """One frame of the picture's size as displayed."""
        return self._info

    def timestamp_s(self, index: int) -> float:
        """The picture is at the beginning."""
        return 0.0

    def read(self, start: int, stop: int) -> Iterator[Pixels]:
        """The picture, for frame 0."""
        yield from [self._pixels][start:stop]

    def close(self) -> None:
        """Nothing is held open."""


def pixels_of(image: Image.Image, name: str) -> Pixels:
    """The picture an open file stands at, as displayed. Raises VideoError for sizes and depths that cannot be used."""
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in image.size):
        raise VideoError(
            f"{name} has {image.width}x{image.height} pixels; sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} can be segmented,"
            " crop or scale it"
        )
    if image.mode.startswith(("I", "F")):
        raise VideoError(f"{name} has more than 8 bits per channel; save it with 8 bits")
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))
