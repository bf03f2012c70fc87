"""Video object segmentation: region similarity J and contour accuracy F, as DAVIS defines them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016), and the
2017 challenge (Pont-Tuset et al.) for several objects and void pixels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from samurai_batch.evaluation.truth import MaskTruth
from samurai_batch.geometry import mask_iou, to_label_map
from samurai_batch.rle import decode_mask, rle_from_coco

CONTOUR_TOLERANCE = 0.008  # of the image diagonal
RECALL_THRESHOLD = 0.5
NUM_DECAY_BINS = 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Statistics:
    """Over the frames of one object: ``mean``, ``recall`` (share above 0.5), ``decay`` (first less last quarter)."""

    mean: float
    recall: float
    decay: float


def regions_per_frame(rows: pd.DataFrame, truths: Mapping[str, MaskTruth], exclusive: bool) -> pd.DataFrame:
    """J and F of every object on every frame that counts: columns ``object_id, frame_index, J, F``.

    ``rows`` are the mask rows of one video. A frame without a row has an empty mask. The first frame of each object,
    which has the prompt, and the last annotated frame do not count. If ``exclusive``, overlaps of masks are resolved
    first.
    """
    measured: list[dict[str, Any]] = []
    frames = {object_id: _counted_frames(truth) for object_id, truth in truths.items()}
    by_frame = dict(iter(rows.groupby("frame_index")))
    for frame_index in sorted({index for counted in frames.values() for index in counted}):
        predicted = masks_on(by_frame.get(frame_index), exclusive)
        for object_id, truth in truths.items():
            if frame_index not in frames[object_id]:
                continue
            expected, void = truth.read(frame_index)
            mask = predicted.get(object_id, np.zeros_like(expected))
            scores = {"J": region_similarity(mask, expected, void), "F": contour_accuracy(mask, expected, void)}
            measured.append({"object_id": object_id, "frame_index": frame_index, **scores})
    return pd.DataFrame(measured, columns=["object_id", "frame_index", "J", "F"])


def region_similarity(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """J: intersection over union of two (H, W) masks; 1 if both are empty. ``void`` pixels do not count."""
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    return mask_iou(predicted, truth)


def contour_accuracy(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """F: harmonic mean of precision and recall of the contours of two (H, W) masks.

    A contour pixel is correct if a pixel of the other contour is within 0.008 image diagonals of it (rounded up to
    whole pixels). ``void`` pixels count as background in both.
    """
    tolerance_px = int(np.ceil(CONTOUR_TOLERANCE * np.hypot(*truth.shape)))
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    part = _bounds_of_contours(predicted | truth)
    predicted_contour, truth_contour = contour(predicted)[part], contour(truth)[part]
    num_predicted, num_truth = np.count_nonzero(predicted_contour), np.count_nonzero(truth_contour)
    if num_predicted == 0 or num_truth == 0:
        return float(num_predicted == num_truth)
    precision = np.count_nonzero(predicted_contour & _near(truth_contour, tolerance_px)) / num_predicted
    recall = np.count_nonzero(truth_contour & _near(predicted_contour, tolerance_px)) / num_truth
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: Mask) -> Mask:
    """The pixels of a (H, W) mask that differ from the neighbour to the right, below, or both; (H, W) bool."""
    edges = np.zeros_like(mask)
    here, right, below = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1]
    edges[:-1, :-1] = (here ^ right) | (here ^ below) | (here ^ mask[1:, 1:])
    # On the last row and column, only the neighbour along it exists.
    edges[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edges[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edges


def statistics(per_frame: NDArray[np.float64]) -> Statistics:
    """Mean, recall and decay of J or F over the (T,) frames of one object.

    The quarters of the decay share their border frames, as in DAVIS' own code. (Its 8-bit indices overflow
    after 256 frames; these do not.)
    """
    assert per_frame.ndim == 1, per_frame.shape
    if per_frame.size == 0:
        return Statistics(float("nan"), float("nan"), float("nan"))
    borders = np.round(np.linspace(1, per_frame.size, NUM_DECAY_BINS + 1) + 1e-10).astype(int) - 1
    first, last = per_frame[: borders[1] + 1], per_frame[borders[-2] :]
    recall = float(np.mean(per_frame > RECALL_THRESHOLD))
    return Statistics(float(per_frame.mean()), recall, float(first.mean() - last.mean()))


def _counted_frames(truth: MaskTruth) -> set[int]:
    first = truth.first_frame()
    return {index for index in truth.pngs if first < index < max(truth.pngs)}


def masks_on(rows: pd.DataFrame | None, exclusive: bool) -> dict[str, Mask]:
    """The masks of one frame by object, without absent objects; ``exclusive``: none shares a pixel with another."""
    if rows is None:
        return {}
    present = rows[rows["segmentation"].notna()]
    masks = {
        str(object_id): decode_mask(rle_from_coco(segmentation))
        for object_id, segmentation in zip(present["object_id"], present["segmentation"], strict=True)
    }
    return _without_overlaps(masks, present["mask_score"]) if exclusive and masks else masks


def _without_overlaps(masks: Mapping[str, Mask], scores: Iterable[float]) -> dict[str, Mask]:
    height, width = next(iter(masks.values())).shape
    labels = range(1, len(masks) + 1)
    label_map = to_label_map(list(masks.values()), labels, list(scores), height, width)
    return {object_id: label_map == label for object_id, label in zip(masks, labels, strict=True)}


def _near(contour_pixels: Mask, tolerance_px: int) -> Mask:
    """Pixels with a contour pixel within the tolerance: dilation by a disk."""
    distances = ndimage.distance_transform_edt(~contour_pixels)
    return distances <= tolerance_px


def _bounds_of_contours(mask: Mask) -> tuple[slice, slice]:
    """The part of the frame with both contours, which reach one pixel above and left of their masks."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return slice(0, 0), slice(0, 0)
    rows, columns = found[0]
    return slice(max(rows.start - 1, 0), rows.stop), slice(max(columns.start - 1, 0), columns.stop)
