"""SAM and SAM 2 for single images behind one interface, `ImageNetwork`. They differ in three points:

                      SAM                             SAM 2
resizing              long side to S, then padded     both sides to S
one mask              as decoded                      the best of three where it is unstable
masks at image size   by way of S x S, padding cut    at once
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samurai_batch.modeling.checkpoints import Weights, build_model, build_sam, load_sam_weights, load_weights
from samurai_batch.modeling.configs import SAM_MODELS, SamConfig
from samurai_batch.modeling.mask_decoder import Candidates, resize_logits, take_multimask, take_single
from samurai_batch.modeling.overflow import check_not_nan
from samurai_batch.modeling.pixels import normalise, upload
from samurai_batch.modeling.sam import SAM
from samurai_batch.modeling.sam2 import SAM2

MASK_INPUT_LOGIT = 10.0  # of a mask that is given as a prompt, as SAM 2's release gives it


@dataclass(frozen=True)
class ImageFeatures:
    """The encoder's output for one image: ``image`` (1, C, h, w); ``high_res`` as in FrameFeatures."""

    image: Tensor
    high_res: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class NetworkPrompts:
    """B prompts of equal shapes as the network's input, on its device.

    points (B, P, 2) in pixels of the S x S image, box corners first; labels (B, P); has_box: whether there are
    corners; mask_logits (B, 1, S / 4, S / 4).
    """

    points: Tensor
    labels: Tensor
    has_box: bool = False
    mask_logits: Tensor | None = None


