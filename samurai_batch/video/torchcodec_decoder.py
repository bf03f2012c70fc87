"""Pixels of a video file by torchcodec, which decodes on an NVIDIA GPU (NVDEC).

This has never run on a GPU: it is written from torchcodec's own sources (0.17) and tested with a stand-in for them.
Colours are converted on the GPU, so pixels differ from PyAV's, and fingerprints name the decoder. Frames are copied to
the host, as those of the other decoders are: what is saved is the CPU's time to decode.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torchcodec.decoders import VideoDecoder

from samurai_batch.errors import VideoError
from samurai_batch.video.frame_index import FrameIndex
from samurai_batch.video.frames import Pixels

FRAMES_AT_ONCE = 8


class TorchcodecDecoder:
    """Decodes one file from any frame on. Damage that the GPU's decoder does not report goes unnoticed.

    Raises VideoError if the GPU cannot decode this file, or if torchcodec would count its frames otherwise than PyAV.
    An error of the GPU itself, as where its memory ends, stays what it is: it says nothing of the file.
    """

    def __init__(self, path: Path, name: str, index: FrameIndex) -> None:
        self._name, self._index = name, index
        self._stream = torch.cuda.Stream()  # beside the network's, whose kernels a copy would wait for
        try:
            self._decoder = VideoDecoder(path, dimension_order="NHWC", device="cuda", seek_mode="exact")
        except (RuntimeError, ValueError) as error:
            if _is_of_gpu(error):
                raise
            raise self._error("cannot open it", error) from error
        if self._decoder.cpu_fallback:  # it would decode on the CPU, with other pixels
            reason = self._decoder.cpu_fallback
            raise VideoError(f"{name}: the GPU cannot decode this video ({reason}); use decoder auto")
        num_frames = len(self._decoder)
        if num_frames != len(index) or not index.is_regular:
            raise VideoError(
                f"{name}: torchcodec would number this video's frames otherwise ({num_frames}, and {len(index)} by "
                "PyAV); use decoder auto"
            )

    def frames_from(self, start: int, step: int = 1) -> Iterator[Pixels]:
        """Frame ``start`` and every ``step``-th after it; ends the iteration before. Raises VideoError."""
        while start < len(self._index):
            yield from self._frames(range(start, min(start + FRAMES_AT_ONCE * step, len(self._index)), step))
            start += FRAMES_AT_ONCE * step

    def close(self) -> None:
        """Close the file."""
        del self._decoder

    def _frames(self, frames: range) -> Pixels:
        """These frames, (N, H, W, 3)."""
        try:
            with torch.cuda.stream(self._stream):
                batch = self._decoder.get_frames_in_range(frames.start, frames.stop, frames.step).data.cpu()
        except (RuntimeError, IndexError) as error:
            if _is_of_gpu(error):
                raise
            raise self._error(f"failed at frames {frames[0]} to {frames[-1]}", error) from error
        return np.asarray(batch.numpy(), dtype=np.uint8)

    def _error(self, what: str, error: Exception) -> VideoError:
        return VideoError(f"{self._name}: torchcodec {what}: {' '.join(str(error).split())[:200]}; try decoder auto")


def _is_of_gpu(error: Exception) -> bool:
    """Whether it is CUDA that has failed: by PyTorch's types, or, where torchcodec passes it on, by its text."""
    is_by_type = isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError)
    return is_by_type or any(sign in str(error) for sign in ("out of memory", "CUDA error"))
