"""A folder of numbered JPEG or PNG frames, read by PIL."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import Pixels, VideoInfo

_SUFFIXES = {".jpg", ".jpeg", ".png"}


class FolderReader:
    """The images of a folder in the order of the last number in their names, which may start anywhere.

    Other files, and hidden ones, are ignored. Frame i is shown at i / fps seconds; EXIF orientation is honoured. Raises
    VideoError if there is no image, a number is missing, a gap, or used twice, or the first image is unreadable.
    """

    def __init__(self, folder: Path, name: str, fps: float) -> None:
        self._name = name
        self._fps = fps
        self._paths = _numbered_images(folder, name)
        height, width, _ = self._load(0).shape
        self._info = VideoInfo(len(self._paths), height, width)

    @property
    def info(self) -> VideoInfo:
        """Number of images, and the first one's size."""
        return self._info

    def timestamp_s(self, index: int) -> float:
        """Seconds from the first image on."""
        return index / self._fps

    def read(self, start: int, stop: int) -> Iterator[Pixels]:
        """Images ``start`` to ``stop - 1``. Raises VideoError at one that is damaged, or of another size."""
        for index in range(start, stop):
            pixels = self._load(index)
            height, width, _ = pixels.shape
            if (height, width) != (self._info.height, self._info.width):
                raise VideoError(
                    f"{self._name}: {self._paths[index].name} (frame {index}) is {width}x{height} pixels, the frames "
                    f"before it {self._info.width}x{self._info.height}; all frames of a video need one size"
                )
            yield pixels

    def close(self) -> None:
        """Nothing is held open."""

    def _load(self, index: int) -> Pixels:
        path = self._paths[index]
        try:
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise VideoError(f"{self._name}: {path.name} has more than 8 bits per channel; save it with 8 bits")
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise VideoError(f"{self._name}: {path.name} (frame {index}) cannot be read: {error}") from error


def _numbered_images(folder: Path, name: str) -> list[Path]:
    """The folder's images, by number. Raises VideoError unless the numbers follow one another."""
    images = [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    ]
    if not images:
        raise VideoError(f"{name}: the folder holds no .jpg, .jpeg or .png frames")
    by_number: dict[int, Path] = {}
    for path in images:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise VideoError(f"{name}: {path.name} has no number; frames are named by their number, as in 00042.jpg")
        other = by_number.setdefault(int(digits[-1]), path)
        if other is not path:
            raise VideoError(f"{name}: {other.name} and {path.name} have the same number; remove one of them")
    numbers = sorted(by_number)
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise VideoError(
                f"{name}: no frame between {by_number[before].name} and {by_number[after].name}; number the frames "
                "without gaps"
            )
    return [by_number[number] for number in numbers]
