"""The settings of everything mode. Needs no torch, so that a job can be checked without."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from samurai_batch.errors import ConfigError


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

    @classmethod
    def from_overrides(cls, overrides: Mapping[str, Any]) -> "EverythingSettings":
        """Settings of a job; raises ConfigError for a name or a type that does not exist here."""
        known = {field.name: field for field in fields(cls)}
        for name, value in overrides.items():
            if name not in known:
                raise ConfigError(f"everything.{name}: there is no such setting; the settings are {', '.join(known)}")
            kinds = int if known[name].type is int else int | float
            is_number = isinstance(value, kinds) and not isinstance(value, bool)
            if not is_number and not (value is None and known[name].default is None):
                raise ConfigError(f"everything.{name}: {value!r} is not a {'whole ' if kinds is int else ''}number")
        return cls(**overrides)
