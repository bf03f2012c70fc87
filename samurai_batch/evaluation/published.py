"""What SAMURAI's authors measured, to stand beside one's own numbers.

Source: "SAMURAI: Adapting Segment Anything Model for Zero-Shot Visual Tracking with Motion-Aware Memory",
https://arxiv.org/abs/2411.11922, the tables on LaSOT, LaSOT-ext and GOT-10k, and on TrackingNet, NfS and OTB100 (AUC
alone). GOT-10k and TrackingNet are of the test sets, scored by their servers; `evaluate` measures what truth is public.
"""

import pandas as pd

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
    """The authors' scores (0 to 1) on a benchmark, by model and name of the score; empty if there are none."""
    return {
        model: {score: value / 100 for score, value in scores.items()}
        for (name, model), scores in _PERCENT.items()
        if name == dataset
    }


def published_scores(dataset: str) -> pd.DataFrame:
    """The same as a table, a row per model, named in ``source``."""
    found = published_by_model(dataset)
    return pd.DataFrame(
        [{"source": f"{model} (paper)", "dataset": dataset, **scores} for model, scores in found.items()]
    )
