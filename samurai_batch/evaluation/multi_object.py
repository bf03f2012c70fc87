"""From the mask rows and the ground truth of a video to the overlaps that `association` counts.

Predictions that do not count are removed first, as TrackEval's readers of MOTChallenge and MOTSChallenge do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.association import (
    ALPHAS,
    MATCH_AT,
    AssociationCounts,
    FrameOverlaps,
    ObjectCounts,
    association_scores,
    at_least,
    best_matches,
    count_sequence,
    hota_curves,
    total,
)
from samurai_batch.evaluation.boxes import BOX_COLUMNS
from samurai_batch.evaluation.regions import masks_on
from samurai_batch.evaluation.truth import FrameTruth, Sequence
from samurai_batch.geometry import box_ious, to_xyxy
from samurai_batch.plotting import Curve, curve_plot
from samurai_batch.prompts import Rle
from samurai_batch.rle import encode_mask, mask_overlaps, rle_from_coco

MOT_COLUMNS = ["object_id", "frame_index", *BOX_COLUMNS]
MOTS_COLUMNS = ["object_id", "frame_index", "segmentation", "mask_score"]
_IGNORED_FROM = 0.5  # of a prediction's pixels

Shapes = NDArray[np.float64] | tuple[Rle, ...]


@dataclass(frozen=True, eq=False)
class SequenceCounts:
    """What is counted of one sequence, and of its objects, whose ids are in ``object_ids``."""

    name: str
    counts: AssociationCounts
    object_ids: tuple[str, ...]
    objects: ObjectCounts


def count_tracks(rows: pd.DataFrame, sequence: Sequence, exclusive: bool) -> SequenceCounts:
    """Count the mask rows of one video (MOT_COLUMNS for boxes, MOTS_COLUMNS for masks) against its ground truth.

    ``exclusive``: where masks overlap, the higher mask score keeps the pixel. Frames without annotation are left out.
    Raises ConfigError if the rows are of another video.
    """
    by_frame = dict(iter(rows.groupby("frame_index", sort=False)))
    truth_numbers: dict[str, int] = {}
    predicted_numbers: dict[str, int] = {}
    frames = []
    for frame_index in sorted(sequence.frames):
        truth = sequence.frames[frame_index]
        object_ids, shapes = _predictions(by_frame.get(frame_index), truth, exclusive)
        where = f"{sequence.name}, frame {frame_index}"
        overlaps, is_kept = _counted(truth, shapes, where)
        scored = [one for one, is_scored in zip(truth.object_ids, truth.is_scored, strict=True) if is_scored]
        kept = [one for one, keep in zip(object_ids, is_kept, strict=True) if keep]
        numbers = _numbered(scored, truth_numbers), _numbered(kept, predicted_numbers)
        frames.append(FrameOverlaps(*numbers, overlaps[np.ix_(truth.is_scored, is_kept)]))
    counts, objects = count_sequence(frames)
    return SequenceCounts(sequence.name, counts, tuple(truth_numbers), objects)


def association_tables(counted: list[SequenceCounts]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """A row per object, a row per sequence, and the scores over all of them."""
    objects = pd.DataFrame([row for one in counted for row in _object_rows(one)])
    by_sequence = pd.DataFrame([{"video_id": one.name, **association_scores(one.counts)} for one in counted])
    return objects, by_sequence, association_scores(total([one.counts for one in counted]))


def association_plot(dataset: str, counted: list[SequenceCounts]) -> str:
    """HOTA, DetA and AssA over the required overlap, as SVG text."""
    curves = hota_curves(total([one.counts for one in counted]))
    shown = [Curve(f"{curves[name].mean():.3f} {name}", ALPHAS, curves[name]) for name in ("HOTA", "DetA", "AssA")]
    return curve_plot(f"HOTA on {dataset}", "overlap threshold", "score", shown, [])


def _object_rows(one: SequenceCounts) -> Iterable[dict[str, Any]]:
    objects = one.objects
    columns = objects.num_frames.tolist(), objects.num_matched.tolist(), objects.num_switches.tolist()
    for object_id, num_frames, num_matched, switches in zip(one.object_ids, *columns, strict=True):
        share = num_matched / num_frames
        ids = {"video_id": one.name, "object_id": object_id}
        yield {**ids, "num_frames": num_frames, "tracked": share, "IDSW": switches}


def _predictions(rows: pd.DataFrame | None, truth: FrameTruth, exclusive: bool) -> tuple[list[str], Shapes]:
    """The ids and shapes of the objects that are present on one frame."""
    is_boxes = isinstance(truth.shapes, np.ndarray)
    if rows is None:
        return [], np.zeros((0, 4)) if is_boxes else ()
    if is_boxes:
        present = rows[rows["bbox_w"].notna()]
        return present["object_id"].tolist(), present[BOX_COLUMNS].to_numpy(np.float64)
    if not exclusive:
        present = rows[rows["segmentation"].notna()]
        return present["object_id"].tolist(), tuple(rle_from_coco(one) for one in present["segmentation"])
    visible = {object_id: encode_mask(mask) for object_id, mask in masks_on(rows, exclusive).items()}
    masks = {object_id: rle for object_id, rle in visible.items() if rle is not None}
    return list(masks), tuple(masks.values())


def _counted(truth: FrameTruth, shapes: Shapes, where: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The overlaps (G, P) of all annotations with all predictions, and which predictions count (P,)."""
    overlaps = _overlaps(truth.shapes, shapes, where)
    is_kept = np.ones(len(shapes), np.bool_)
    rows, columns = best_matches(np.where(at_least(overlaps, MATCH_AT), overlaps, 0.0))
    is_kept[columns[truth.is_distractor[rows]]] = False
    if truth.ignored is not None and len(shapes):
        assert isinstance(shapes, tuple)
        inside = mask_overlaps(shapes, [truth.ignored], of_the_first=True)[:, 0] > _IGNORED_FROM
        inside[columns] = False
        is_kept &= ~inside
    return overlaps, is_kept


def _overlaps(truth: Shapes, predicted: Shapes, where: str) -> NDArray[np.float64]:
    if isinstance(truth, np.ndarray):
        assert isinstance(predicted, np.ndarray)
        return box_ious(to_xyxy(truth), to_xyxy(predicted))
    assert isinstance(predicted, tuple)
    sizes = {(one.height, one.width) for one in (*truth, *predicted)}
    if len(sizes) > 1:
        shown = " and ".join(f"{width}x{height}" for height, width in sorted(sizes))
        raise ConfigError(f"{where}: masks are of {shown} pixels; are these the benchmark's videos?")
    return mask_overlaps(truth, predicted)


def _numbered(object_ids: Iterable[str], numbers: dict[str, int]) -> NDArray[np.int64]:
    """A number for each id, from 0, in the order in which they are first seen."""
    return np.array([numbers.setdefault(one, len(numbers)) for one in object_ids], np.int64)
