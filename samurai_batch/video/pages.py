"""Several pictures in one file, as frames: animated WebP, and the pages of a TIFF, read by PIL."""

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from PIL import Image

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import Pixels, VideoInfo
from samurai_batch.video.picture import UNREADABLE, pixels_of

_OF_VIDEOS = {"PNG", "GIF"}  # whose animations are read as video files are
_ONE_PICTURE = {"MPO"}  # a photograph, with smaller copies or other views of it behind


def is_animation(path: Path) -> bool:
    """Whether a picture file is one that the video decoders read."""
    image_format, num_pages = _format(path)
    return image_format in _OF_VIDEOS and num_pages > 1


def has_pages(path: Path) -> bool:
    """Whether a picture file holds several pictures that are its frames."""
    image_format, num_pages = _format(path)
    return image_format not in _ONE_PICTURE | _OF_VIDEOS and num_pages > 1


def _format(path: Path) -> tuple[str, int]:
    try:
        with Image.open(path) as image:
            return image.format or "", getattr(image, "n_frames", 1)
    except UNREADABLE:
        return "", 1


class PagesReader:
    """The pictures of one file in their order, each shown for as long as the file says, or for 1 / fps seconds.

    Raises VideoError if one of them cannot be read, has more than 8 bits, or a size that cannot be segmented.
    """

    def __init__(self, path: Path, name: str, fps: float) -> None:
        self._name = name
        self._image = Image.open(path)
        try:
            num_pages: int = getattr(self._image, "n_frames", 1)
            height, width, _ = self._page(0).shape
            self._starts_s = list(accumulate((self._duration_s(page, fps) for page in range(num_pages)), initial=0.0))
        except BaseException:
            self.close()
            raise
        self._info = VideoInfo(num_pages, height, width)

    @property
    def info(self) -> VideoInfo:
        """The number of pictures, and the first one's size."""
        return self._info

    def timestamp_s(self, index: int) -> float:
        """Seconds from the first picture on."""
        return self._starts_s[index]

    def read(self, start: int, stop: int) -> Iterator[Pixels]:
        """Pictures ``start`` to ``stop - 1``. Raises VideoError at one that is damaged, or of another size."""
        for index in range(start, stop):
            pixels = self._page(index)
            height, width, _ = pixels.shape
            if (height, width) != (self._info.height, self._info.width):
                raise VideoError(
                    f"{self._name}: picture {index} is {width}x{height} pixels, the ones before it "
                    f"{self._info.width}x{self._info.height}; save pictures of different sizes as files of their own"
                )
            yield pixels

    def close(self) -> None:
        """Let the file go."""
        self._image.close()

    def _page(self, index: int) -> Pixels:
        try:
            self._image.seek(index)
            return pixels_of(self._image, f"{self._name}: picture {index}")
        except UNREADABLE as error:
            raise VideoError(f"{self._name}: picture {index} cannot be read: {error}") from error

    def _duration_s(self, index: int, fps: float) -> float:
        """How long a picture is shown; WebP tells it when the picture has been decoded."""
        if self._image.format != "WEBP":
            return 1 / fps
        self._page(index)
        return float(self._image.info.get("duration", 1000 / fps)) / 1000
