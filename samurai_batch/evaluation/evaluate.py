"""``samurai-batch evaluate``: scores of a run's mask tables on a benchmark, as tables and plots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from samurai_batch import storage
from samurai_batch.counting import counted
from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.boxes import (
    BOX_COLUMNS,
    BoxErrors,
    BoxProtocol,
    BoxScores,
    box_scores,
    object_box_errors,
)
from samurai_batch.evaluation.datasets import Dataset, dataset_named, read_sequences
from samurai_batch.evaluation.multi_object import (
    MOT_COLUMNS,
    MOTS_COLUMNS,
    association_plot,
    association_tables,
    count_tracks,
)
from samurai_batch.evaluation.plots import published_scores, score_plots
from samurai_batch.evaluation.regions import regions_per_frame, statistics
from samurai_batch.evaluation.truth import BoxTruth, MaskTruth, Sequence
from samurai_batch.masks import read_masks

_REGION_COLUMNS = ["video_id", "object_id", "frame_index", "segmentation", "mask_score"]
_SCORES = (
    "success_auc", "precision", "normalised_precision", "average_overlap", "success_rate_50", "success_rate_75",
)  # fmt: skip
_CURVES = ("success_curve", "precision_curve", "normalised_precision_curve")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a run on a benchmark, from 0 to 1.

    ``objects`` has a row per track, ``sequences`` a row per video. The first row of ``overall`` has the benchmark's
    scores of this run; the rows below are the scores that SAMURAI's authors published.
    ``frames``: J and F of each frame (one object at a time, masks only). ``plots``: SVG text by name.
    With HOTA and its like, the scores of some columns are whole numbers, and those of MOTA can be negative.
    """

    dataset: str
    objects: pd.DataFrame
    sequences: pd.DataFrame
    overall: pd.DataFrame
    frames: pd.DataFrame
    plots: Mapping[str, str]

    def write(self, folder: str) -> None:
        """Write the tables and plots to a folder, as CSV and SVG files."""
        for name in ("objects", "sequences", "overall", "frames"):
            table = cast(pd.DataFrame, getattr(self, name))
            if len(table):
                storage.write_bytes(storage.join(folder, f"{name}.csv"), table.to_csv(index=False).encode())
        for name, svg in self.plots.items():
            storage.write_bytes(storage.join(folder, f"{name}.svg"), svg.encode())


def evaluate(
    masks_uri: str,
    dataset: str,
    root: str | Path,
    output: str | None = None,
    sequences: Iterable[str] | None = None,
    missing_is_absent: bool = False,
) -> Evaluation:
    """Evaluate an output folder (``masks_uri``) on a benchmark's folder (``root``), and write the result to ``output``.

    Video ids must be the names of the benchmark's sequences, as in the tables of `write_dataset_prompts`.
    ``sequences`` selects some of them. Raises ConfigError, also for a track without a table unless
    ``missing_is_absent``: then its object counts as absent on all frames.
    """
    kind, chosen = dataset_named(dataset), list(read_sequences(dataset, root, sequences))
    if kind.measure == "association":
        evaluation = _evaluate_association(masks_uri, kind, chosen, missing_is_absent)
    else:
        _check_tracks(masks_uri, chosen, missing_is_absent)
        if kind.protocol is None:
            evaluation = _evaluate_masks(masks_uri, kind, chosen)
        else:
            evaluation = _evaluate_boxes(masks_uri, kind, chosen, kind.protocol)
    if output is not None:
        evaluation.write(output)
    return evaluation


def _evaluate_association(
    masks_uri: str, dataset: Dataset, sequences: list[Sequence], missing_is_absent: bool
) -> Evaluation:
    """Whatever tracks a video has, named as the benchmark's objects or not, against all its objects together."""
    counts = []
    for sequence in counted(sequences, "sequences evaluated"):
        is_boxes = any(isinstance(frame.shapes, np.ndarray) for frame in sequence.frames.values())
        columns = MOT_COLUMNS if is_boxes else MOTS_COLUMNS
        rows = read_masks(masks_uri, videos=[sequence.name], columns=columns)
        if rows.empty and not missing_is_absent:
            message = f"{storage.redact_uri(masks_uri)}: there is no track of video {sequence.name}"
            raise ConfigError(f"{message}; run it, select sequences, or count missing tracks as absent")
        counts.append(count_tracks(rows, sequence, dataset.exclusive))
    objects, by_sequence, scores = association_tables(counts)
    overall = _beside_published(dataset.name, scores)
    plots = {"hota": association_plot(dataset.name, counts)}
    return Evaluation(dataset.name, objects, by_sequence, overall, pd.DataFrame(), plots)


def _check_tracks(masks_uri: str, sequences: list[Sequence], missing_is_absent: bool) -> None:
    ids = read_masks(masks_uri, [one.name for one in sequences], columns=["video_id", "object_id"])
    there = set(ids.drop_duplicates().itertuples(index=False, name=None))
    missing = [(one.name, object_id) for one in sequences for object_id in one.objects]
    missing = [track for track in missing if track not in there]
    if missing and not missing_is_absent:
        named = ", ".join(f"{video}/{object_id}" for video, object_id in missing[:5])
        raise ConfigError(
            f"{storage.redact_uri(masks_uri)}: {len(missing)} track(s) of the benchmark have no table ({named}"
            f"{', ...' if len(missing) > 5 else ''}); run them, select sequences, or count them as absent"
        )


