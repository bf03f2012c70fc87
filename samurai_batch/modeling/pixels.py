"""From a decoded frame to the network's input."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_model_input(
    pixels: NDArray[np.uint8], image_size: int, dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """Frame (H, W, 3) uint8 RGB -> (1, 3, image_size, image_size), resized, in [0, 1], then normalised.

    The aspect ratio is not kept, as in SAM 2. Resizing is bicubic with antialiasing on 8-bit values.
    """
    image = torch.from_numpy(pixels).to(device, non_blocking=True).permute(2, 0, 1)[None]
    if image.shape[-2:] != (image_size, image_size):
        image = _resize(image, image_size)
    return normalise(image, dtype)


def normalise(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Pixels (B, 3, H, W) in [0, 255] -> the same shape in ``dtype``, by ImageNet mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)
    deviation = torch.tensor(IMAGENET_DEVIATION, dtype=torch.float64)
    exact = torch.promote_types(dtype, torch.float32)
    scale = (1 / (255 * deviation)).to(image.device, exact)[:, None, None]
    shift = (mean / deviation).to(image.device, exact)[:, None, None]
    return (image.to(exact) * scale - shift).to(dtype)


def _resize(image: Tensor, size: int) -> Tensor:
    if image.device.type == "cpu":
        return F.interpolate(image, size=(size, size), mode="bicubic", antialias=True)
    # The 8-bit kernel exists on the CPU only; elsewhere its rounding is done by hand.
    resized = F.interpolate(image.float(), size=(size, size), mode="bicubic", antialias=True)
    return resized.round().clamp(0, 255)
