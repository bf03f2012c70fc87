"""TrackEval's numbers for the same frames. It is not a dependency: tests that need it are skipped without it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from samurai_batch.evaluation.association import FrameOverlaps

COUNTS = {"IDSW": "IDSW", "Frag": "Frag", "FP": "CLR_FP", "FN": "CLR_FN", "MT": "MT", "PT": "PT", "ML": "ML"}
HOTA_NAMES = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA")


def library() -> Any:
    return pytest.importorskip("trackeval", reason="TrackEval is not installed")


def data_of(frames: Sequence[FrameOverlaps]) -> dict[str, Any]:
    """The frames as TrackEval's metrics take them: ids without gaps."""
    return {
        "num_timesteps": len(frames),
        "gt_ids": [frame.truth_ids for frame in frames],
        "tracker_ids": [frame.predicted_ids for frame in frames],
        "similarity_scores": [frame.overlaps.copy() for frame in frames],
        "num_gt_dets": sum(len(frame.truth_ids) for frame in frames),
        "num_tracker_dets": sum(len(frame.predicted_ids) for frame in frames),
        "num_gt_ids": len({one for frame in frames for one in frame.truth_ids.tolist()}),
        "num_tracker_ids": len({one for frame in frames for one in frame.predicted_ids.tolist()}),
    }


def trackeval_scores(sequences: Sequence[dict[str, Any]]) -> dict[str, float]:
    """TrackEval's scores of one sequence, or of several combined, by the names of `association_scores`."""
    metrics = library().metrics
    found: dict[str, float] = {}
    for metric in (
        metrics.HOTA(),
        metrics.CLEAR({"PRINT_CONFIG": False, "THRESHOLD": 0.5}),
        metrics.Identity({"PRINT_CONFIG": False, "THRESHOLD": 0.5}),
    ):
        results = {str(number): metric.eval_sequence(data) for number, data in enumerate(sequences)}
        whole = metric.combine_sequences(results) if len(results) > 1 else results["0"]
        found |= {name: float(np.mean(value)) for name, value in whole.items()}
    names = (*HOTA_NAMES, "MOTA", "MOTP", "IDF1", "IDP", "IDR")
    return {name: found[name] for name in names} | {own: found[name] for own, name in COUNTS.items()}
