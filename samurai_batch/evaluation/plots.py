"""The scores that SAMURAI's authors published, and plots of a run's success and precision curves with them.

Source: "SAMURAI: Adapting Segment Anything Model for Zero-Shot Visual Tracking with Motion-Aware Memory",
https://arxiv.org/abs/2411.11922, the tables on LaSOT, LaSOT-ext and GOT-10k, and on TrackingNet, NfS and OTB100 (AUC
only). GOT-10k and TrackingNet are their test sets, scored by their servers; `evaluate` needs public ground truth.

The authors published numbers, not curves. In a plot, their share of frames at one threshold is a mark at that
threshold; their area under the success curve is in the legend only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from samurai_batch.evaluation.boxes import (
    NORMALISED_PRECISION_AT,
    OVERLAP_THRESHOLDS,
    PRECISION_AT_PX,
    BoxProtocol,
    BoxScores,
)
from samurai_batch.plotting import Curve, Mark, curve_plot

_SCORES = ("success_auc", "normalised_precision", "precision")
_OVERLAPS = ("average_overlap", "success_rate_50", "success_rate_75")

_PERCENT: dict[tuple[str, str], dict[str, float]] = {
    ("lasot", "SAMURAI-T"): dict(zip(_SCORES, (69.3, 76.4, 73.8), strict=True)),
    ("lasot", "SAMURAI-S"): dict(zip(_SCORES, (70.0, 77.6, 75.2), strict=True)),
    ("lasot", "SAMURAI-B"): dict(zip(_SCORES, (70.7, 78.7, 76.2), strict=True)),
    ("lasot", "SAMURAI-L"): dict(zip(_SCORES, (74.2, 82.7, 80.2), strict=True)),
    ("lasot-ext", "SAMURAI-T"): dict(zip(_SCORES, (55.1, 65.6, 63.7), strict=True)),
    ("lasot-ext", "SAMURAI-S"): dict(zip(_SCORES, (58.0, 69.6, 67.7), strict=True)),
    ("lasot-ext", "SAMURAI-B"): dict(zip(_SCORES, (57.5, 69.3, 67.1), strict=True)),
    ("lasot-ext", "SAMURAI-L"): dict(zip(_SCORES, (61.0, 73.9, 72.2), strict=True)),
    ("got10k", "SAMURAI-T"): dict(zip(_OVERLAPS, (79.0, 89.6, 72.3), strict=True)),
    ("got10k", "SAMURAI-S"): dict(zip(_OVERLAPS, (78.8, 88.7, 72.9), strict=True)),
    ("got10k", "SAMURAI-B"): dict(zip(_OVERLAPS, (79.6, 90.8, 72.9), strict=True)),
    ("got10k", "SAMURAI-L"): dict(zip(_OVERLAPS, (81.7, 92.2, 76.9), strict=True)),
    ("trackingnet", "SAMURAI-L"): {"success_auc": 85.3},
    ("nfs", "SAMURAI-L"): {"success_auc": 69.2},
    ("otb", "SAMURAI-L"): {"success_auc": 71.5},
}


def published_by_model(dataset: str) -> dict[str, dict[str, float]]:
    """The authors' scores (0 to 1) on a benchmark, by model and score name; empty if there are none."""
    return {
        model: {score: value / 100 for score, value in scores.items()}
        for (name, model), scores in _PERCENT.items()
        if name == dataset
    }


def published_scores(dataset: str) -> pd.DataFrame:
    """The authors' scores as a table: a row per model, which ``source`` names."""
    found = published_by_model(dataset)
    return pd.DataFrame(
        [{"source": f"{model} (paper)", "dataset": dataset, **scores} for model, scores in found.items()]
    )


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
