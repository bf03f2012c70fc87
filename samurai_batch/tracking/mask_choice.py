"""Chooses one of the decoder's candidate masks, by predicted IoU and the motion model.

Source: SAMURAI, https://arxiv.org/abs/2411.11922, equations 5 and 6: the chosen mask is the one with the highest
α·s_kf + (1 − α)·s_mask, where s_kf is the IoU of its box with the Kalman prediction and s_mask its predicted IoU.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from samurai_batch.geometry import box_iou
from samurai_batch.prompts import Box
from samurai_batch.tracking import kalman

if TYPE_CHECKING:
    from samurai_batch.tracking.proposals import Facts
    from samurai_batch.tracking.settings import TrackerSettings

EMPTY_BOX: Box = (0.0, 0.0, 0.0, 0.0)  # of an empty candidate


@dataclass(frozen=True)
class Motion:
    """The motion model's state: the Kalman filter, and the number of consecutive stable frames."""

    filter: kalman.KalmanState | None = None
    stable: int = 0


@dataclass(frozen=True)
class Choice:
    """The index of the chosen candidate, its motion score (None if motion was not used), and the motion model after it.

    ``predicted_box`` (xyxy in pixels of the model's image) is the motion model's prediction; None on the frame where it
    is initialised.
    """

    index: int
    motion_score: float | None
    motion: Motion
    predicted_box: Box | None = None


class MaskChoice(ABC):
    """Which of the decoder's candidates becomes the mask of a frame: one of the parts of a tracker."""

    needs_boxes: ClassVar[bool] = False
    """Whether it reads the candidates' boxes (`Facts.boxes_xyxy`), which are computed on frames with several."""

    @abstractmethod
    def choose(self, facts: "Facts", motion: Motion) -> Choice:
        """Choose among the candidates of one track."""

    def corrected(self, motion: Motion, box_xyxy: Box) -> Motion:
        """The motion model after its frame was given another mask, with this box in pixels of the model's image."""
        return motion


class HighestIou(MaskChoice):
    """SAM 2's choice."""

    def choose(self, facts: "Facts", motion: Motion) -> Choice:
        """The candidate with the highest predicted IoU."""
        return choose_by_score(facts.ious, motion)


@dataclass(frozen=True)
class ByMotion(MaskChoice):
    """SAMURAI's choice. Where there is a single candidate, the motion model is not touched."""

    settings: "TrackerSettings"
    needs_boxes: ClassVar[bool] = True

    def choose(self, facts: "Facts", motion: Motion) -> Choice:
        """The candidate that fits the motion model and has a high predicted IoU."""
        if not facts.boxes_xyxy:
            return choose_by_score(facts.ious, motion)
        return choose_by_motion(facts.ious, facts.boxes_xyxy, motion, self.settings)

    def corrected(self, motion: Motion, box_xyxy: Box) -> Motion:
        """Updated once more, and stable for a frame at least. Source: SENTRY's backends/forked_sam2_runtime.py."""
        form = self.settings.motion_state
        if motion.filter is None:
            return Motion(kalman.initiate(box_xyxy, form), max(1, motion.stable))
        return Motion(kalman.update(motion.filter, box_xyxy, form), max(1, motion.stable))


def choose_by_score(ious: Sequence[float], motion: Motion) -> Choice:
    """SAM 2's choice: the candidate with the highest predicted IoU."""
    return Choice(_highest(ious), None, motion)


def choose_by_motion(
    ious: Sequence[float], boxes: Sequence[Box], motion: Motion, settings: "TrackerSettings"
) -> Choice:
    """SAMURAI's choice among candidates with predicted IoUs and tight boxes xyxy.

    The motion model is initialised on the first frame, and influences the choice after ``stable_frames_threshold``
    consecutive stable frames. A chosen mask with a low predicted IoU resets it.
    """
    form = settings.motion_state
    if motion.filter is None or motion.stable == 0:
        best = _highest(ious)
        return Choice(best, None, Motion(kalman.initiate(boxes[best], form), stable=1))

    predicted = kalman.predict(motion.filter, form)
    predicted_box = kalman.box_of(predicted, form)
    if motion.stable < settings.stable_frames_threshold:
        best = _highest(ious)
        if ious[best] > settings.stable_ious_threshold:
            after = Motion(kalman.update(predicted, boxes[best], form), motion.stable + 1)
        else:
            after = Motion(predicted, stable=0)
        return Choice(best, None, after, predicted_box)

    motion_scores = [0.0 if box == EMPTY_BOX else box_iou(predicted_box, box) for box in boxes]
    alpha = settings.kf_score_weight
    assert alpha is not None, "settings are resolved against a model before they are used"
    best = _highest([alpha * m + (1 - alpha) * s for m, s in zip(motion_scores, ious, strict=True)])
    if ious[best] < settings.stable_ious_threshold:
        after = Motion(predicted, stable=0)
    else:
        after = Motion(kalman.update(predicted, boxes[best], form), motion.stable)
    return Choice(best, motion_scores[best], after, predicted_box)


def _highest(values: Sequence[float]) -> int:
    """Index of the highest value, the first of equals."""
    return max(range(len(values)), key=values.__getitem__)
