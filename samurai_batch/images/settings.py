"""The settings of everything mode. Needs no torch."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from samurai_batch.schema import SETTINGS_CONFIG, Count, Fraction, NonNegative, Number, Positive, Settings


@dataclass(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class EverythingSettings(Settings):
    """How everything mode finds masks and which it keeps. Names and defaults are those of SAM.

    Raises ConfigError for a value that cannot be used.
    """

    group: ClassVar[str] = "everything"

    points_per_side: Positive = 32
    """Number of point prompts along each side of the image. Crops of layer i have fewer, by
    crop_n_points_downscale_factor ** i."""

    points_per_batch: Positive = 64
    """Number of points that go through the mask decoder together."""

    pred_iou_thresh: Number | None = None
    """Predicted IoU that a mask must exceed to be kept. None: 0.88 for SAM and 0.8 for SAM 2, as released."""

    stability_score_thresh: NonNegative = 0.95
    """Stability score that a mask must reach to be kept (see `stability_scores`)."""

    stability_score_offset: NonNegative = 1.0
    """Change of the mask threshold, in logits, by which the stability score is measured."""

    box_nms_thresh: NonNegative = 0.7
    """Overlap (IoU) of two boxes of one crop above which the worse mask is dropped."""

    crop_n_layers: Count = 0
    """Number of layers of crops that are searched as well (see `make_crops`)."""

    crop_nms_thresh: NonNegative = 0.7
    """Overlap (IoU) of two boxes of different crops above which one mask is dropped."""

    crop_overlap_ratio: Fraction = 512 / 1500
    """Overlap of the crops of the first layer, as a share of the shorter side of the image."""

    crop_n_points_downscale_factor: Positive = 1
    """Factor by which each further layer of crops has fewer points along a side."""

    min_mask_region_area: Count = 0
    """Size in pixels below which holes are filled and islands removed. 0: never."""
