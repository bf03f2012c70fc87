"""Measures of several objects per video: HOTA with DetA and AssA, CLEAR MOT (MOTA, IDSW) and IDF1.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking" (IJCV 2021); Bernardin and
Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics" (2008); Ristani et al.,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking" (2016).

Own code: TrackEval, which defines these numbers in practice, depends on opencv-python and matplotlib and is a program
rather than a library. It is the oracle of the tests. What is counted adds up over sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Ids = NDArray[np.int64]
Matrix = NDArray[np.float64]

ALPHAS: Matrix = np.arange(0.05, 0.99, 0.05)
"""The overlaps from which on a pair is a match; HOTA is the mean over them."""
MATCH_AT = 0.5  # for CLEAR MOT and IDF1
MOSTLY_TRACKED, MOSTLY_LOST = 0.8, 0.2  # of an object's frames
_EPSILON = float(np.finfo(np.float64).eps)
_KEPT_MATCH = 1000.0  # a pair of the frame before outweighs every overlap


@dataclass(frozen=True, eq=False)
class FrameOverlaps:
    """One frame: ``truth_ids`` (G,) and ``predicted_ids`` (P,), and ``overlaps`` (G, P), IoU from 0 to 1.

    Ids count from 0 within a sequence, and none stands twice on one frame.
    """

    truth_ids: Ids
    predicted_ids: Ids
    overlaps: Matrix

    def __post_init__(self) -> None:
        assert self.overlaps.shape == (len(self.truth_ids), len(self.predicted_ids)), self.overlaps.shape


@dataclass(frozen=True, kw_only=True, eq=False)
class AssociationCounts:
    """What is counted over the frames of one sequence, or, as a sum, of several.

    Those in the first group have a value for each of ALPHAS, (19,); the sums are over matches.
    """

    true_positives: Matrix
    sum_overlap: Matrix
    sum_association: Matrix
    sum_association_recall: Matrix
    sum_association_precision: Matrix

    num_truth: int
    num_predicted: int
    num_matches: int
    sum_match_overlap: float
    num_switches: int
    num_fragments: int
    num_mostly_tracked: int
    num_partly_tracked: int
    num_mostly_lost: int
    num_identity_matches: int

    def __add__(self, other: "AssociationCounts") -> "AssociationCounts":
        names = [field.name for field in fields(self)]
        return AssociationCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, eq=False)
class ObjectCounts:
    """Of each object of the ground truth, by id: frames with it, frames matched, and changes of the matched track."""

    num_frames: Ids
    num_matched: Ids
    num_switches: Ids


def count_sequence(frames: Sequence[FrameOverlaps]) -> tuple[AssociationCounts, ObjectCounts]:
    """The counts of one sequence, from its frames in order."""
    num_truth = _frames_by_id([frame.truth_ids for frame in frames])
    num_predicted = _frames_by_id([frame.predicted_ids for frame in frames])
    hota = _hota_counts(frames, num_truth, num_predicted)
    clear, objects = _clear_counts(frames, num_truth)
    identity = _identity_matches(frames, len(num_truth), len(num_predicted))
    counts = AssociationCounts(
        **hota,
        **clear,
        num_truth=int(num_truth.sum()),
        num_predicted=int(num_predicted.sum()),
        num_identity_matches=identity,
    )
    return counts, objects


def total(counts: Sequence[AssociationCounts]) -> AssociationCounts:
    """The counts of several sequences together. There has to be one at least."""
    return reduce(add, counts)


def hota_curves(counts: AssociationCounts) -> dict[str, Matrix]:
    """HOTA, DetA, AssA and their parts for each of ALPHAS, (19,), from 0 to 1."""
    matches = counts.true_positives
    at_least_one = np.maximum(1, matches)
    detection = matches / np.maximum(1, counts.num_truth + counts.num_predicted - matches)
    association = counts.sum_association / at_least_one
    return {
        "HOTA": np.sqrt(detection * association),
        "DetA": detection,
        "AssA": association,
        "DetRe": matches / np.maximum(1, np.full_like(matches, counts.num_truth)),
        "DetPr": matches / np.maximum(1, np.full_like(matches, counts.num_predicted)),
        "AssRe": counts.sum_association_recall / at_least_one,
        "AssPr": counts.sum_association_precision / at_least_one,
        "LocA": np.maximum(1e-10, counts.sum_overlap) / np.maximum(1e-10, matches),
    }


def association_scores(counts: AssociationCounts) -> dict[str, float]:
    """All measures by TrackEval's names: shares from 0 to 1 (MOTA may be negative), and whole numbers.

    Without ground truth, MOTA is 0, as in TrackEval.
    """
    scores: dict[str, float] = {name: float(curve.mean()) for name, curve in hota_curves(counts).items()}
    truth, predicted, matches = counts.num_truth, counts.num_predicted, counts.num_matches
    misses, false = truth - matches, predicted - matches
    scores["MOTA"] = (matches - false - counts.num_switches) / truth if truth else 0.0
    scores["MOTP"] = counts.sum_match_overlap / max(1, matches)
    scores["IDF1"] = counts.num_identity_matches / max(1.0, 0.5 * (truth + predicted))
    scores["IDP"] = counts.num_identity_matches / max(1, predicted)
    scores["IDR"] = counts.num_identity_matches / max(1, truth)
    scores |= {"IDSW": counts.num_switches, "Frag": counts.num_fragments, "FP": false, "FN": misses}
    return scores | {
        "MT": counts.num_mostly_tracked,
        "PT": counts.num_partly_tracked,
        "ML": counts.num_mostly_lost,
    }


def best_matches(scores: Matrix) -> tuple[Ids, Ids]:
    """The rows and columns of the assignment with the greatest sum, without pairs of score 0."""
    rows, columns = linear_sum_assignment(-scores)
    real = scores[rows, columns] > _EPSILON
    return rows[real], columns[real]


def at_least(overlaps: Matrix, threshold: float) -> NDArray[np.bool_]:
    """Which overlaps reach a threshold, up to rounding."""
    reached: NDArray[np.bool_] = overlaps >= threshold - _EPSILON
    return reached


def _frames_by_id(ids: Sequence[Ids]) -> Ids:
    """The number of frames of each id."""
    return np.bincount(np.concatenate([np.zeros(0, np.int64), *ids]))


def _hota_counts(frames: Sequence[FrameOverlaps], num_truth: Ids, num_predicted: Ids) -> dict[str, Any]:
    alignment = _global_alignment(frames, num_truth, num_predicted)
    truth_ids, predicted_ids, overlaps = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for frame in frames:
        scores = alignment[np.ix_(frame.truth_ids, frame.predicted_ids)] * frame.overlaps
        rows, columns = linear_sum_assignment(-scores)
        truth_ids.append(frame.truth_ids[rows])
        predicted_ids.append(frame.predicted_ids[columns])
        overlaps.append(frame.overlaps[rows, columns])
    pairs = np.concatenate(truth_ids), np.concatenate(predicted_ids)
    return _sums_over_matches(*pairs, np.concatenate(overlaps), num_truth, num_predicted)


def _global_alignment(frames: Sequence[FrameOverlaps], num_truth: Ids, num_predicted: Ids) -> Matrix:
    """How well each object and each track agree over the whole sequence, (all G, all P), before any assignment."""
    potential = np.zeros((len(num_truth), len(num_predicted)))
    for frame in frames:
        one = frame.overlaps
        union = one.sum(0)[np.newaxis, :] + one.sum(1)[:, np.newaxis] - one
        share = np.divide(one, union, out=np.zeros_like(one), where=union > _EPSILON)
        potential[np.ix_(frame.truth_ids, frame.predicted_ids)] += share
    return potential / np.maximum(_EPSILON, num_truth[:, None] + num_predicted[None, :] - potential)


def _sums_over_matches(
    truth_ids: Ids, predicted_ids: Ids, overlaps: Matrix, num_truth: Ids, num_predicted: Ids
) -> dict[str, Any]:
    """The sums of HOTA over the pairs (n,) that overlap enough, for each of ALPHAS."""
    names = ("true_positives", "sum_overlap", "sum_association", "sum_association_recall", "sum_association_precision")
    sums = {name: np.zeros(len(ALPHAS)) for name in names}
    shape = len(num_truth), len(num_predicted)
    pair_ids = truth_ids * shape[1] + predicted_ids
    for place, alpha in enumerate(ALPHAS):
        matched = at_least(overlaps, alpha)
        counts = np.bincount(pair_ids[matched], minlength=shape[0] * shape[1]).reshape(shape)
        union = num_truth[:, None] + num_predicted[None, :] - counts
        sums["true_positives"][place] = counts.sum()
        sums["sum_overlap"][place] = overlaps[matched].sum()
        sums["sum_association"][place] = (counts * (counts / np.maximum(1, union))).sum()
        sums["sum_association_recall"][place] = (counts**2 / np.maximum(1, num_truth[:, None])).sum()
        sums["sum_association_precision"][place] = (counts**2 / np.maximum(1, num_predicted[None, :])).sum()
    return sums


def _clear_counts(frames: Sequence[FrameOverlaps], num_truth: Ids) -> tuple[dict[str, Any], ObjectCounts]:
    """CLEAR MOT. As in TrackEval, a frame without objects or without tracks leaves the pairs of the frame before."""
    last, before = (np.full(len(num_truth), -1, np.int64) for _ in range(2))
    matched, switches, fragments = (np.zeros(len(num_truth), np.int64) for _ in range(3))
    sum_overlap = 0.0
    for frame in frames:
        if not frame.overlaps.size:
            continue
        kept = frame.predicted_ids[None, :] == before[frame.truth_ids][:, None]
        scores = _KEPT_MATCH * kept + frame.overlaps
        scores[~at_least(frame.overlaps, MATCH_AT)] = 0
        rows, columns = best_matches(scores)
        truth_ids, predicted_ids = frame.truth_ids[rows], frame.predicted_ids[columns]
        switches[truth_ids] += (last[truth_ids] >= 0) & (last[truth_ids] != predicted_ids)
        matched[truth_ids] += 1
        fragments[truth_ids] += before[truth_ids] < 0
        last[truth_ids] = predicted_ids
        before[:] = -1
        before[truth_ids] = predicted_ids
        sum_overlap += float(frame.overlaps[rows, columns].sum())
    counts = {
        "num_matches": int(matched.sum()),
        "sum_match_overlap": sum_overlap,
        "num_switches": int(switches.sum()),
        "num_fragments": int(np.maximum(fragments - 1, 0).sum()),
    }
    objects = ObjectCounts(num_truth, matched, switches)
    return counts | _coverage(objects), objects


def _coverage(objects: ObjectCounts) -> dict[str, int]:
    present = objects.num_frames > 0
    share = objects.num_matched[present] / objects.num_frames[present]
    mostly, partly = int((share > MOSTLY_TRACKED).sum()), int((share >= MOSTLY_LOST).sum())
    return {
        "num_mostly_tracked": mostly,
        "num_partly_tracked": partly - mostly,
        "num_mostly_lost": int(present.sum()) - partly,
    }


def _identity_matches(frames: Sequence[FrameOverlaps], num_truth: int, num_predicted: int) -> int:
    """IDTP: the frames on which tracks match their objects, under the best assignment over the whole sequence."""
    shared = np.zeros((num_truth, num_predicted), np.int64)
    for frame in frames:
        rows, columns = np.nonzero(frame.overlaps >= MATCH_AT)
        shared[frame.truth_ids[rows], frame.predicted_ids[columns]] += 1
    return int(shared[linear_sum_assignment(-shared)].sum())
