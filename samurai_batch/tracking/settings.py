"""The tracker's settings, by the papers' and the public code's names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from samurai_batch.checks import shown, suggestion
from samurai_batch.errors import ConfigError
from samurai_batch.modeling.configs import Sam2Config

Mode = Literal["samurai", "sam2"]
MotionState = Literal["xyah", "xywh"]


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """How masks and memories are chosen; the defaults are what the authors' own demo runs.

    A value that cannot be used raises ConfigError when it is given.

    mode: "samurai" adds the motion model and the gated memory to plain "sam2".
    stable_frames_threshold: frames in a row before the motion model has a say in the choice.
    stable_ious_threshold: a chosen mask's predicted IoU below it makes the motion model start again.
    kf_score_weight: α of α·s_kf + (1 − α)·s_mask; None: what the authors use with the model's size.
    memory_bank_iou_threshold, memory_bank_obj_score_threshold, memory_bank_kf_score_threshold: a frame whose
        three scores exceed these may be remembered (SAMURAI only).
    min_obj_score_logits: at or below it the object is absent; None: −1 for SAMURAI, 0 for SAM 2.
    motion_state: "xyah" filters (centre, aspect, height) as the public code; "xywh" as the paper writes it.
    max_cond_frames_in_attn: at most so many conditioning frames, the latest, take part in memory attention;
        this is what keeps a track's state bounded when it has many prompts.
    dynamic_multimask_via_stability: on prompted frames, an unstable single mask gives way to the best of three.
    binarize_mask_from_pts_for_mem_enc: memories of prompted frames hold a 0/1 mask, not probabilities.
    fill_hole_area: holes up to so many cells of the S / 4 grid are filled in the masks written (0: none).
    pool_memories: 2 x 2 cells of a memory are attended to as one, as in EfficientTAM: half of a step's time, and other
        masks; worse ones with a model that was not trained for it (measured: samurai_batch/benchmark/__init__.py).
    """

    mode: Mode = "samurai"
    stable_frames_threshold: int = 15
    stable_ious_threshold: float = 0.3
    kf_score_weight: float | None = None
    memory_bank_iou_threshold: float = 0.5
    memory_bank_obj_score_threshold: float = 0.0
    memory_bank_kf_score_threshold: float = 0.0
    min_obj_score_logits: float | None = None
    motion_state: MotionState = "xyah"
    max_cond_frames_in_attn: int = 8
    dynamic_multimask_via_stability: bool = True
    binarize_mask_from_pts_for_mem_enc: bool = True
    fill_hole_area: int = 8
    pool_memories: bool = False

    def resolve(self, config: Sam2Config) -> "TrackerSettings":
        """The same settings with every None replaced by the value that belongs to mode and model."""
        alpha, absent = self.kf_score_weight, self.min_obj_score_logits
        return replace(
            self,
            kf_score_weight=config.kf_score_weight if alpha is None else alpha,
            min_obj_score_logits=(-1.0 if self.mode == "samurai" else 0.0) if absent is None else absent,
        )

    def __post_init__(self) -> None:
        _raise_if_any(_problems({field.name: getattr(self, field.name) for field in fields(self)}))

    @classmethod
    def from_overrides(cls, mode: Mode, overrides: Mapping[str, Any]) -> "TrackerSettings":
        """Settings of a job; raises ConfigError for every name or value that does not exist here."""
        _raise_if_any(cls.problems(mode, overrides))
        return cls(mode=mode, **overrides)

    @classmethod
    def problems(cls, mode: object, overrides: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the settings of a job, by the setting's name: a sentence each."""
        known = sorted({field.name for field in fields(cls)} - {"mode"})
        unknown = {
            name: f"tracker.{name}: there is no such setting; {suggestion(name, known)}"
            for name in overrides
            if name not in known
        }
        return unknown | _problems({"mode": mode} | {name: overrides[name] for name in known if name in overrides})


def _raise_if_any(problems: Mapping[str, str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems.values()))


def _problems(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"tracker.{name}: {reason}" for name, value in values.items() if (reason := _problem(name, value))}


def _problem(name: str, value: Any) -> str | None:
    """What is wrong with the value of a setting; None if nothing is."""
    if name in _WORDS:
        return None if value in _WORDS[name] else f"{shown(value)} is not known; {suggestion(value, _WORDS[name])}"
    kind = str(_KINDS[name])
    if "bool" in kind:
        return None if isinstance(value, bool) else f"{shown(value)} is not true or false"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if "float" in kind:
        valid = math.isfinite(value) if is_number else value is None and "None" in kind
        return None if valid else f"{shown(value)} is not a finite number"
    lowest = 1 if name == "max_cond_frames_in_attn" else 0  # without any, a track would have no object
    valid = is_number and isinstance(value, int) and value >= lowest
    return None if valid else f"{shown(value)} is not a whole number, {lowest} or more"


_KINDS = {field.name: field.type for field in fields(TrackerSettings)}
_WORDS = {"mode": get_args(Mode), "motion_state": get_args(MotionState)}
