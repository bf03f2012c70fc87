"""Several masks of one frame as one map of labels, where every pixel belongs to one object at most."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def to_label_map(
    masks: Sequence[NDArray[np.bool_]], labels: Sequence[int], scores: Sequence[float], height: int, width: int
) -> NDArray[np.uint8]:
    """The (height, width) uint8 map: 0 for the background, else the label of the mask there.

    Where masks overlap, the one with the highest score keeps the pixel; of equal ones, the first.
    """
    assert all(0 < label < 256 for label in labels), labels
    label_map = np.zeros((height, width), np.uint8)
    for index in sorted(range(len(masks)), key=lambda index: (scores[index], -index)):
        label_map[masks[index]] = labels[index]
    return label_map


def num_shared_pixels(masks: Sequence[NDArray[np.bool_]]) -> int:
    """How many pixels belong to more than one of the masks."""
    if not masks:
        return 0
    return int(np.count_nonzero(np.sum(masks, axis=0, dtype=np.int32) > 1))
