"""Frames of a video in the form that the network takes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch

from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tracking.stopwatch import Stopwatch
from samurai_batch.video import Frame
from samurai_batch.video.frames import FrameSource


class TimedFrameSource(FrameSource, Protocol):
    """One that knows the times of frames that it does not read."""

    def timestamp_s(self, index: int) -> float:
        """Presentation time of a frame in seconds."""
        ...


@dataclass(frozen=True)
class FrameInfo:
    """Index and time of a frame, and its size in pixels of the video."""

    index: int
    timestamp_s: float
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


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


class EncodedBatches:
    """Batches and their features, one after the other; the next one can be encoded before it is asked for."""

    def __init__(
        self, batches: Iterator[FrameBatch], encode: Callable[[torch.Tensor], FrameFeatures], watch: Stopwatch
    ) -> None:
        self._batches, self._encode, self._watch = batches, encode, watch
        self._next: tuple[FrameBatch, FrameFeatures] | None = None
        self.frames_encoded = 0

    def encode_ahead(self) -> None:
        """Encode the next batch within a step; waits until its frames have been read."""
        self._watch.lap("propagate")
        self._next = self._next or self._encoded()

    def __iter__(self) -> Iterator[tuple[FrameBatch, FrameFeatures]]:
        """All batches; seconds count as "decode" until a batch has been read, and then as "encode"."""
        while (batch := self._next or self._encoded()) is not None:
            self._next = None
            yield batch

    def _encoded(self) -> tuple[FrameBatch, FrameFeatures] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        self._watch.lap("decode")
        features = self._encode(batch.pixels)
        self.frames_encoded += len(batch.frames)
        self._watch.lap("encode")
        return batch, features


def _info(frame: Frame) -> FrameInfo:
    return FrameInfo(frame.index, frame.timestamp_s, *frame.pixels.shape[:2])
