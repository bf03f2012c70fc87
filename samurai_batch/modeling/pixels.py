"""Converts decoded frames to the network's input."""

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
    image = upload(torch.from_numpy(pixels), torch.device(device)).permute(2, 0, 1)[None]
    if image.shape[-2:] != (image_size, image_size):
        image = _resize(image, image_size)
    return normalise(image, dtype)


def normalise(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Pixels (B, 3, H, W) in [0, 255] -> the same shape in ``dtype``, by ImageNet mean and deviation."""
    exact = torch.promote_types(dtype, torch.float32)
    channels = [  # Python numbers, so that nothing has to be sent to the device
        channel.to(exact) * (1 / (255 * deviation)) - mean / deviation
        for channel, mean, deviation in zip(image.unbind(1), IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)
    ]
    return torch.stack(channels, dim=1).to(dtype)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to ``device``; from the CPU to a GPU by way of pinned memory, so that the host does not wait."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _resize(image: Tensor, size: int) -> Tensor:
    if image.device.type == "cpu":
        return F.interpolate(image, size=(size, size), mode="bicubic", antialias=True)
    # The 8-bit kernel exists on the CPU only; elsewhere, round explicitly.
    resized = F.interpolate(image.float(), size=(size, size), mode="bicubic", antialias=True)
    return resized.round().clamp(0, 255)
