"""Videos made of pictures, read by PIL: a folder of numbered frames, one picture, or one file with several pictures."""

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from samurai_batch.errors import VideoError
from samurai_batch.storage import FRAME_SUFFIXES
from samurai_batch.tasks import VideoInfo
from samurai_batch.video.frames import FrameReader, Pixels

MIN_SIDE_PX, MAX_SIDE_PX = 2, 16_384
"""Sides of a picture that can be segmented: one pixel has no parts, and masks have the picture's own size."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_READ_AS_VIDEO = {"PNG", "GIF"}  # animations in these formats are decoded by FFmpeg
_ONE_PICTURE = {"MPO"}  # a photograph followed by smaller copies or other views of it
_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, struct.error),
    Image.DecompressionBombError,
)
"""What PIL raises for files that are damaged, truncated, no pictures, or too large."""
_COPY_AGAIN = "copy it again from its source"


def picture_reader(path: Path, name: str, fps: float) -> FrameReader | None:
    """The reader of a picture file; None for other files and for animations that FFmpeg decodes.

    Raises VideoError if the picture cannot be read or has a size that cannot be segmented.
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        with Image.open(path) as image:
            image_format, num_pages = image.format, getattr(image, "n_frames", 1)
    except _UNREADABLE as error:  # also where the list of its pages is cut off
        raise _no_picture(name, error) from error
    if num_pages == 1 or image_format in _ONE_PICTURE:
        return PictureReader(path, name)
    return None if image_format in _READ_AS_VIDEO else PagesReader(path, name, fps)


class _Pictures(ABC):
    """Pictures by index. All must have the size of the first one."""

    def __init__(self, name: str, num_frames: int) -> None:
        self._name = name
        height, width, _ = self._load(0).shape
        self.info = VideoInfo(num_frames, height, width)

    @abstractmethod
    def timestamp_s(self, index: int) -> float:
        """Seconds since the first picture."""

    def read(self, start: int, stop: int, step: int = 1) -> Iterator[Pixels]:
        """Every ``step``-th picture from ``start`` on. Raises VideoError at one that is damaged or of another size."""
        for index in range(start, stop, step):
            pixels = self._load(index)
            height, width, _ = pixels.shape
            if (height, width) != (self.info.height, self.info.width):
                raise VideoError(
                    f"{self._name}: {self._label(index)} is {width}x{height} pixels, the frames before it "
                    f"{self.info.width}x{self.info.height}; all frames of a video must have the same size"
                )
            yield pixels

    def close(self) -> None:  # noqa: B027  only one of the readers keeps a file open
        """Close the file, if one is open."""

    @abstractmethod
    def _load(self, index: int) -> Pixels:
        """One picture. Raises VideoError if it cannot be read."""

    def _label(self, index: int) -> str:
        """What errors call a picture."""
        return f"picture {index}"


class FolderReader(_Pictures):
    """The images of a folder, ordered by the last number in their names, which may start anywhere.

    Hidden and other files are ignored. Frame i is shown at i / fps seconds; EXIF orientation is applied. Raises
    VideoError if there is no image, a number is missing or used twice, or the first image is unreadable.
    """

    def __init__(self, folder: Path, name: str, fps: float) -> None:
        self._fps = fps
        self._paths = _numbered_images(folder, name)
        super().__init__(name, len(self._paths))

    def timestamp_s(self, index: int) -> float:
        """Seconds since the first image."""
        return index / self._fps

    def _load(self, index: int) -> Pixels:
        path = self._paths[index]
        try:
            with Image.open(path) as image:
                return _displayed(image, f"{self._name}: {path.name}")
        except _UNREADABLE as error:
            raise VideoError(f"{self._name}: {self._label(index)} cannot be read ({error}); {_COPY_AGAIN}") from error

    def _label(self, index: int) -> str:
        return f"{self._paths[index].name} (frame {index})"


