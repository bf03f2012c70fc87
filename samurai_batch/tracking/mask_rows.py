"""From the tracker's results to masks in pixels of the video, and to rows of the mask table."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from samurai_batch.masks.table import MaskRow
from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.rle import encode_mask
from samurai_batch.tasks import Box, Track
from samurai_batch.tracking.frame_batches import FrameInfo
from samurai_batch.tracking.tracker import TrackResult

FILLED_LOGIT = 0.1  # just inside, as in SAM 2's release
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def to_video_masks(low_res_logits: Tensor, height: int, width: int, fill_hole_area: int) -> NDArray[np.bool_]:
    """Logits (N, S / 4, S / 4) -> bool masks (N, height, width): bilinear, then > 0.

    fill_hole_area: holes of at most so many cells of the S / 4 grid are filled first; 0 leaves all. Copying the logits
    to the CPU waits for the device, so `pipeline` calls this in a background thread.
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


def mask_rows(
    tracks: Sequence[Track], frame: FrameInfo, results: Sequence[TrackResult], fill_hole_area: int
) -> list[MaskRow]:
    """One row for each track on a frame; ``fill_hole_area`` as in `to_video_masks`."""
    logits = torch.stack([result.low_res_logits for result in results])
    masks = to_video_masks(logits, frame.height, frame.width, fill_hole_area)
    return [mask_row(*row) for row in zip(tracks, (frame for _ in tracks), results, masks, strict=True)]


def mask_row(track: Track, frame: FrameInfo, result: TrackResult, mask: NDArray[np.bool_]) -> MaskRow:
    """The row of one track on one frame; mask (H, W) is in pixels of the video."""
    return MaskRow(
        video_id=track.video.video_id,
        object_id=track.object_id,
        frame_index=frame.index,
        timestamp_s=frame.timestamp_s,
        height=frame.height,
        width=frame.width,
        segmentation=encode_mask(mask),
        mask_score=result.mask_score,
        object_score=result.object_score,
        motion_score=result.motion_score,
        mask_index=result.mask_index,
        prompted=any(prompt.frame_index == frame.index for prompt in track.prompts),
        predicted_xywh=_predicted_in_video(frame, result),
    )


def _predicted_in_video(frame: FrameInfo, result: TrackResult) -> Box | None:
    """The box that the motion model predicted, as a COCO box in pixels of the video.

    The tracker's boxes include their last pixel; COCO's end after it.
    """
    if result.predicted_box_xyxy is None:
        return None
    size = 4 * result.low_res_logits.shape[-1]
    scale_x, scale_y = frame.width / size, frame.height / size
    left, top, right, bottom = result.predicted_box_xyxy
    return left * scale_x, top * scale_y, (right - left + 1) * scale_x, (bottom - top + 1) * scale_y
