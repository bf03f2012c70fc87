"""From the tracker's results and masks to rows of the mask table."""

from collections.abc import Sequence

import torch

from samurai_batch.masks.table import MaskRow
from samurai_batch.prompts import Box, Rle
from samurai_batch.tasks import Track
from samurai_batch.tracking.frame_batches import FrameInfo
from samurai_batch.tracking.tracker import TrackResult
from samurai_batch.tracking.video_masks import MaskEncoder, PendingMasks


def start_masks(encoder: MaskEncoder, frame: FrameInfo, results: Sequence[TrackResult]) -> PendingMasks:
    """Begin to make the masks of a step's results; a GPU is given the work before that of the next frame."""
    logits = [lane.low_res_logits for result in results for lane in lanes_of(result)]
    return encoder.start(torch.stack(logits), frame.height, frame.width)


def mask_rows(
    tracks: Sequence[Track], frame: FrameInfo, results: Sequence[TrackResult], masks: PendingMasks
) -> list[MaskRow]:
    """One row for each lane of each track on a frame; waits for the masks, or makes them."""
    lanes = [(track, lane) for track, result in zip(tracks, results, strict=True) for lane in lanes_of(result)]
    return [mask_row(track, frame, lane, rle) for (track, lane), rle in zip(lanes, masks.rles(), strict=True)]


def lanes_of(result: TrackResult) -> tuple[TrackResult, ...]:
    """The results of all lanes of a track, which is one but for trackers with several paths."""
    return result.lanes or (result,)


def mask_row(track: Track, frame: FrameInfo, result: TrackResult, rle: Rle | None) -> MaskRow:
    """The row of one track on one frame; the mask is in pixels of the video, None if it is empty."""
    return MaskRow(
        video_id=track.video.video_id,
        object_id=track.object_id,
        frame_index=frame.index,
        timestamp_s=frame.timestamp_s,
        height=frame.height,
        width=frame.width,
        segmentation=rle,
        mask_score=result.mask_score,
        object_score=result.object_score,
        motion_score=result.motion_score,
        mask_index=result.mask_index,
        prompted=track.is_prompted_on(frame.index),
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
