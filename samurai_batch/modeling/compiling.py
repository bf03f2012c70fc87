"""The image encoder by `torch.compile`, for frames that all have one shape.

Traced code takes the plain path of every layer (`products.runs_on_cpu`), which PyTorch's compiler fuses as it sees fit.
What that costs and brings is in the docstring of `samurai_batch.benchmark`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures

EncodeImage = Callable[[Tensor], FrameFeatures]


def compiled_encoder(model: SAM2, frames_per_batch: int = 1) -> EncodeImage:
    """`SAM2.encode_image` for up to ``frames_per_batch`` frames, compiled here and now, within a minute or two.

    Fewer frames are filled up, so that there is one shape. Raises ConfigError where the compiler cannot work.
    """
    parameter = model.no_obj_ptr
    # On the CPU weights are frozen, and so packed for oneDNN.
    options: dict[str, Any] | None = {"freezing": True} if parameter.device.type == "cpu" else None
    encode = torch.compile(model.encode_image, dynamic=False, fullgraph=True, options=options)

    @torch.inference_mode()
    def encode_image(pixels: Tensor) -> FrameFeatures:
        count = len(pixels)
        if count < frames_per_batch:
            pixels = torch.cat((pixels, pixels[-1:].expand(frames_per_batch - count, -1, -1, -1)))
        features: FrameFeatures = encode(pixels)
        return features if count == len(pixels) else features.frames(slice(count))

    size = model.image_size
    try:
        encode_image(torch.zeros(frames_per_batch, 3, size, size, dtype=parameter.dtype, device=parameter.device))
    except Exception as error:  # of whatever compiler; it is told here, not on the first frame
        reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
        raise ConfigError(
            f"compile: the image encoder could not be compiled here ({reason}); install a C++ compiler and Python's"
            " headers where replicas run, or leave compile out"
        ) from error
    return encode_image
