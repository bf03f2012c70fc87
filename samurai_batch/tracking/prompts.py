"""Validates prompts against their video, and converts them to the network's input."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samurai_batch.errors import PromptError
from samurai_batch.geometry import clip_box
from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT
from samurai_batch.planning.validation import validation_error
from samurai_batch.prompts import (
    BoxPrompt,
    DiscoverPrompt,
    EverythingPrompt,
    FromVideoPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    TextPrompt,
)
from samurai_batch.rle import decode_mask
from samurai_batch.tasks import Track, VideoInfo, check_distinct
from samurai_batch.tracking.frame_batches import FrameInfo


@dataclass(frozen=True)
class FramePrompt:
    """All prompts of one object on one frame: points (a box is two of them) or a mask.

    points (P, 2) float32 in pixels of the model's S x S image, labels (P,) int32 (2 and 3: the corners of a box,
    which come first), or mask (S, S) float32 of 0 and 1.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None


def to_frame_prompt(
    prompts: Sequence[Prompt], height: int, width: int, image_size: int, decoded_mask: Tensor | None = None
) -> FramePrompt:
    """Scale one frame's prompts from the video's (height, width) to the model's image.

    Boxes are clipped to the frame, because SAM 2 is misled by corners far outside. A mask that vanishes at the model's
    size keeps the pixel that it covers most. decoded_mask (height, width) bool holds the pixels of the MaskPrompt, if
    there is one; a mask must be the only prompt of its frame.
    """
    if decoded_mask is not None:
        size = (image_size, image_size)
        resized = F.interpolate(
            decoded_mask.float()[None, None], size=size, mode="bilinear", align_corners=False, antialias=True
        )
        inside = resized[0, 0] >= 0.5
        if decoded_mask.any() and not inside.any():
            inside = resized[0, 0] == resized.max()
        return FramePrompt(mask=inside.float())
    corners: list[tuple[float, float]] = []
    clicks: list[tuple[float, float]] = []
    labels: list[int] = []
    for prompt in prompts:
        match prompt:
            case BoxPrompt(box_xyxy=(x1, y1, x2, y2)):
                left, top, right, bottom = clip_box((x1, y1, x2, y2), height, width)
                corners += [(left, top), (right, bottom)]
            case PointsPrompt(points_xy=points, labels=given):
                clicks += points
                labels += given
            case FromVideoPrompt():
                raise AssertionError("from_video is alone on its frame, and no prompt for the network")
            case TextPrompt() | EverythingPrompt() | DiscoverPrompt():
                kind = type(prompt).__name__.removesuffix("Prompt").lower()
                raise PromptError(
                    f"the {kind} prompt on frame {prompt.frame_index} has no box or mask yet;"
                    " run_job detects its objects first"
                )
    box_labels = [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT] if corners else []
    scale = torch.tensor([image_size / width, image_size / height], dtype=torch.float64)
    points_xy = torch.tensor(corners + clicks, dtype=torch.float64) * scale
    return FramePrompt(points_xy.float(), torch.tensor(box_labels + labels, dtype=torch.int32))


def prompt_on(track: Track, frame: FrameInfo, image_size: int) -> FramePrompt | None:
    """The prompts of a track on a frame, without duplicates; None if it has none there. Raises PromptError."""
    if not track.is_prompted_on(frame.index):
        return None
    prompts = list(dict.fromkeys(prompt for prompt in track.prompts if prompt.frame_index == frame.index))
    masks = [_decoded(prompt) for prompt in prompts if isinstance(prompt, MaskPrompt)]
    mask = torch.from_numpy(masks[0]) if masks else None
    return to_frame_prompt(prompts, frame.height, frame.width, image_size, mask)


def check_tracks(tracks: Sequence[Track], info: VideoInfo) -> None:
    """Raise PromptError unless all tracks are of one video, have different object ids, and fit the video."""
    check_distinct(tracks)
    if len(videos := {track.video.video_id for track in tracks}) > 1:
        raise PromptError(f"the tracks are of several videos ({', '.join(sorted(videos))}); track one video at a time")
    for track in tracks:
        if problem := _problem(track, info):
            raise PromptError(f"object {track.object_id!r}: {problem}")


def _problem(track: Track, info: VideoInfo) -> str | None:
    if track.auto_prompt is not None:
        return "a text or everything prompt needs its objects detected first; run_job does that, track_video does not"
    if track.carried_from is not None:
        return "a from_video prompt needs the track of the other video first; run_job does that, track_video does not"
    try:
        for prompt in track.prompts:
            if isinstance(prompt, MaskPrompt):
                _decoded(prompt)
    except PromptError as error:
        return str(error)
    return validation_error(track, info)


def _decoded(prompt: MaskPrompt) -> NDArray[np.bool_]:
    try:
        return decode_mask(prompt.mask)
    except ValueError as error:
        reason = f"{error}; encode it again, with encode_mask or pycocotools"
        raise PromptError(f"the mask on frame {prompt.frame_index} is damaged: {reason}") from error
