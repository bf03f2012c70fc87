"""Everything mode: all masks of an image, without prompts. Source: https://arxiv.org/abs/2304.02643, appendix B.

    crops ──> grid of points ──> three masks each ──> predicted IoU, stability, not cut by the crop
          ──> no duplicates in a crop ──> no duplicates between crops ──> holes and islands ──> no duplicates

Boxes end after their last pixel, so that a mask one pixel wide has an area; in SAM's code they end on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.images.crops import Crop, cut_by_crop, make_crops, point_grid, points_in_layer
from samurai_batch.images.filters import stability_scores, without_duplicates, without_small_regions
from samurai_batch.images.predictor import MASK_THRESHOLD, EncodedImage, ImagePredictor
from samurai_batch.images.prompts import BatchPrompts
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.modeling.pixels import upload
from samurai_batch.prompts import Box, Rle
from samurai_batch.rle import decode_mask, encode_mask

LOGITS_PER_STEP = 2**25
"""The number of logits at image size that are computed at a time (128 MiB in float32), or those of one mask."""


@dataclass(frozen=True)
class AutoMask:
    """An automatic mask at image size, with its area in pixels and its scores.

    box_xyxy and crop_xyxy end after their last pixel; point_xy is the click that prompted it, mask_index the index of
    the multimask output, object_score the logit of "the object is visible" (+inf for SAM).
    """

    mask: Rle
    area: int
    box_xyxy: Box
    predicted_iou: float
    stability_score: float
    point_xy: tuple[float, float]
    crop_xyxy: tuple[int, int, int, int]
    mask_index: int
    object_score: float


def segment_everything(
    predictor: ImagePredictor,
    pixels: NDArray[np.uint8],
    settings: EverythingSettings | None = None,
    encoded: EncodedImage | None = None,
) -> list[AutoMask]:
    """All masks of an image (H, W, 3) uint8 RGB, highest predicted IoU first. Sets images on the predictor.

    ``encoded`` is the encoded image, if the predictor has encoded it before.
    """
    settings = settings or EverythingSettings()
    if settings.pred_iou_thresh is None:
        settings = replace(settings, pred_iou_thresh=predictor.network.default_pred_iou_thresh)
    height, width = pixels.shape[:2]
    found: list[AutoMask] = []
    crops = make_crops(height, width, settings.crop_n_layers, settings.crop_overlap_ratio)
    for crop in crops:
        x1, y1, x2, y2 = crop.box_xyxy
        predictor.set_image(encoded if encoded and crop.layer == 0 else pixels[y1:y2, x1:x2])
        of_crop = list(_masks_of_crop(predictor, pixels.shape[:2], crop, settings))
        scores = np.array([mask.predicted_iou for mask in of_crop])
        found += _deduplicated(of_crop, scores, settings.box_nms_thresh)
    if len(crops) > 1:  # a mask of a smaller crop is better
        nearness = np.array([(-Crop(mask.crop_xyxy, layer=0).area_px, mask.predicted_iou) for mask in found])
        found = _deduplicated(found, nearness, settings.crop_nms_thresh)
    if settings.min_mask_region_area > 0:
        found = _cleaned(found, settings)
    return sorted(found, key=lambda mask: -mask.predicted_iou)


def _masks_of_crop(
    predictor: ImagePredictor, image_size: tuple[int, int], crop: Crop, settings: EverythingSettings
) -> Iterator[AutoMask]:
    """The masks of the crop that is set on the predictor, in an image of (height, width) pixels."""
    x1, y1, x2, y2 = crop.box_xyxy
    side = points_in_layer(settings.points_per_side, crop.layer, settings.crop_n_points_downscale_factor)
    points = point_grid(side) * (x2 - x1, y2 - y1)
    for start in range(0, len(points), settings.points_per_batch):
        batch = points[start : start + settings.points_per_batch]
        yield from _masks_of_points(predictor, batch, crop, image_size, settings)


def _masks_of_points(
    predictor: ImagePredictor,
    points: NDArray[np.float64],
    crop: Crop,
    image_size: tuple[int, int],
    settings: EverythingSettings,
) -> Iterator[AutoMask]:
    """Masks of a batch of clicks (N, 2) in pixels of the crop; low predicted IoUs are dropped before resizing.

    The host waits for the device once for all scores, and twice for each group of masks that are resized together.
    """
    assert settings.pred_iou_thresh is not None
    candidates = predictor.decode(BatchPrompts(points[:, None], np.ones((len(points), 1), np.int64)), multimask=True)
    num_points, num_masks = candidates.ious.shape
    numbers = torch.cat((candidates.ious.flatten(), candidates.object_score.flatten())).cpu()
    ious, object_scores = numbers.split((num_points * num_masks, num_points))
    predictor.network.check_not_nan(ious.tolist())
    chosen = torch.nonzero(ious > settings.pred_iou_thresh)[:, 0]
    low_res = candidates.logits.flatten(0, 1)
    step = max(1, LOGITS_PER_STEP // crop.area_px)
    for indices in chosen.split(step):
        logits = predictor.logits_at_image_size(low_res[upload(indices, low_res.device)][:, None])[:, 0]
        masks = logits > MASK_THRESHOLD
        scores, has_pixels = torch.stack(
            (
                stability_scores(logits, MASK_THRESHOLD, settings.stability_score_offset),
                masks.flatten(1).any(dim=1).double(),
            )
        ).cpu()
        stable = torch.nonzero((scores >= settings.stability_score_thresh) & (has_pixels > 0))[:, 0]
        parts = masks[upload(stable, masks.device)].cpu().numpy()
        for row, part in zip(stable.tolist(), parts, strict=True):
            index = int(indices[row])
            point, candidate = divmod(index, num_masks)
            mask = _whole(part, crop, image_size)
            box, rle = mask_box_xyxy(mask), encode_mask(mask)
            assert box is not None
            assert rle is not None
            if cut_by_crop(np.array([box]), crop, *image_size)[0]:
                continue
            x, y = points[point] + crop.box_xyxy[:2]
            yield AutoMask(
                mask=rle,
                area=int(mask.sum()),
                box_xyxy=box,
                predicted_iou=float(ious[index]),
                stability_score=float(scores[row]),
                point_xy=(float(x), float(y)),
                crop_xyxy=crop.box_xyxy,
                mask_index=candidate,
                object_score=float(object_scores[point]),
            )


def _whole(part: NDArray[np.bool_], crop: Crop, image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """A crop's mask (h, w) bool as a mask of the whole image (H, W)."""
    if crop.layer == 0:
        return part
    x1, y1, x2, y2 = crop.box_xyxy
    whole = np.zeros(image_size, np.bool_)
    whole[y1:y2, x1:x2] = part
    return whole


def _deduplicated(masks: list[AutoMask], preference: NDArray[np.float64], max_iou: float) -> list[AutoMask]:
    if not masks:
        return []
    boxes = np.array([mask.box_xyxy for mask in masks])
    return [masks[index] for index in without_duplicates(boxes, preference, max_iou)]


def _cleaned(masks: list[AutoMask], settings: EverythingSettings) -> list[AutoMask]:
    """Remove small regions, and the duplicates that result; masks that did not change are preferred."""
    cleaned: list[AutoMask] = []
    untouched: list[bool] = []
    for found in masks:
        before = decode_mask(found.mask)
        after = without_small_regions(before, settings.min_mask_region_area)
        rle, box = encode_mask(after), mask_box_xyxy(after)
        if rle is not None and box is not None:
            cleaned.append(replace(found, mask=rle, area=int(after.sum()), box_xyxy=box))
            untouched.append(bool((before == after).all()))
    preference = np.array([(kept, mask.predicted_iou) for kept, mask in zip(untouched, cleaned, strict=True)])
    return _deduplicated(cleaned, preference, max(settings.box_nms_thresh, settings.crop_nms_thresh))
