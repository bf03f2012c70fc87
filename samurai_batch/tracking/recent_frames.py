"""The features of the last frames, for what looks back in a video (`rescue`).

No frame is kept that no track needs, so their number is bounded: nine for each track with SENTRY, and tracks that are
followed together mostly share them. They are not saved with track states, which stay small. A chunk reads those before
its first frame from the video again; each of them is encoded, alone, if it is asked for. So chunks of any length give
the same bits where frames are encoded one by one; in batches (``frames_per_batch``), they differ by rounding, as ever.
"""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from torch import Tensor

from samurai_batch.modeling.sam2 import FrameFeatures


class RecentFrames:
    """Frames by their index in the video: their features, or their pixels until the features are asked for."""

    def __init__(self, encode: Callable[[Tensor], FrameFeatures]) -> None:
        """``encode`` makes the features of pixels (1, 3, S, S)."""
        self._encode = encode
        self._features: dict[int, FrameFeatures] = {}
        self._pixels: dict[int, Tensor] = {}
        self.newest = -1
        self.num_encoded = 0

    def __len__(self) -> int:
        return len(self._features) + len(self._pixels)

    def add(self, index: int, features: FrameFeatures) -> None:
        """Add the next frame, which tracks are going to be stepped on."""
        self._features[index] = features
        self.newest = index

    def add_pixels(self, index: int, pixels: Tensor) -> None:
        """Add a frame before the first one: pixels (1, 3, S, S) as the network takes them."""
        self._pixels[index] = pixels

    def features(self, index: int) -> FrameFeatures:
        """The features of a frame that is kept."""
        if index not in self._features:
            self._features[index] = self._encode(self._pixels.pop(index))
            self.num_encoded += 1
        return self._features[index]

    def keep(self, indices: Iterable[int]) -> None:
        """Drop all frames but these."""
        kept = set(indices)
        self._features = {index: features for index, features in self._features.items() if index in kept}
        self._pixels = {index: pixels for index, pixels in self._pixels.items() if index in kept}


def range_of(indices: Iterable[int], reverse: bool) -> range:
    """The shortest range that goes through all of these frames, in the order of tracking; empty for none."""
    ordered = sorted(set(indices))
    if not ordered:
        return range(0)
    step = math.gcd(*(b - a for a, b in pairwise(ordered))) or 1
    ascending = range(ordered[0], ordered[-1] + 1, step)
    return ascending[::-1] if reverse else ascending
