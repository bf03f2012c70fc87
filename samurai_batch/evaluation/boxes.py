"""Tracking by box: success, precision, normalised precision, average overlap and success rates of one sequence.

A `BoxProtocol` has the differences between the benchmarks' official toolkits. Boxes are xywh in pixels: left, top,
width, height. (Toolkits that count the last pixel as inside get the same overlaps and distances.)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.evaluation.truth import BoxTruth

Boxes = NDArray[np.float64]

BOX_COLUMNS = ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]
OVERLAP_THRESHOLDS = np.linspace(0.0, 1.0, 21)
PRECISION_AT_PX = 20.0
NORMALISED_PRECISION_AT = 0.2


@dataclass(frozen=True, kw_only=True)
class BoxProtocol:
    """How a benchmark's official toolkit counts.

    ``absent_prediction``: a frame without a predicted box repeats the last box, or has an empty box.
    ``counts_absent``: frames without the target count, as failures. ``first_frame``: the prompted frame counts as
    perfect, or does not count. ``pooled``: scores are over the frames of all sequences, not means of sequences.
    ``whole_pixels``: boxes are rounded first. ``clipped``: boxes are clipped to the frame first.
    ``precision``: the value at 20 px and 0.2, or the area under the curve up to 50 px and 0.5.
    """

    absent_prediction: Literal["repeat", "empty"]
    counts_absent: bool
    first_frame: Literal["perfect", "skipped"] = "perfect"
    pooled: bool = False
    whole_pixels: bool = False
    clipped: bool = False
    precision: Literal["at", "area"] = "at"

    @property
    def distance_thresholds_px(self) -> NDArray[np.float64]:
        """The thresholds of the precision curve; divided by 100, those of the normalised one."""
        return np.linspace(0.0, 50.0, 51 if self.precision == "at" else 21)


@dataclass(frozen=True)
class BoxErrors:
    """The frames that count: ``overlap`` (n,), ``distance_px`` (n,), ``normalised_distance`` (n,).

    If frames without the target count, their overlap is -1 and their distances are infinite.
    """

    overlap: NDArray[np.float64]
    distance_px: NDArray[np.float64]
    normalised_distance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.overlap)


@dataclass(frozen=True)
class BoxScores:
    """All from 0 to 1. The curves are over OVERLAP_THRESHOLDS and the protocol's distances."""

    success_auc: float
    precision: float
    normalised_precision: float
    average_overlap: float
    success_rate_50: float
    success_rate_75: float
    success_curve: NDArray[np.float64]
    precision_curve: NDArray[np.float64]
    normalised_precision_curve: NDArray[np.float64]


def overlaps(predicted_xywh: Boxes, truth_xywh: Boxes) -> NDArray[np.float64]:
    """Intersection over union, row by row, of (n, 4) boxes; 0 where their union is empty."""
    near = np.maximum(predicted_xywh[:, :2], truth_xywh[:, :2])
    far = np.minimum(predicted_xywh[:, :2] + predicted_xywh[:, 2:], truth_xywh[:, :2] + truth_xywh[:, 2:])
    intersection = np.prod(np.maximum(far - near, 0.0), axis=1)
    union = predicted_xywh[:, 2:].prod(axis=1) + truth_xywh[:, 2:].prod(axis=1) - intersection
    shares: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return shares


def box_errors(
    predicted_xywh: Boxes,
    truth_xywh: Boxes,
    visible: NDArray[np.bool_],
    protocol: BoxProtocol,
    height: int,
    width: int,
) -> BoxErrors:
    """Overlaps and distances of one sequence, on the frames that the protocol counts.

    ``predicted_xywh`` (T, 4) is NaN on frames without a box; ``truth_xywh`` (T, 4) begins on the prompted frame;
    ``visible`` (T,) is True where the target is visible. A box without width or height counts as not visible.
    """
    assert predicted_xywh.shape == truth_xywh.shape, (predicted_xywh.shape, truth_xywh.shape)
    predicted, truth = _prepared(predicted_xywh, truth_xywh, protocol, height, width)
    present = visible & (truth_xywh[:, 2:] > 0).all(axis=1) & np.isfinite(truth_xywh).all(axis=1)
    counted = np.ones_like(present) if protocol.counts_absent else present.copy()
    counted[0] &= protocol.first_frame == "perfect"
    overlap, distance_px, normalised = (np.full(len(truth), value) for value in (-1.0, np.inf, np.inf))
    overlap[present] = overlaps(predicted[present], truth[present])
    offsets = predicted[present, :2] + predicted[present, 2:] / 2 - truth[present, :2] - truth[present, 2:] / 2
    distance_px[present] = np.hypot(*offsets.T)
    normalised[present] = np.hypot(*(offsets / np.maximum(truth[present, 2:], np.finfo(float).tiny)).T)
    return BoxErrors(overlap[counted], distance_px[counted], normalised[counted])


