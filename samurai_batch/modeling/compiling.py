"""Compiles the image encoder with `torch.compile`, for frames of one shape.

While tracing, every layer takes its plain path (`products.runs_on_cpu`), whose operators PyTorch's compiler fuses. For
measurements see the docstring of `samurai_batch.benchmark`.
"""

from typing import Any

import torch
from torch import Tensor

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.operations import EncodeImage
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures


def compiled_encoder(model: SAM2, frames_per_batch: int = 1) -> EncodeImage:
    """`SAM2.encode_image` for up to ``frames_per_batch`` frames, compiled in this call, which takes a minute or two.

    Smaller batches are padded, so that there is one shape. Pixels that were made in inference mode, or have other
    strides, are copied: to the compiler they are other inputs, for which it would compile in the middle of a job.
    Raises ConfigError if compiling fails.
    """
    parameter = model.no_obj_ptr
    # On the CPU, freezing the weights lets the compiler pack them for oneDNN.
    options: dict[str, Any] | None = {"freezing": True} if parameter.device.type == "cpu" else None
    encode = torch.compile(model.encode_image, dynamic=False, fullgraph=True, options=options)

    @torch.inference_mode()
    def encode_image(pixels: Tensor) -> FrameFeatures:
        count = len(pixels)
        if count < frames_per_batch or pixels.is_inference() or not pixels.is_contiguous():
            with torch.inference_mode(False):
                pixels = torch.cat((pixels, pixels[-1:].expand(frames_per_batch - count, -1, -1, -1)))
        features: FrameFeatures = encode(pixels)
        return features if count == len(pixels) else features.frames(slice(count))

    size = model.image_size
    try:
        encode_image(torch.zeros(frames_per_batch, 3, size, size, dtype=parameter.dtype, device=parameter.device))
    except Exception as error:  # compilers raise errors of many types; better here than on the first frame
        cause = getattr(error, "inner_exception", error)
        remedy = "install a C++ compiler and Python's headers where replicas run"
        if isinstance(cause, torch.OutOfMemoryError):
            remedy = "lower frames_per_batch or image_size, let fewer replicas share a GPU"
        reason = str(cause).strip().splitlines()[0]
        raise ConfigError(
            f"compile: the image encoder could not be compiled ({reason}); {remedy}, or leave compile out"
        ) from error
    return encode_image
