"""The reverse test, from boxes alone: does a candidate, tracked back, come from where the object was? Needs no torch.

Source: SENTRY's reverse/scoring.py, reverse/verifier.py and association/pool.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

import numpy as np

from samurai_batch.geometry import box_iou
from samurai_batch.prompts import Box
from samurai_batch.tracking.sentry.gate import AgedBoxes

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerSettings

Kind = Literal["host", "decoder", "everything", "moved"]
"""Where a tested mask comes from; moved: it is the last mask at the position of the motion model."""


@dataclass(frozen=True)
class ReverseScore:
    """IoUs of the boxes of a mask that was tracked back and the accepted ones, over the frames that have both.

    mean and least are None if there are none; coverage: their share of the frames with an accepted box.
    """

    mean: float | None = None
    least: float | None = None
    coverage: float = 0.0


@dataclass(frozen=True)
class TrackedBack:
    """A mask that was tested: the boxes of its trajectory by age, ``box`` on the frame itself included.

    similarity: to the object on the first frame, of a mask of everything mode; predicted_iou: not of a moved mask.
    """

    kind: Kind
    box: Box
    trajectory: AgedBoxes
    similarity: float | None = None
    predicted_iou: float | None = None


def reverse_score(trajectory: AgedBoxes, history: Mapping[int, Box]) -> ReverseScore:
    """Compare a trajectory with the accepted boxes of the last frames, by age."""
    overlaps = [box_iou(box, history[age]) for age, box in trajectory if age in history]
    if not overlaps:
        return ReverseScore()
    return ReverseScore(fmean(overlaps), min(overlaps), len(overlaps) / len(history))


def trajectory_iou(one: AgedBoxes, other: AgedBoxes) -> float | None:
    """Mean IoU of two trajectories over the frames that both have; None if there are none."""
    boxes = dict(other)
    overlaps = [box_iou(box, boxes[age]) for age, box in one if age in boxes]
    return fmean(overlaps) if overlaps else None


def assign(ious: Sequence[Sequence[float | None]], least: float) -> dict[int, float]:
    """The IoU of each column that is assigned to a row, one to one, so that the sum of IoUs of at least ``least`` is
    the highest.
    """
    from scipy.optimize import linear_sum_assignment  # takes long to load, and few frames need it

    if not ious or not ious[0]:
        return {}
    matrix = np.array([[iou if iou is not None and iou >= least else 0.0 for iou in row] for row in ious])
    rows, columns = (indices.tolist() for indices in linear_sum_assignment(matrix, maximize=True))
    found = {column: ious[row][column] for row, column in zip(rows, columns, strict=True)}
    return {column: iou for column, iou in found.items() if iou is not None and iou >= least}


def best_verified(
    tested: Sequence[TrackedBack], history: Mapping[int, Box], pool: Sequence[AgedBoxes], settings: "TrackerSettings"
) -> int | None:
    """The index of the verified mask of the highest mean IoU; None if none is verified.

    Of the masks, at most the first is the host's. ``history`` has the accepted boxes of the last frames by age.
    """
    scores = [reverse_score(one.trajectory, history) for one in tested]
    host = scores[0] if tested and tested[0].kind == "host" else None
    remembered = [index for index, one in enumerate(tested) if one.kind != "moved"]
    ious = [[trajectory_iou(old, tested[index].trajectory) for index in remembered] for old in pool]
    matches = {remembered[column]: iou for column, iou in assign(ious, settings.sentry_pool_match_min_iou).items()}
    verified = []
    for index, (one, score) in enumerate(zip(tested, scores, strict=True)):
        if one.kind == "host" or not _is_verified(score, host, len(history), settings):
            continue
        match = matches.get(index)
        if one.kind == "moved":
            if host is not None and host.mean is not None and host.mean >= settings.sentry_kalman_warning_iou:
                continue
        elif pool and (match is None or match < settings.sentry_pool_rescue_min_iou):
            continue
        verified.append((_rank(one, score, match), -index))
    return -max(verified)[1] if verified else None


def _is_verified(score: ReverseScore, host: ReverseScore | None, num_known: int, settings: "TrackerSettings") -> bool:
    """Whether the boxes say that this is the object, and more clearly than those of the host's mask, if it has one."""
    if score.mean is None or score.least is None or num_known < settings.sentry_reverse_min_history:
        return False
    if host is not None and (host.mean is None or score.mean - host.mean < settings.sentry_reverse_min_margin):
        return False
    return (
        score.mean >= settings.sentry_reverse_min_mean_iou
        and score.least >= settings.sentry_reverse_min_iou
        and score.coverage >= settings.sentry_reverse_min_coverage
    )


def _rank(one: TrackedBack, score: ReverseScore, match: float | None) -> tuple[float, ...]:
    """Verified masks by mean IoU; of equal ones a moved mask last, then by match, similarity and predicted IoU."""
    assert score.mean is not None
    others = [-np.inf if value is None else value for value in (match, one.similarity, one.predicted_iou)]
    return (score.mean, one.kind != "moved", *others)
