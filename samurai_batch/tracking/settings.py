"""The tracker's settings, by the names of the papers and of the public code. Needs no torch."""

from dataclasses import asdict, replace
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.configs import VideoModelConfig
from samurai_batch.schema import SETTINGS_CONFIG, Count, Flag, Number, Positive, Settings, fields_of
from samurai_batch.tracking.rescue import RESCUES, RescueName
from samurai_batch.tracking.sentry.settings import SentrySettings
from samurai_batch.tracking.trackers import TRACKERS, Mode
from samurai_batch.tracking.trackers.dam4sam import Dam4SamSettings
from samurai_batch.tracking.trackers.memory_selection import MemorySelectionSettings
from samurai_batch.tracking.trackers.sam2long import Sam2LongSettings

MotionState = Literal["xyah", "xywh"]


@dataclass(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class CommonOptions(Settings):
    """Settings that every tracker has, and those of SAM 2 and SAMURAI.

    The defaults are those of the authors' own demo.
    """

    group: ClassVar[str] = "tracker"

    stable_frames_threshold: Count = 15
    """Number of consecutive frames tracked well before the motion score takes part in choosing the mask."""

    stable_ious_threshold: Number = 0.3
    """Predicted IoU of the chosen mask below which the motion model is reset."""

    kf_score_weight: Number | None = None
    """Weight α of the motion score in α·s_kf + (1 − α)·s_mask. None: the authors' value for the model's size."""

    memory_bank_iou_threshold: Number = 0.5
    """Predicted IoU that a frame must exceed to be remembered (samurai only)."""

    memory_bank_obj_score_threshold: Number = 0.0
    """Object score logit that a frame must exceed to be remembered (samurai only)."""

    memory_bank_kf_score_threshold: Number = 0.0
    """Motion score that a frame must exceed to be remembered (samurai only)."""

    min_obj_score_logits: Number | None = None
    """Object score logit at or below which the object is absent. None: −1 for samurai, 0 for all others."""

    motion_state: MotionState = "xyah"
    """State of the Kalman filter. xyah: centre, aspect ratio, height, as in the public code; xywh: as in the paper."""

    max_cond_frames_in_attn: Positive = 8
    """Number of conditioning frames, the latest ones, that memory attention reads. It bounds the track state."""

    dynamic_multimask_via_stability: Flag = True
    """On prompted frames, replace an unstable single mask by the best of three."""

    binarize_mask_from_pts_for_mem_enc: Flag = True
    """Remember the masks of prompted frames as 0 and 1 instead of as probabilities."""

    fill_hole_area: Count = 8
    """Size of the largest holes that are filled in written masks, in cells of the S / 4 grid. 0: none."""

    pool_memories: Flag = False
    """Attend to 2 x 2 memory cells as one. It halves the time of a step and changes masks; with a model that was not
    trained for it they are worse (measured: samurai_batch/benchmark/__init__.py). Not for models that compress
    memories themselves: edgetam, and efficienttam_…_1 and …_2."""


@dataclass(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class TrackerOptions(SentrySettings, Sam2LongSettings, MemorySelectionSettings, Dam4SamSettings, CommonOptions):
    """All settings of the tracker but its mode: what the field ``tracker`` of a job holds.

    Raises ConfigError for a value that cannot be used.
    """


@dataclass(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class TrackerSettings(TrackerOptions):
    """How the tracker chooses masks and memories.

        TrackerSettings(mode="samurai", kf_score_weight=0.2)

    Raises ConfigError for a name or value that cannot be used.
    """

    mode: Mode = "samurai"
    """Rules by which masks and memories are chosen."""

    rescue: RescueName = "none"
    """What may replace a mask that these rules have chosen."""

    def resolve(self, config: VideoModelConfig) -> "TrackerSettings":
        """The same settings with every None replaced by the default for this mode and model.

        Raises ConfigError for a setting of another mode or rescue, a rescue that the mode cannot have, or a setting
        that the model does not support.
        """
        if misplaced := misplaced_setting(self.mode, self.rescue, self):
            name, reason = misplaced
            raise ConfigError(f"tracker.{name} is given, but {reason}")
        if refusal := refused_rescue(self.mode, self.rescue):
            raise ConfigError(f"rescue is given, but {refusal}")
        if self.pool_memories and config.compresses_memories:
            raise ConfigError(
                f"tracker.pool_memories: {config.name} compresses memories itself; leave pool_memories out"
            )
        alpha, absent = self.kf_score_weight, self.min_obj_score_logits
        return replace(
            self,
            kf_score_weight=config.kf_score_weight if alpha is None else alpha,
            min_obj_score_logits=TRACKERS[self.mode].min_obj_score_logits if absent is None else absent,
        )

    def decisive(self) -> dict[str, object]:
        """The settings that decide masks, by name: those of all trackers, of this mode, and of the rescue if any."""
        others = {name for name, owner in owners().items() if owner not in (self.mode, self.rescue)}
        if self.rescue == "none":
            others.add("rescue")  # as before there were rescues
        return {name: value for name, value in asdict(self).items() if name not in others}


def owners() -> dict[str, Mode | RescueName]:
    """The mode or rescue of each setting that only one of them has."""
    of_modes = {name: mode for mode, kind in TRACKERS.items() if kind.settings for name in fields_of(kind.settings)}
    return {**of_modes, **{name: rescue for rescue, kind in RESCUES.items() for name in fields_of(kind)}}


def misplaced_setting(mode: Mode, rescue: RescueName, options: CommonOptions) -> tuple[str, str] | None:
    """A setting that is given but belongs to another mode or rescue, and what to do; None if there is none."""
    for name, owner in owners().items():
        if owner in (mode, rescue) or name not in options.overrides():
            continue
        if owner in RESCUES:
            return name, f"it belongs to rescue {owner}, and rescue is {rescue}; remove it, or set rescue: {owner}"
        return name, f"it belongs to mode {owner}, and mode is {mode}; remove it, or change the mode"
    return None


def refused_rescue(mode: Mode, rescue: RescueName) -> str | None:
    """Why a mode cannot have this rescue, and what to do; None if it can."""
    if rescue == "none" or not TRACKERS[mode].has_paths:
        return None
    return f"mode {mode} decides a mask frames later, when no rescue can replace it; remove rescue, or change the mode"
