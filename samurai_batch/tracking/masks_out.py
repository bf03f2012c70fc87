"""From the tracker's logits to masks in the video's own pixels."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from samurai_batch.modeling.mask_decoder import resize_logits

FILLED_LOGIT = 0.1  # just inside, as in SAM 2's release
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def to_video_masks(low_res_logits: Tensor, height: int, width: int, fill_hole_area: int) -> NDArray[np.bool_]:
    """Logits (N, S / 4, S / 4) -> bool masks (N, height, width): bilinear, then > 0.

    fill_hole_area: holes of at most so many cells of the S / 4 grid are filled first; 0 leaves all. The logits leave
    their device at once, which waits for it: a thread beside the one that follows tracks is the place to call this.
    """
    low_res_logits = low_res_logits.cpu()
    if fill_hole_area > 0:
        low_res_logits = torch.stack([fill_holes(logits, fill_hole_area) for logits in low_res_logits])
    masks: NDArray[np.bool_] = (resize_logits(low_res_logits[:, None], height, width)[:, 0] > 0).numpy()
    return masks


def fill_holes(logits: Tensor, max_area: int) -> Tensor:
    """Raise background parts (8-connected) of at most ``max_area`` cells in (h, w) logits to just above 0."""
    background = (logits <= 0).numpy()
    labels, count = ndimage.label(background, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return logits
    area = np.bincount(labels.ravel())
    area[0] = max_area + 1  # label 0 is the foreground
    holes = torch.from_numpy(area[labels] <= max_area)
    return torch.where(holes, FILLED_LOGIT, logits)
