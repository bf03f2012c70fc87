"""Everything mode: the masks of an image that nobody pointed at. Source: https://arxiv.org/abs/2304.02643, app. B.

    crops ──> grid of points ──> three masks each ──> predicted IoU, stability, not cut by the crop
          ──> no duplicates in a crop ──> no duplicates between crops ──> holes and islands ──> no duplicates

Boxes here end after their last pixel, so that a mask one pixel wide has an area too; SAM's code lets them end on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.images.crops import Crop, cut_by_crop, make_crops, point_grid, points_in_layer
from samurai_batch.images.filters import stability_scores, tight_box_xyxy, without_duplicates, without_small_regions
from samurai_batch.images.predictor import MASK_THRESHOLD, ImagePredictor
from samurai_batch.images.prompts import BatchPrompts
from samurai_batch.rle import decode_mask, encode_mask
from samurai_batch.tasks import Box, Rle

LOGITS_PER_STEP = 2**25
"""Logits at the image's own size are made for so many pixels at a time: 128 MiB in float32, or one mask."""


@dataclass(frozen=True, kw_only=True)
class EverythingSettings:
    """How everything mode looks and what it keeps; names and defaults are SAM's.

    points_per_side: the grid over the whole image; in crops of layer i it is coarser by
        crop_n_points_downscale_factor ** i. points_per_batch go through the decoder together.
    pred_iou_thresh: masks of a predicted IoU above it are kept; None: 0.88 for SAM and 0.8 for SAM 2, as released.
    stability_score_thresh, stability_score_offset: masks that change less are kept (see `stability_scores`).
    box_nms_thresh, crop_nms_thresh: of two boxes of a higher IoU one is dropped, in a crop and between crops.
    crop_n_layers, crop_overlap_ratio: see `make_crops`.
    min_mask_region_area: smaller holes are filled, smaller islands removed, in pixels; 0 leaves all as it is.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float | None = None
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0

    def __post_init__(self) -> None:
        lowest = {"points_per_side": 1, "points_per_batch": 1, "crop_n_points_downscale_factor": 1}
        for field in fields(self):
            value, least = getattr(self, field.name), lowest.get(field.name, 0)
            if value is not None and not value >= least and field.name != "pred_iou_thresh":
                raise ConfigError(f"everything.{field.name}: {value!r} is not a number of {least} or more")
        if not self.crop_overlap_ratio < 1:
            raise ConfigError(f"everything.crop_overlap_ratio: {self.crop_overlap_ratio!r} is not below 1")


@dataclass(frozen=True)
class AutoMask:
    """One mask that was found: at the image's size, its area in pixels, and what spoke for it.

    box_xyxy and crop_xyxy end after their last pixel; point_xy is the click that it answers.
    """

    mask: Rle
    area: int
    box_xyxy: Box
    predicted_iou: float
    stability_score: float
    point_xy: tuple[float, float]
    crop_xyxy: tuple[int, int, int, int]


def segment_everything(
    predictor: ImagePredictor, pixels: NDArray[np.uint8], settings: EverythingSettings | None = None
) -> list[AutoMask]:
    """The masks of an image (H, W, 3) uint8 RGB, best predicted IoU first. Sets images on the predictor."""
    settings = settings or EverythingSettings()
    if settings.pred_iou_thresh is None:
        settings = replace(settings, pred_iou_thresh=predictor.network.default_pred_iou_thresh)
    height, width = pixels.shape[:2]
    found: list[AutoMask] = []
    crops = make_crops(height, width, settings.crop_n_layers, settings.crop_overlap_ratio)
    for crop in crops:
        of_crop = list(_masks_of_crop(predictor, pixels, crop, settings))
        scores = np.array([mask.predicted_iou for mask in of_crop])
        found += _deduplicated(of_crop, scores, settings.box_nms_thresh)
    if len(crops) > 1:  # a mask seen from nearer by is the better one
        nearness = np.array([(-_area(mask.crop_xyxy), mask.predicted_iou) for mask in found])
        found = _deduplicated(found, nearness, settings.crop_nms_thresh)
    if settings.min_mask_region_area > 0:
        found = _cleaned(found, settings)
    return sorted(found, key=lambda mask: -mask.predicted_iou)


def _masks_of_crop(
    predictor: ImagePredictor, pixels: NDArray[np.uint8], crop: Crop, settings: EverythingSettings
) -> Iterator[AutoMask]:
    x1, y1, x2, y2 = crop.box_xyxy
    predictor.set_image(pixels[y1:y2, x1:x2])
    side = points_in_layer(settings.points_per_side, crop.layer, settings.crop_n_points_downscale_factor)
    points = point_grid(side) * (x2 - x1, y2 - y1)
    for start in range(0, len(points), settings.points_per_batch):
        batch = points[start : start + settings.points_per_batch]
        yield from _masks_of_points(predictor, batch, crop, pixels.shape[:2], settings)


def _masks_of_points(
    predictor: ImagePredictor,
    points: NDArray[np.float64],
    crop: Crop,
    image_size: tuple[int, int],
    settings: EverythingSettings,
) -> Iterator[AutoMask]:
    """Masks of a batch of clicks (N, 2) in pixels of the crop; what fails by its score is never made large."""
    assert settings.pred_iou_thresh is not None
    answer = predictor.ask(BatchPrompts(points[:, None], np.ones((len(points), 1), np.int64)), multimask=True)
    ious = answer.ious.flatten()
    chosen = torch.nonzero(ious > settings.pred_iou_thresh)[:, 0]
    low_res = answer.logits.flatten(0, 1)
    step = max(1, LOGITS_PER_STEP // crop.area_px)
    for indices in chosen.split(step):
        logits = predictor.logits_at_image_size(low_res[indices][:, None])[:, 0]
        scores = stability_scores(logits, MASK_THRESHOLD, settings.stability_score_offset)
        masks = logits > MASK_THRESHOLD
        stable = (scores >= settings.stability_score_thresh) & masks.flatten(1).any(dim=1)
        for row in torch.nonzero(stable)[:, 0].tolist():
            index = int(indices[row])
            mask = _whole(masks[row].cpu().numpy(), crop, image_size)
            box = tight_box_xyxy(mask)
            if cut_by_crop(np.array([box]), crop, *image_size)[0]:
                continue
            x, y = points[index // answer.ious.shape[1]] + crop.box_xyxy[:2]
            yield _auto_mask(mask, box, float(ious[index]), float(scores[row]), (float(x), float(y)), crop)


def _whole(part: NDArray[np.bool_], crop: Crop, image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """A crop's mask in the whole image."""
    if crop.layer == 0:
        return part
    x1, y1, x2, y2 = crop.box_xyxy
    whole = np.zeros(image_size, np.bool_)
    whole[y1:y2, x1:x2] = part
    return whole


