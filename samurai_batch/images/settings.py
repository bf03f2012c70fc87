"""The settings of everything mode. Needs no torch, so that a job can be checked without."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from samurai_batch.checks import shown, suggestion
from samurai_batch.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EverythingSettings:
    """How everything mode looks and what it keeps; names and defaults are SAM's.

    A value that cannot be used raises ConfigError when it is given.

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
        _raise_if_any(_problems({field.name: getattr(self, field.name) for field in fields(self)}))

    @classmethod
    def from_overrides(cls, overrides: Mapping[str, Any]) -> "EverythingSettings":
        """Settings of a job; raises ConfigError for every name or value that does not exist here."""
        _raise_if_any(cls.problems(overrides))
        return cls(**overrides)

    @classmethod
    def problems(cls, overrides: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the settings of a job, by the setting's name: a sentence each."""
        known = [field.name for field in fields(cls)]
        unknown = {
            name: f"everything.{name}: there is no such setting; {suggestion(name, known)}"
            for name in overrides
            if name not in known
        }
        return unknown | _problems({name: overrides[name] for name in known if name in overrides})


def _raise_if_any(problems: Mapping[str, str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems.values()))


def _problems(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"everything.{name}: {reason}" for name, value in values.items() if (reason := _problem(name, value))}


def _problem(name: str, value: Any) -> str | None:
    """What is wrong with the value of a setting; None if nothing is."""
    if value is None and _DEFAULTS[name] is None:
        return None
    kinds = int if isinstance(_DEFAULTS[name], int) else int | float
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
        return f"{shown(value)} is not a {'whole' if kinds is int else 'finite'} number"
    lowest = _LOWEST.get(name, 0)
    if value < lowest and name != "pred_iou_thresh":
        return f"{shown(value)} is not a number of {lowest} or more"
    if name == "crop_overlap_ratio" and value >= 1:
        return f"{shown(value)} is not below 1"
    return None


_DEFAULTS = {field.name: field.default for field in fields(EverythingSettings)}
_LOWEST = {"points_per_side": 1, "points_per_batch": 1, "crop_n_points_downscale_factor": 1}
