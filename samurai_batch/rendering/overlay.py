"""Masks drawn over a frame, each object in a colour of its own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Okabe and Ito's palette, told apart with any kind of colour vision: https://jfly.uni-koeln.de/color/
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
OPACITY = 0.45


def draw_masks(frame: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """A copy of the frame (H, W, 3) RGB with each mask (H, W) tinted and outlined in white, later ones on top."""
    picture = frame.astype(np.float32)
    for number, mask in enumerate(masks):
        colour = np.array(COLOURS[number % len(COLOURS)], np.float32)
        picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * colour
        picture[mask & ~ndimage.binary_erosion(mask)] = 255
    return picture.round().astype(np.uint8)
