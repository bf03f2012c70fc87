"""How well a tracker follows the fixed suites of generated clips: the code that users run, against exact masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from samurai_batch.geometry import mask_box_xywh
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.synthetic import Clip
from samurai_batch.tasks import BoxPrompt
from samurai_batch.tracking.masks_out import to_video_masks
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput

Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Spread:
    """A mean over clips and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Spread":
        """The mean of one value per clip (N,), of at least two clips."""
        return cls(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class Quality:
    """Of one suite: every value is between 0 and 1.

    ``first_iou`` on the prompted frame; ``tracked_ious`` (N,) of each clip the mean over later frames that show the
    object; ``seen`` how often a visible object has a mask, ``missed`` how often an absent one has none.
    """

    first_iou: float
    tracked_ious: NDArray[np.float64]
    seen: float
    missed: float

    @property
    def balanced_accuracy(self) -> float:
        """Of "is the object in the picture": 0.5 for a tracker that always says yes."""
        return (self.seen + self.missed) / 2

    @property
    def tracked(self) -> Spread:
        """The tracked IoU over clips."""
        return Spread.of(self.tracked_ious)

    def gain_over(self, other: "Quality") -> Spread:
        """By how much the tracked IoU of a clip is higher than another tracker's on the same clip."""
        return Spread.of(self.tracked_ious - other.tracked_ious)


class Clips(Protocol):
    """A fixed set of clips, whose first object is followed."""

    def clips(self) -> Iterator[Clip]:
        """All of them, at least two."""


def measure_suite(tracker: Tracker, suite: Clips) -> Quality:
    """Follow the first object of every clip from its box on frame 0, and compare with the truth."""
    firsts, tracked, truths, found = [], [], [], []
    for clip in suite.clips():
        masks, truth = follow_first_object(tracker, clip), clip.masks[:, 0]
        visible = _not_empty(truth)
        ious = np.array([mask_iou(*pair) for pair in zip(masks, truth, strict=True)])
        firsts.append(ious[0])
        tracked.append(ious[1:][visible[1:]].mean())
        truths.append(visible[1:])
        found.append(_not_empty(masks)[1:])
    there, said = np.concatenate(truths), np.concatenate(found)
    return Quality(
        first_iou=float(np.mean(firsts)),
        tracked_ious=np.array(tracked),
        seen=float(said[there].mean()),
        missed=float((~said[~there]).mean()),
    )


def follow_first_object(tracker: Tracker, clip: Clip) -> Masks:
    """Masks (T, H, W) of the clip's first object, prompted by its box on frame 0."""
    model, (height, width) = tracker.model, clip.frames.shape[1:3]
    box = mask_box_xywh(clip.masks[0, 0])
    assert box is not None
    left, top, across, down = box
    prompt = BoxPrompt(0, (left, top, left + across, top + down))
    state, masks = TrackState(num_frames=len(clip.frames)), []
    for index, frame in enumerate(clip.frames):
        features = tracker.encode(to_model_input(frame, model.image_size, torch.float32, "cpu"))
        here = to_frame_prompt([prompt], height, width, model.image_size, None) if index == 0 else None
        result = tracker.step(features, [TrackInput(state, here)])[0]
        masks.append(to_video_masks(result.low_res_logits[None], height, width, tracker.settings.fill_hole_area)[0])
    return np.stack(masks)


def _not_empty(masks: Masks) -> Masks:
    return np.asarray(masks.any(axis=(1, 2)), dtype=np.bool_)


def mask_iou(mask: Masks, truth: Masks) -> float:
    """IoU of two masks (H, W); 1 where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0
