"""Video object segmentation: region similarity J and contour accuracy F, as DAVIS defines them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016), and the
2017 challenge (Pont-Tuset et al.) for several objects and void pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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


def region_similarity(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """J: intersection over union of two (H, W) masks; 1 if both are empty. ``void`` pixels do not count."""
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def contour_accuracy(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """F: harmonic mean of precision and recall of the contours of two (H, W) masks.

    A contour pixel is right if a pixel of the other contour lies within 0.008 image diagonals of it (rounded up to
    whole pixels). ``void`` pixels are taken as background of both.
    """
    tolerance_px = int(np.ceil(CONTOUR_TOLERANCE * np.hypot(*truth.shape)))
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    part = _surroundings(predicted | truth)
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
    # On the last row and column only the neighbour along it exists.
    edges[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edges[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edges


def statistics(per_frame: NDArray[np.float64]) -> Statistics:
    """Mean, recall and decay of J or F over the (T,) frames of one object.

    The quarters of the decay share their border frames, as in DAVIS' own code (whose indices, being 8 bits wide, go
    wrong after 256 frames; these do not).
    """
    assert per_frame.ndim == 1, per_frame.shape
    if per_frame.size == 0:
        return Statistics(float("nan"), float("nan"), float("nan"))
    borders = np.round(np.linspace(1, per_frame.size, NUM_DECAY_BINS + 1) + 1e-10).astype(int) - 1
    first, last = per_frame[: borders[1] + 1], per_frame[borders[-2] :]
    recall = float(np.mean(per_frame > RECALL_THRESHOLD))
    return Statistics(float(per_frame.mean()), recall, float(first.mean() - last.mean()))


def _near(contour_pixels: Mask, tolerance_px: int) -> Mask:
    """Which pixels have a contour pixel within the tolerance: dilation by a disk."""
    distances = ndimage.distance_transform_edt(~contour_pixels)
    near: Mask = distances <= tolerance_px
    return near


def _surroundings(mask: Mask) -> tuple[slice, slice]:
    """The part of the picture that holds both contours, which lie up to a pixel above and left of their masks."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return slice(0, 0), slice(0, 0)
    rows, columns = found[0]
    return slice(max(rows.start - 1, 0), rows.stop), slice(max(columns.start - 1, 0), columns.stop)
