"""Prompts of one frame, from pixels of the video to what the network takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.errors import PromptError
from samurai_batch.geometry import clip_box
from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT
from samurai_batch.tasks import BoxPrompt, EverythingPrompt, PointsPrompt, Prompt, TextPrompt


@dataclass(frozen=True)
class FramePrompt:
    """All prompts of one object on one frame: points or a mask.

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

    What of a box lies outside the picture is cut off: nothing is known there, and a corner far away misleads. A mask
    too small for the model's image keeps the one pixel there that it fills most.

    decoded_mask (height, width) of 0 and 1: the pixels of the MaskPrompt among them, if there is one; a mask
    says everything, so that no other prompt stands beside it.
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
            case TextPrompt() | EverythingPrompt():
                raise PromptError(
                    f"the prompt on frame {prompt.frame_index} has not been looked up; a job does so first,"
                    " images.finding.Finder in Python"
                )
    box_labels = [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT] if corners else []
    scale = torch.tensor([image_size / width, image_size / height], dtype=torch.float64)
    points_xy = torch.tensor(corners + clicks, dtype=torch.float64) * scale
    return FramePrompt(points_xy.float(), torch.tensor(box_labels + labels, dtype=torch.int32))