class ImageNetwork(ABC):
    """A network for single images, with its pre- and postprocessing.

    An image is resized, and placed in the top left corner of S x S pixels.
    """

    default_pred_iou_thresh: float

    def __init__(self, model: SAM | SAM2) -> None:
        self.name = model.config.name
        self.image_size = model.image_size  # S, in pixels
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype

    def scale_xy(self, height: int, width: int) -> tuple[float, float]:
        """The factors from x and y of an image of this size to pixels of the S x S image."""
        new_height, new_width = self._resized(height, width)
        return new_width / width, new_height / height

    def mask_input(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """A mask (H, W) bool of the image -> logits (S / 4, S / 4) float64 for a mask prompt."""
        size = [max(1, side // 4) for side in self._resized(*mask.shape)]
        whole = torch.from_numpy(mask).double()[None, None]
        small = F.interpolate(whole, size=size, mode="bilinear", antialias=True)[0, 0].numpy()
        logits = np.full((self.image_size // 4,) * 2, -MASK_INPUT_LOGIT)
        logits[: size[0], : size[1]] = (2 * small - 1) * MASK_INPUT_LOGIT
        if mask.any() and logits.max() <= 0:  # smaller than a cell: keep the one that it covers most
            logits[np.unravel_index(logits.argmax(), logits.shape)] = MASK_INPUT_LOGIT
        return logits

    def check_not_nan(self, ious: Iterable[float]) -> None:
        """Raise ConfigError if predicted IoUs of this network, on the host, are NaN."""
        check_not_nan(ious, self.name, self.dtype)

    @abstractmethod
    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Image (H, W, 3) uint8 RGB -> (1, 3, S, S), the encoder's input."""

    @abstractmethod
    def encode(self, prepared: Tensor) -> list[ImageFeatures]:
        """Prepared images (B, 3, S, S) -> the features of each."""

    @abstractmethod
    def decode(self, features: ImageFeatures, prompts: NetworkPrompts, *, multimask: bool) -> Candidates:
        """Three masks for each prompt or, without multimask, one; logits at S / 4."""

    @abstractmethod
    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Logits (B, M, S / 4, S / 4) -> (B, M, height, width) at image size, float32 at least."""

    @abstractmethod
    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """The size (height, width) of a resized image within the S x S pixels."""


class SamNetwork(ImageNetwork):
    """SAM."""

    default_pred_iou_thresh = 0.88

    def __init__(self, model: SAM) -> None:
        super().__init__(model)
        self.model = model

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        scale = self.image_size / max(height, width)
        # At least 1: a side of an image with an extreme aspect ratio would round to 0.
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Image (H, W, 3) -> (1, 3, S, S): 8-bit bilinear with antialiasing, normalised, padded right and below."""
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        size = self._resized(*pixels.shape[:2])
        if image.shape[-2:] != size:
            image = F.interpolate(image, size=size, mode="bilinear", antialias=True)
        normalised = normalise(upload(image, self.device), self.dtype)
        return F.pad(normalised, (0, self.image_size - size[1], 0, self.image_size - size[0]))

    def encode(self, prepared: Tensor) -> list[ImageFeatures]:
        """(B, 3, S, S) -> the features of each."""
        return [ImageFeatures(image[None]) for image in self.model.encode_image(prepared)]

    def decode(self, features: ImageFeatures, prompts: NetworkPrompts, *, multimask: bool) -> Candidates:
        """Three masks for each prompt, or the single-mask output."""
        image = features.image.expand(len(prompts.points), -1, -1, -1)
        masks = self.model.decode(image, prompts.points, prompts.labels, prompts.mask_logits, has_box=prompts.has_box)
        return take_multimask(masks) if multimask else take_single(masks, fall_back_if_unstable=False)

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Resize to S x S, remove the padding, then resize to the image's size."""
        padded = resize_logits(_exact(logits), self.image_size, self.image_size)
        new_height, new_width = self._resized(height, width)
        return resize_logits(padded[..., :new_height, :new_width], height, width)


class Sam2Network(ImageNetwork):
    """SAM 2 on single images, without memory."""

    default_pred_iou_thresh = 0.8

    def __init__(self, model: SAM2) -> None:
        super().__init__(model)
        self.model = model

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        return self.image_size, self.image_size

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Image (H, W, 3) -> (1, 3, S, S), normalised; bilinear with antialiasing, in floating point.

        As in the release, which resizes frames of videos differently (bicubic, 8 bits).
        """
        image = upload(torch.from_numpy(pixels), self.device).permute(2, 0, 1)[None]
        size = (self.image_size, self.image_size)
        if image.shape[-2:] != size:
            image = F.interpolate(image.float(), size=size, mode="bilinear", antialias=True)
        return normalise(image, self.dtype)

    def encode(self, prepared: Tensor) -> list[ImageFeatures]:
        """(B, 3, S, S) -> the features of each."""
        features = self.model.encode_image(prepared)
        one_by_one = [features.frame(index) for index in range(len(prepared))]
        return [ImageFeatures(self.model.without_memory(one), one.high_res) for one in one_by_one]

    def decode(self, features: ImageFeatures, prompts: NetworkPrompts, *, multimask: bool) -> Candidates:
        """Three masks for each prompt, or the single-mask output, with the release's fallback if it is unstable."""
        image = features.image.expand(len(prompts.points), -1, -1, -1)
        if prompts.points.shape[1] > 0:
            masks = self.model.decode(image, features.high_res, prompts.points, prompts.labels, prompts.mask_logits)
        else:  # only a mask: unlike on a tracked frame, without a padding point
            no_points = self.model.sam_prompt_encoder.embed_points(prompts.points, prompts.labels)
            masks = self.model.decode_embedded(image, features.high_res, no_points, prompts.mask_logits)
        return take_multimask(masks) if multimask else take_single(masks, fall_back_if_unstable=True)

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Resize to the image's size."""
        return resize_logits(_exact(logits), height, width)


def load_network(
    model: str,
    weights: str | None = None,
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> ImageNetwork:
    """The network of a model by its name in the model table (see :mod:`samurai_batch.modeling.checkpoints`).

    Raises ConfigError and CheckpointError as `load_image_weights` and `build_network` do.
    """
    return build_network(load_image_weights(model, weights), image_size, dtype, device)


def load_image_weights(model: str, weights: str | None = None) -> Weights | Weights[SamConfig]:
    """The weights of a SAM or a SAM 2, by its name. Raises ConfigError and CheckpointError."""
    return load_sam_weights(model, weights) if model in SAM_MODELS else load_weights(model, weights)


def build_network(
    weights: Weights | Weights[SamConfig],
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> ImageNetwork:
    """The network with these weights. Raises ConfigError for an unsupported image size."""
    if isinstance(weights.config, SamConfig):
        return SamNetwork(build_sam(weights, image_size, dtype, device))
    return Sam2Network(build_model(weights, image_size, dtype, device))


def _exact(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
