"""`ImagePredictor`: prompts on one encoded image, with SAM or SAM 2.

    predictor = ImagePredictor(load_network("nano"))
    predictor.set_image(pixels)
    prediction = predictor.predict(points_xy=[(120, 80)], labels=[1])
    prediction.masks, prediction.ious      # three masks, because one click is ambiguous

Coordinates are pixels of the image, x before y; the origin is its top left corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from samurai_batch.errors import PromptError
from samurai_batch.images.networks import ImageFeatures, ImageNetwork, NetworkPrompts
from samurai_batch.images.prompts import BatchPrompts, check_image, check_prompts
from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.pixels import upload
from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT

LOGIT_LIMIT = 32.0  # of the returned low-resolution logits, as in SAM 2's release
MASK_THRESHOLD = 0.0


@dataclass(frozen=True)
class EncodedImage:
    """The features of an image of (height, width) pixels; can be kept and set again later."""

    features: ImageFeatures
    height: int
    width: int


@dataclass(frozen=True)
class Prediction:
    """The masks of one prompt (leading axis M) or of B prompts (leading axes B, M): M is 3, or 1 without multimask.

    masks (…, H, W) bool at image size; ious (…) float64, predicted; low_res_logits (…, S / 4, S / 4) float32 in
    [−32, 32], usable as ``mask_logits`` of the next prompt; logits (…, H, W) float32 with ``return_logits``.
    """

    masks: NDArray[np.bool_]
    ious: NDArray[np.float64]
    low_res_logits: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None

    @property
    def best(self) -> int:
        """The index of the mask with the highest predicted IoU, for one prompt."""
        return int(self.ious.argmax())


class ImagePredictor:
    """Predicts masks with one network; its only state is the image that was set."""

    def __init__(self, network: ImageNetwork) -> None:
        self.network = network
        self._image: EncodedImage | None = None

    @property
    def image(self) -> EncodedImage:
        """The image that was set last; raises PromptError if none was."""
        if self._image is None:
            raise PromptError("no image is set; call set_image first")
        return self._image

    def set_image(self, image: NDArray[np.uint8] | EncodedImage) -> None:
        """Encode an image (H, W, 3) uint8 RGB, or take an encoded one, for the prompts that follow."""
        self._image = image if isinstance(image, EncodedImage) else self.encode([image])[0]

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        """Encode images (H, W, 3) uint8 RGB, of any sizes, in one batch."""
        for image in images:
            check_image(image)
        prepared = torch.cat([self.network.prepare(np.ascontiguousarray(image)) for image in images])
        features = self.network.encode(prepared)
        return [EncodedImage(one, image.shape[0], image.shape[1]) for one, image in zip(features, images, strict=True)]

    def predict(
        self,
        *,
        points_xy: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box_xyxy: ArrayLike | None = None,
        mask_logits: ArrayLike | None = None,
        multimask: bool = True,
        return_logits: bool = False,
    ) -> Prediction:
        """Predict masks for a prompt: clicks (P, 2) with labels (P,), 1 on the object, 0 beside it; a box (4,); a mask.

        mask_logits (S / 4, S / 4): low-resolution logits of an earlier prediction. With ``multimask``, three masks.
        Raises PromptError for an invalid prompt, or one that does not fit the image.
        """
        batch = self.predict_batch(
            points_xy=None if points_xy is None else np.asarray(points_xy)[None],
            labels=None if labels is None else np.asarray(labels)[None],
            boxes_xyxy=None if box_xyxy is None else np.asarray(box_xyxy)[None],
            mask_logits=None if mask_logits is None else np.asarray(mask_logits)[None],
            multimask=multimask,
            return_logits=return_logits,
        )
        logits = None if batch.logits is None else batch.logits[0]
        return Prediction(batch.masks[0], batch.ious[0], batch.low_res_logits[0], logits)

    def predict_batch(
        self,
        *,
        points_xy: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        boxes_xyxy: ArrayLike | None = None,
        mask_logits: ArrayLike | None = None,
        multimask: bool = True,
        return_logits: bool = False,
    ) -> Prediction:
        """Predict masks for B prompts on the image at once, each as `predict` does.

        points_xy (B, P, 2), labels (B, P), boxes_xyxy (B, 4), mask_logits (B, S / 4, S / 4). Raises ConfigError if the
        network computes NaN, as by an overflow in float16.
        """
        image = self.image
        prompts = check_prompts(points_xy, labels, boxes_xyxy, mask_logits, self.network.image_size // 4)
        prompts.check_inside(image.height, image.width)
        candidates = self.decode(prompts, multimask=multimask)
        ious = candidates.ious.double().cpu().numpy()
        self.network.check_not_nan(ious.flat)
        logits = self.logits_at_image_size(candidates.logits)
        return Prediction(
            masks=(logits > MASK_THRESHOLD).cpu().numpy(),
            ious=ious,
            low_res_logits=candidates.logits.float().clamp(-LOGIT_LIMIT, LOGIT_LIMIT).cpu().numpy(),
            logits=logits.float().cpu().numpy() if return_logits else None,
        )

    @torch.inference_mode()
    def decode(self, prompts: BatchPrompts, *, multimask: bool) -> Candidates:
        """The decoder's candidates for B prompts in pixels of the image: tensors on the device, logits at S / 4."""
        return self.network.decode(self.image.features, self._to_network(prompts), multimask=multimask)

    @torch.inference_mode()
    def logits_at_image_size(self, logits: Tensor) -> Tensor:
        """Logits (B, M, S / 4, S / 4) -> (B, M, H, W)."""
        return self.network.to_image(logits, self.image.height, self.image.width)

    def _to_network(self, prompts: BatchPrompts) -> NetworkPrompts:
        """Scale prompts to the S x S image; box corners become the first two points."""
        boxes = prompts.clipped_boxes(self.image.height, self.image.width)
        points, labels = prompts.points_xy, prompts.labels
        if boxes is not None:
            points = np.concatenate((boxes.reshape(-1, 2, 2), points), axis=1)
            corners = np.broadcast_to((BOX_TOP_LEFT, BOX_BOTTOM_RIGHT), (len(points), 2))
            labels = np.concatenate((corners, labels), axis=1)
        scaled = points * self.network.scale_xy(self.image.height, self.image.width)
        device, dtype = self.network.device, self.image.features.image.dtype
        exact = torch.promote_types(dtype, torch.float32)
        mask = prompts.mask_logits
        return NetworkPrompts(
            points=upload(torch.from_numpy(scaled).to(exact), device),
            labels=upload(torch.from_numpy(labels.astype(np.int64)), device),
            has_box=boxes is not None,
            mask_logits=None if mask is None else upload(torch.from_numpy(mask)[:, None].to(dtype), device),
        )