def _auto_mask(
    mask: NDArray[np.bool_], box: Box, iou: float, stability: float, point: tuple[float, float], crop: Crop
) -> AutoMask:
    rle = encode_mask(mask)
    assert rle is not None
    return AutoMask(rle, int(mask.sum()), box, iou, stability, point, crop.box_xyxy)


def _deduplicated(masks: list[AutoMask], preference: NDArray[np.float64], max_iou: float) -> list[AutoMask]:
    if not masks:
        return []
    boxes = np.array([mask.box_xyxy for mask in masks])
    return [masks[index] for index in without_duplicates(boxes, preference, max_iou)]


def _cleaned(masks: list[AutoMask], settings: EverythingSettings) -> list[AutoMask]:
    """Without small regions, and without the duplicates this makes: a mask that needed no cleaning is preferred."""
    cleaned: list[AutoMask] = []
    untouched: list[bool] = []
    for found in masks:
        before = decode_mask(found.mask)
        after = without_small_regions(before, settings.min_mask_region_area)
        rle = encode_mask(after)
        if rle is None:
            continue
        cleaned.append(replace(found, mask=rle, area=int(after.sum()), box_xyxy=tight_box_xyxy(after)))
        untouched.append(bool((before == after).all()))
    preference = np.array([(kept, mask.predicted_iou) for kept, mask in zip(untouched, cleaned, strict=True)])
    return _deduplicated(cleaned, preference, max(settings.box_nms_thresh, settings.crop_nms_thresh))


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
