"""Frames of a video in the form that the network takes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch

from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.video import Frame, VideoInfo


class FrameSource(Protocol):
    """What is read of a video: :class:`samurai_batch.video.VideoSource`, or anything like it."""

    @property
    def info(self) -> VideoInfo:
        """Number and size of frames."""
        ...

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames, in the order of ``indices``."""
        ...


@dataclass(frozen=True)
class FrameInfo:
    """Index and time of a frame, and its size in pixels of the video."""

    index: int
    timestamp_s: float
    height: int
    width: int


@dataclass(frozen=True)
class FrameBatch:
    """B frames, and their pixels (B, 3, S, S) on the network's device and in its dtype."""

    frames: tuple[FrameInfo, ...]
    pixels: torch.Tensor


def frame_batches(model: SAM2, frames: Iterable[Frame], frames_per_batch: int) -> Iterator[FrameBatch]:
    """Scale frames one by one and join ``frames_per_batch`` of them; the last batch may be smaller."""
    dtype, device = model.no_obj_ptr.dtype, model.no_obj_ptr.device
    scaled = ((_info(frame), to_model_input(frame.pixels, model.image_size, dtype, device)) for frame in frames)
    while batch := tuple(islice(scaled, frames_per_batch)):
        infos, pixels = zip(*batch, strict=True)
        yield FrameBatch(infos, pixels[0] if len(pixels) == 1 else torch.cat(pixels))


def _info(frame: Frame) -> FrameInfo:
    return FrameInfo(frame.index, frame.timestamp_s, *frame.pixels.shape[:2])