def object_box_errors(rows: pd.DataFrame, truth: BoxTruth, protocol: BoxProtocol) -> BoxErrors:
    """Overlaps and distances of one track, from its mask rows. A frame without a row has no box."""
    num_frames = len(truth.boxes_xywh)
    predicted = np.full((num_frames, 4), np.nan)
    places = rows["frame_index"].to_numpy() - truth.start
    inside = (places >= 0) & (places < num_frames)
    predicted[places[inside]] = rows.loc[inside, BOX_COLUMNS].to_numpy(np.float64)
    height, width = (int(rows[name].iloc[0]) if len(rows) else 1 for name in ("height", "width"))
    return box_errors(predicted, truth.boxes_xywh, truth.visible, protocol, height, width)


def box_scores(errors: BoxErrors, protocol: BoxProtocol) -> BoxScores:
    """The scores over the frames that count; NaN if there are none."""
    distances = protocol.distance_thresholds_px
    success = _share(errors.overlap[:, None] > OVERLAP_THRESHOLDS)
    precision = _share(errors.distance_px[:, None] <= distances)
    normalised = _share(errors.normalised_distance[:, None] <= distances / 100)
    present = errors.overlap[errors.overlap >= 0]
    return BoxScores(
        success_auc=success_auc(success, protocol),
        precision=_precision(precision, distances, PRECISION_AT_PX, protocol),
        normalised_precision=_precision(normalised, distances / 100, NORMALISED_PRECISION_AT, protocol),
        average_overlap=float(present.mean()) if present.size else float("nan"),
        success_rate_50=float(np.mean(errors.overlap > 0.5)) if len(errors) else float("nan"),
        success_rate_75=float(np.mean(errors.overlap > 0.75)) if len(errors) else float("nan"),
        success_curve=success,
        precision_curve=precision,
        normalised_precision_curve=normalised,
    )


def success_auc(curve: NDArray[np.float64], protocol: BoxProtocol) -> float:
    """The area under a success curve: TrackingNet integrates by trapezoids, the others average the points."""
    return _area(curve) if protocol.precision == "area" else float(curve.mean())


def _precision(curve: NDArray[np.float64], thresholds: NDArray[np.float64], at: float, protocol: BoxProtocol) -> float:
    if protocol.precision == "area":
        return _area(curve)
    return float(curve[int(np.argmin(np.abs(thresholds - at)))])


def _area(curve: NDArray[np.float64]) -> float:
    """The area under a curve over a range of length 1, by trapezoids."""
    return float((curve[1:] + curve[:-1]).mean() / 2)


def _share(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of frames for each threshold; NaN if there are no frames."""
    return hits.mean(axis=0) if len(hits) else np.full(hits.shape[1], np.nan)


def _prepared(predicted: Boxes, truth: Boxes, protocol: BoxProtocol, height: int, width: int) -> tuple[Boxes, Boxes]:
    predicted = predicted.copy()
    if protocol.first_frame == "perfect":
        predicted[0] = truth[0]
    missing = ~np.isfinite(predicted).all(axis=1)
    if protocol.absent_prediction == "repeat":
        predicted = predicted[np.maximum.accumulate(np.where(missing, 0, np.arange(len(predicted))))]
        missing = ~np.isfinite(predicted).all(axis=1)
    predicted[missing] = 0.0
    if protocol.whole_pixels:
        predicted, truth = np.round(predicted), np.round(truth)
    if protocol.clipped:
        predicted, truth = _clipped(predicted, height, width), _clipped(truth, height, width)
    return predicted, truth


def _clipped(boxes: Boxes, height: int, width: int) -> Boxes:
    """Boxes clipped to the frame as GOT-10k's toolkit does: first the corner, then the size."""
    corner = np.clip(boxes[:, :2], 0, (width, height))
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0, (width, height) - corner)], axis=1)
