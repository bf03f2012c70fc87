"""The sequences of a benchmark, and the ground truth of their objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.errors import ConfigError
from samurai_batch.prompts import Rle
from samurai_batch.rle import decode_mask

Mask = NDArray[np.bool_]
PngKind = Literal["binary", "labels"]

VOID_LABEL = 255


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """Boxes on consecutive frames from ``start``: ``boxes_xywh`` (T, 4), and whether the target is ``visible`` (T,).

    Pixels count as in the benchmark's files.
    """

    start: int
    boxes_xywh: NDArray[np.float64]
    visible: NDArray[np.bool_]

    def first_frame(self) -> int:
        """The frame of the first box."""
        return self.start


@dataclass(frozen=True)
class MaskTruth:
    """PNGs of the annotated frames, by frame index.

    In PNGs of kind "labels", ``label`` is the object's value and 255 is void; in "binary" ones the object is not 0.
    """

    pngs: Mapping[int, Path]
    kind: PngKind
    label: int = 1

    def read(self, frame_index: int) -> tuple[Mask, Mask | None]:
        """The mask of an annotated frame, (H, W) bool, and its void pixels if the benchmark has them."""
        values = read_png(self.pngs[frame_index])
        if self.kind == "binary":
            return values != 0, None
        return values == self.label, values == VOID_LABEL

    def first_frame(self) -> int:
        """The first annotated frame that shows the object. Raises ConfigError if none does."""
        for frame_index in sorted(self.pngs):
            if self.read(frame_index)[0].any():
                return frame_index
        folder = next(iter(self.pngs.values())).parent
        raise ConfigError(f"{folder}: no annotation shows object {self.label}; is the data set complete?")


@dataclass(frozen=True)
class RleTruth:
    """Masks as run lengths, by frame index. There is at least one."""

    masks: Mapping[int, Rle]

    def read(self, frame_index: int) -> tuple[Mask, None]:
        """The mask of an annotated frame, (H, W) bool, and no void pixels."""
        return decode_mask(self.masks[frame_index]), None

    def first_frame(self) -> int:
        """The first annotated frame that shows the object."""
        return min(self.masks)


Truth: TypeAlias = BoxTruth | MaskTruth | RleTruth


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """All that is annotated on one frame: boxes, (G, 4) xywh, or masks, for G annotations.

    ``is_scored`` (G,): objects to track. ``is_distractor`` (G,): a prediction that matches one does not count. An
    annotation that is neither takes part in that matching alone. A prediction that matches nothing and lies mostly in
    the ``ignored`` region does not count either.
    """

    object_ids: tuple[str, ...]
    shapes: NDArray[np.float64] | tuple[Rle, ...]
    is_scored: NDArray[np.bool_]
    is_distractor: NDArray[np.bool_]
    ignored: Rle | None = None


@dataclass(frozen=True)
class Sequence:
    """One video of a benchmark: a folder of frames, and the ground truth of each object by its id.

    Benchmarks that are measured over all objects together have ``frames`` too: every annotated frame by its index, also
    those without an object.
    """

    name: str
    frames_folder: Path
    objects: Mapping[str, Truth]
    frames: Mapping[int, FrameTruth] = field(default_factory=dict)


def read_png(path: Path) -> NDArray[np.uint8]:
    """The values of a grey or palette PNG, (H, W) uint8. Raises ConfigError if it is neither, or damaged."""
    try:
        with Image.open(path) as image:
            values = np.array(image if image.mode in ("L", "P") else image.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as an annotation ({error}); fetch the data set again") from error
    return values
