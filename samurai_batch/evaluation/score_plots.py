"""Success, precision and normalised precision of a run as curves, beside what SAMURAI's authors published.

They published numbers, not curves: an area under the success curve stands in the legend alone, a share of frames at
one threshold is a mark at that threshold as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from samurai_batch.evaluation.boxes import (
    NORMALISED_PRECISION_AT,
    OVERLAP_THRESHOLDS,
    PRECISION_AT_PX,
    BoxProtocol,
    BoxScores,
)
from samurai_batch.evaluation.plots import Curve, Mark, curve_plot
from samurai_batch.evaluation.published import published_by_model


@dataclass(frozen=True)
class _Kind:
    """One plot: the ``score`` its legend tells, and the scores that are points of the curve, with their thresholds."""

    name: str
    x_label: str
    score: str
    points: Mapping[str, float]


def score_plots(dataset: str, scores: BoxScores, protocol: BoxProtocol) -> dict[str, str]:
    """The plots of a benchmark, as SVG text by name."""
    published, distances = published_by_model(dataset), protocol.distance_thresholds_px
    has_overlaps = any("average_overlap" in one for one in published.values())
    success = _Kind(
        "success",
        "overlap threshold",
        "average_overlap" if has_overlaps else "success_auc",
        {"success_rate_50": 0.5, "success_rate_75": 0.75},
    )
    # An area under the curve, as TrackingNet takes it, is no point of it.
    is_point = protocol.precision == "at"
    precision = _Kind(
        "precision", "distance of centres (px)", "precision", {"precision": PRECISION_AT_PX} if is_point else {}
    )
    normalised = _Kind(
        "normalised_precision",
        "distance of centres / size",
        "normalised_precision",
        {"normalised_precision": NORMALISED_PRECISION_AT} if is_point else {},
    )
    curves = (
        (success, OVERLAP_THRESHOLDS, scores.success_curve),
        (precision, distances, scores.precision_curve),
        (normalised, distances / 100, scores.normalised_precision_curve),
    )
    return {
        kind.name: curve_plot(
            f"{kind.name} on {dataset}".replace("_", " ").capitalize(),
            kind.x_label,
            "share of frames",
            [Curve(f"{getattr(scores, kind.score):.3f} this run", x, y)],
            [_mark(kind, model, one) for model, one in published.items() if kind.score in one],
        )
        for kind, x, y in curves
    }


def _mark(kind: _Kind, model: str, scores: Mapping[str, float]) -> Mark:
    points = tuple((at, scores[name]) for name, at in kind.points.items() if name in scores)
    return Mark(f"{scores[kind.score]:.3f} {model} (paper)", points)
