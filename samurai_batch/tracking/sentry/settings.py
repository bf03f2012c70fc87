"""The settings of SENTRY: its authors' values, by their names where these say enough. Needs no torch.

Source: configs/sentry/default.yaml in github.com/HamadYA/SENTRY at dd4486c, except where a docstring names another.
"""

from typing import ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.schema import SETTINGS_CONFIG, AboveZero, Count, Flag, NonNegative, Number, Positive, Settings


@checked(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class SentrySettings(Settings):
    """When SENTRY looks for another mask, which masks it tests, and what it takes for verified."""

    group: ClassVar[str] = "tracker"

    sentry_cooldown_frames: Count = 5
    """Number of frames after a rescue on which the gate stays closed (rescue sentry only). Source: SENTRY,
    rescue_cooldown_frames."""

    sentry_history_window: Positive = 10
    """Number of accepted boxes whose median area is the usual area (rescue sentry only). Source: SENTRY,
    rescue_history_window."""

    sentry_min_history: Positive = 3
    """Number of accepted boxes before area and place open the gate (rescue sentry only). Source: SENTRY,
    rescue_min_history."""

    sentry_area_collapse: NonNegative = 0.10
    """Share of the usual area below which a box opens the gate (rescue sentry only). Source: SENTRY,
    rescue_area_collapse."""

    sentry_area_expand: NonNegative = 8.0
    """Multiple of the usual area above which a box opens the gate (rescue sentry only). Source: SENTRY,
    rescue_area_expand."""

    sentry_center_jump_scale: NonNegative = 4.0
    """Multiple of the square root of the usual area that is a jump of the box's centre (rescue sentry only). Source:
    SENTRY, rescue_center_jump_scale."""

    sentry_jump_min_area_ratio: NonNegative = 0.50
    """Share of the usual area below which a jump opens the gate (rescue sentry only). Source: SENTRY,
    rescue_moderate_area_min_ratio."""

    sentry_jump_max_area_ratio: NonNegative = 2.0
    """Multiple of the usual area above which a jump opens the gate (rescue sentry only). Source: SENTRY,
    rescue_moderate_area_max_ratio."""

    sentry_low_confidence: Number = 0.35
    """Predicted IoU below which a jump opens the gate (rescue sentry only). Source: SENTRY, rescue_low_confidence."""

    sentry_candidate_min_area_ratio: NonNegative = 0.25
    """Lowest share of the usual area of a candidate's box (rescue sentry only). Source: SENTRY,
    rescue_candidate_min_area_ratio."""

    sentry_candidate_max_area_ratio: NonNegative = 4.0
    """Highest multiple of the usual area of a candidate's box (rescue sentry only). Source: SENTRY,
    rescue_candidate_max_area_ratio."""

    sentry_relative_iou: Number = 0.80
    """Share of the best predicted IoU that a mask of the decoder must exceed (rescue sentry only). Source: SENTRY,
    decoder_relative_iou_alpha."""

    sentry_everything: Flag = True
    """Also test the masks of everything mode that look like the object on the first frame (rescue sentry only). Source:
    SENTRY, amg_enabled; on in its paper and its config.py, off in its default.yaml."""

    sentry_points_per_side: Positive = 32
    """Number of points along each side of the frame in everything mode (rescue sentry only). Source: SENTRY,
    backends/forked_sam2_runtime.py."""

    sentry_everything_min_iou: Number = 0.80
    """Predicted IoU that a mask of everything mode must exceed (rescue sentry only). Source: SENTRY,
    backends/forked_sam2_runtime.py."""

    sentry_everything_min_stability: NonNegative = 0.95
    """Stability score that a mask of everything mode must reach (rescue sentry only). Source: SENTRY,
    backends/forked_sam2_runtime.py."""

    sentry_template_similarity: Number = 0.80
    """Share of the highest similarity that a mask of everything mode must reach (rescue sentry only): the cosine of its
    mean feature and that of the object on the first frame. Source: SENTRY, amg_template_similarity_beta."""

    sentry_soft_nms_sigma: AboveZero = 0.01
    """Width σ of soft-NMS, which multiplies a score by exp(−IoU² / σ) (rescue sentry only). Source: SENTRY,
    soft_nms_sigma."""

    sentry_soft_nms_score_threshold: Number = 0.25
    """Lowest score of a candidate after soft-NMS (rescue sentry only). Source: SENTRY, soft_nms_score_threshold."""

    sentry_max_candidates: Positive = 5
    """Number of masks that soft-NMS keeps, the host's own included (rescue sentry only). Source: SENTRY,
    max_appearance_candidates."""

    sentry_reverse_frames: Positive = 9
    """Number of frames through which candidates are tracked back (rescue sentry only). Features of so many frames are
    kept. Source: SENTRY, reverse_frames."""

    sentry_reverse_min_history: Positive = 3
    """Number of these frames that must have an accepted box (rescue sentry only). Source: SENTRY,
    reverse_min_history."""

    sentry_reverse_min_mean_iou: Number = 0.65
    """Lowest mean IoU of a candidate's boxes and the accepted ones on these frames (rescue sentry only). Source:
    SENTRY, reverse_min_mean_iou."""

    sentry_reverse_min_iou: Number = 0.20
    """Lowest IoU on any of these frames (rescue sentry only). Source: SENTRY, reverse_min_iou."""

    sentry_reverse_min_coverage: Number = 0.75
    """Lowest share of the accepted boxes on whose frames the candidate is found (rescue sentry only). Source: SENTRY,
    reverse_min_coverage."""

    sentry_reverse_min_margin: Number = 0.15
    """How much higher a candidate's mean IoU must be than that of the host's mask, if it has one (rescue sentry only).
    Source: SENTRY, reverse_min_margin."""

    sentry_pool_match_min_iou: Number = 0.05
    """Lowest mean IoU by which a candidate's trajectory is assigned to one of the pool (rescue sentry only). Source:
    SENTRY, pool_match_min_iou."""

    sentry_pool_rescue_min_iou: Number = 0.40
    """Lowest mean IoU of a candidate and its trajectory in the pool, if the pool has any (rescue sentry only). Source:
    SENTRY, pool_rescue_min_iou."""

    sentry_kalman_warning_iou: Number = 0.40
    """Mean IoU of the host's mask below which its last mask, moved, is a candidate (rescue sentry only). Source:
    SENTRY, kalman_warning_iou."""

    sentry_kalman_step_s: NonNegative = 0.1
    """Time from frame to frame in the motion model that moves the last mask (rescue sentry only). Source: SENTRY,
    candidates/kalman.py."""

    sentry_kalman_deviation_px: AboveZero = 0.05
    """Standard deviation of a measured centre in that motion model (rescue sentry only). Source: SENTRY,
    candidates/kalman.py."""