class PictureReader(_Pictures):
    """One picture as frame 0, at 0 seconds; EXIF orientation is applied.

    Raises VideoError if the file is damaged, truncated, no picture, or of a size that cannot be segmented.
    """

    def __init__(self, path: Path, name: str) -> None:
        try:
            with Image.open(path) as image:
                self._pixels = _segmentable(image, name)
        except _UNREADABLE as error:
            raise _no_picture(name, error) from error
        super().__init__(name, 1)

    def timestamp_s(self, index: int) -> float:
        """0.0, the time of the only frame."""
        return 0.0

    def _load(self, index: int) -> Pixels:
        return self._pixels


class PagesReader(_Pictures):
    """The pictures of an animated WebP or a multi-page TIFF, in their order.

    Each is shown for as long as the file says, else for 1 / fps seconds. Raises VideoError if one of them cannot be
    read, has more than 8 bits per channel, or a size that cannot be segmented.
    """

    def __init__(self, path: Path, name: str, fps: float) -> None:
        self._image = Image.open(path)
        try:
            num_pages: int = getattr(self._image, "n_frames", 1)
            super().__init__(name, num_pages)
            self._starts_s = list(accumulate((self._duration_s(page, fps) for page in range(num_pages)), initial=0.0))
        except BaseException:
            self.close()
            raise

    def timestamp_s(self, index: int) -> float:
        """Seconds since the first picture."""
        return self._starts_s[index]

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def _load(self, index: int) -> Pixels:
        try:
            self._image.seek(index)
            return _segmentable(self._image, f"{self._name}: {self._label(index)}")
        except _UNREADABLE as error:
            raise VideoError(f"{self._name}: {self._label(index)} cannot be read ({error}); {_COPY_AGAIN}") from error

    def _duration_s(self, index: int, fps: float) -> float:
        """How long a picture is shown; a WebP states it in each picture, which must be decoded first."""
        if self._image.format != "WEBP":
            return 1 / fps
        self._load(index)
        return float(self._image.info.get("duration", 1000 / fps)) / 1000


def _no_picture(name: str, error: Exception) -> VideoError:
    remedy = f"{_COPY_AGAIN}, or give it the suffix of a video if it is one"
    return VideoError(f"{name} cannot be read as a picture ({error}); {remedy}")


def _segmentable(image: Image.Image, name: str) -> Pixels:
    """As `_displayed`. Raises VideoError for sizes that cannot be segmented as well."""
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in image.size):
        raise VideoError(
            f"{name} has {image.width}x{image.height} pixels; sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} can be segmented,"
            " crop or scale it"
        )
    return _displayed(image, name)


def _displayed(image: Image.Image, name: str) -> Pixels:
    """The current picture of an open file, EXIF orientation applied. Raises VideoError for more than 8 bits."""
    if image.mode.startswith(("I", "F")):
        raise VideoError(f"{name} has more than 8 bits per channel; save it with 8 bits")
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _numbered_images(folder: Path, name: str) -> list[Path]:
    """The images of a folder, by number. Raises VideoError unless the numbers are consecutive."""
    images = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in FRAME_SUFFIXES and not path.name.startswith(".")
    ]
    if not images:
        others = sorted({path.suffix.lower() for path in folder.iterdir() if path.suffix.lower() in SUFFIXES})
        remedy = f"save its {', '.join(others)} files as .png" if others else "give a folder of frames, or a video file"
        raise VideoError(f"{name}: the folder holds no .jpg, .jpeg or .png frames; {remedy}")
    by_number: dict[int, Path] = {}
    for path in images:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise VideoError(f"{name}: {path.name} has no number; frames are named by their number, as in 00042.jpg")
        other = by_number.setdefault(int(digits[-1]), path)
        if other is not path:
            raise VideoError(
                f"{name}: {other.name} and {path.name} have the same number, the last in their names; "
                "rename one of them, or remove it"
            )
    numbers = sorted(by_number)
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise VideoError(
                f"{name}: no frame between {by_number[before].name} and {by_number[after].name}; number the frames "
                "without gaps"
            )
    return [by_number[number] for number in numbers]