def _evaluate_masks(masks_uri: str, dataset: Dataset, sequences: list[Sequence]) -> Evaluation:
    frames = []
    for sequence in counted(sequences, "sequences evaluated"):
        rows = read_masks(masks_uri, videos=[sequence.name], columns=_REGION_COLUMNS)
        truths = {key: truth for key, truth in sequence.objects.items() if isinstance(truth, MaskTruth)}
        measured = regions_per_frame(rows, truths, dataset.exclusive)
        measured.insert(0, "video_id", sequence.name)
        frames.append(measured)
    per_frame = pd.concat(frames, ignore_index=True)
    objects = pd.DataFrame(
        [
            _region_row(sequence.name, object_id, measured[measured["object_id"] == object_id])
            for sequence, measured in zip(sequences, frames, strict=True)
            for object_id in sequence.objects
        ]
    )
    scores = [name for name in objects.columns if name not in ("video_id", "object_id", "num_frames")]
    by_sequence = objects.groupby("video_id", sort=False)[scores].mean().reset_index()
    # The mean over objects, as in DAVIS 2017 and SA-V; DAVIS 2016 has one object per video.
    overall = _beside_published(dataset.name, objects[scores].mean().to_dict())
    return Evaluation(dataset.name, objects, by_sequence, overall, per_frame, {})


def _beside_published(name: str, scores: Mapping[Any, float]) -> pd.DataFrame:
    own = pd.DataFrame([{"source": "this run", "dataset": name, **scores}])
    published = published_scores(name)
    return own if published.empty else pd.concat([own, published], ignore_index=True)


def _region_row(video_id: str, object_id: str, frames: pd.DataFrame) -> dict[str, object]:
    region, contour = (statistics(frames[name].to_numpy(np.float64)) for name in ("J", "F"))
    return {
        "video_id": video_id,
        "object_id": object_id,
        "num_frames": len(frames),
        "J&F": (region.mean + contour.mean) / 2,
        "J_mean": region.mean,
        "J_recall": region.recall,
        "J_decay": region.decay,
        "F_mean": contour.mean,
        "F_recall": contour.recall,
        "F_decay": contour.decay,
    }


def _evaluate_boxes(masks_uri: str, dataset: Dataset, sequences: list[Sequence], protocol: BoxProtocol) -> Evaluation:
    errors: dict[tuple[str, str], BoxErrors] = {}
    for sequence in counted(sequences, "sequences evaluated"):
        columns = ["object_id", "frame_index", "height", "width", *BOX_COLUMNS]
        rows = read_masks(masks_uri, videos=[sequence.name], columns=columns)
        for object_id, truth in sequence.objects.items():
            assert isinstance(truth, BoxTruth)
            if len(truth.boxes_xywh) == 1:
                message = "only its first box is public; `samurai-batch export` writes the files for its server"
                raise ConfigError(f"{sequence.name}: {message}")
            own = rows[rows["object_id"] == object_id].reset_index(drop=True)
            errors[sequence.name, object_id] = object_box_errors(own, truth, protocol)
    scores = {ids: box_scores(error, protocol) for ids, error in errors.items()}
    objects = pd.DataFrame(
        [
            {"video_id": ids[0], "object_id": ids[1], "num_frames": len(errors[ids]), **_named_scores(score)}
            for ids, score in scores.items()
        ]
    )
    by_sequence = objects.groupby("video_id", sort=False)[list(_SCORES)].mean().reset_index()
    whole = _pooled(errors, protocol) if protocol.pooled else _mean_scores(list(scores.values()))
    overall = _beside_published(dataset.name, _named_scores(whole))
    plots = score_plots(dataset.name, whole, protocol)
    return Evaluation(dataset.name, objects, by_sequence, overall, pd.DataFrame(), plots)


def _named_scores(scores: BoxScores) -> dict[str, float]:
    return {name: getattr(scores, name) for name in _SCORES}


def _pooled(errors: Mapping[tuple[str, str], BoxErrors], protocol: BoxProtocol) -> BoxScores:
    names = ("overlap", "distance_px", "normalised_distance")
    return box_scores(
        BoxErrors(*(np.concatenate([getattr(error, name) for error in errors.values()]) for name in names)), protocol
    )


def _mean_scores(scores: list[BoxScores]) -> BoxScores:
    """Every score and curve, averaged over the tracks with a frame that counts."""
    counted = [one for one in scores if np.isfinite(one.success_curve).all()]
    if not counted:
        raise ConfigError("no track has a frame that counts; the ground truth of this set may not be public")
    means: dict[str, Any] = {name: float(np.nanmean([getattr(one, name) for one in counted])) for name in _SCORES}
    means |= {name: np.mean([getattr(one, name) for one in counted], axis=0) for name in _CURVES}
    return replace(counted[0], **means)
