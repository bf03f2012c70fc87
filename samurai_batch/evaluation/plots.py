"""Plots of success, precision and normalised precision, with the numbers that SAMURAI's authors published.

The authors published numbers, not curves. Their share of frames at one threshold is a mark at that threshold; their
area under the success curve is in the legend only.
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
from samurai_batch.evaluation.published import published_by_model
from samurai_batch.plotting import Curve, Mark, curve_plot


@dataclass(frozen=True)
class _Plot:
    """One plot: the ``score`` in its legend, and the scores that are points of the curve, with their thresholds."""

    name: str
    x_label: str
    score: str
    points: Mapping[str, float]


def score_plots(dataset: str, scores: BoxScores, protocol: BoxProtocol) -> dict[str, str]:
    """The plots of a benchmark, as SVG text by name."""
    published, distances = published_by_model(dataset), protocol.distance_thresholds_px
    has_overlaps = any("average_overlap" in one for one in published.values())
    legend_score = "average_overlap" if has_overlaps else "success_auc"
    success = _Plot("success", "overlap threshold", legend_score, {"success_rate_50": 0.5, "success_rate_75": 0.75})
    is_point = protocol.precision == "at"  # an area under the curve, as TrackingNet uses it, is no point of the curve
    at_px = {"precision": PRECISION_AT_PX} if is_point else {}
    at_share = {"normalised_precision": NORMALISED_PRECISION_AT} if is_point else {}
    precision = _Plot("precision", "distance of centres (px)", "precision", at_px)
    normalised = _Plot("normalised_precision", "distance of centres / size", "normalised_precision", at_share)
    curves = (
        (success, OVERLAP_THRESHOLDS, scores.success_curve),
        (precision, distances, scores.precision_curve),
        (normalised, distances / 100, scores.normalised_precision_curve),
    )
    return {
        plot.name: curve_plot(
            f"{plot.name} on {dataset}".replace("_", " ").capitalize(),
            plot.x_label,
            "share of frames",
            [Curve(f"{getattr(scores, plot.score):.3f} this run", x, y)],
            [_mark(plot, model, one) for model, one in published.items() if plot.score in one],
        )
        for plot, x, y in curves
    }


def _mark(plot: _Plot, model: str, scores: Mapping[str, float]) -> Mark:
    points = tuple((at, scores[name]) for name, at in plot.points.items() if name in scores)
    return Mark(f"{scores[plot.score]:.3f} {model} (paper)", points)
