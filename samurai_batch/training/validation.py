"""Measures a tracker on generated clips with exact masks, and the validation clips that weights are selected by."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from samurai_batch.geometry import mask_box_xyxy, mask_iou
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.prompts import BoxPrompt
from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.scene import SceneSettings
from samurai_batch.synthetic.suites import MEASURED_SEED, SUITE_FRAMES, SUITE_SIZE
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.video_masks import to_video_masks
from samurai_batch.training.augmentation import add_camera_effects
from samurai_batch.training.bank import Bank, BankAssets

Masks = NDArray[np.bool_]

_BANK_SCENE = SceneSettings(
    objects=(1, 1), lookalikes=(0, 2), clutter=(0, 4), scale=(0.07, 0.4), crossing=0.7, leave=0.2, hiding=0.4
)
_GENERATED_SCENE = SceneSettings(objects=(1, 1), lookalikes=(0, 2), crossing=0.7, leave=0.2, hiding=0.4)
_MIN_SHARE = 0.004


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
    """The results of one suite, all in [0, 1].

    ``first_iou`` is the mean IoU on the prompted frames; ``tracked_ious`` (N,) are each clip's mean IoU over later
    frames where the object is visible; ``seen`` is the share of frames with a visible object that have a mask,
    ``missed`` the share of frames without it that have none.
    """

    first_iou: float
    tracked_ious: NDArray[np.float64]
    seen: float
    missed: float

    @property
    def balanced_accuracy(self) -> float:
        """Of "is the object visible?": 0.5 for a tracker that always says yes."""
        return (self.seen + self.missed) / 2

    @property
    def tracked(self) -> Spread:
        """The tracked IoU over clips."""
        return Spread.of(self.tracked_ious)

    def gain_over(self, other: "Quality") -> Spread:
        """The difference in tracked IoU to another tracker, clip by clip."""
        return Spread.of(self.tracked_ious - other.tracked_ious)


class Clips(Protocol):
    """A fixed set of clips, whose first object is tracked."""

    def clips(self) -> Iterator[Clip]:
        """All clips, at least two."""


def measure_suite(tracker: Tracker, suite: Clips) -> Quality:
    """Track the first object of every clip from its box on frame 0, and compare with the exact masks."""
    firsts, tracked, truths, has_mask = [], [], [], []
    for clip in suite.clips():
        masks, truth = track_first_object(tracker, clip), clip.masks[:, 0]
        visible, found = (np.asarray(one.any(axis=(1, 2)), np.bool_) for one in (truth, masks))
        ious = np.array([mask_iou(*pair) for pair in zip(masks, truth, strict=True)])
        firsts.append(ious[0])
        tracked.append(ious[1:][visible[1:]].mean())
        truths.append(visible[1:])
        has_mask.append(found[1:])
    visible, found = np.concatenate(truths), np.concatenate(has_mask)
    return Quality(
        first_iou=float(np.mean(firsts)),
        tracked_ious=np.array(tracked),
        seen=float(found[visible].mean()),
        missed=float((~found[~visible]).mean()),
    )


def track_first_object(tracker: Tracker, clip: Clip) -> Masks:
    """Masks (T, H, W) bool of the clip's first object, prompted by its box on frame 0."""
    model, (height, width) = tracker.model, clip.frames.shape[1:3]
    box_xyxy = mask_box_xyxy(clip.masks[0, 0])
    assert box_xyxy is not None
    prompt = BoxPrompt(0, box_xyxy)
    state, masks = TrackState(num_frames=len(clip.frames)), []
    for index, frame in enumerate(clip.frames):
        features = tracker.encode(to_model_input(frame, model.image_size, torch.float32, "cpu"))
        here = to_frame_prompt([prompt], height, width, model.image_size, None) if index == 0 else None
        result = tracker.step(features, [TrackInput(state, here)], video_size=(height, width))[0]
        masks.append(to_video_masks(result.low_res_logits[None], height, width, tracker.settings.fill_hole_area)[0])
    return np.stack(masks)


@dataclass(frozen=True)
class ValidationSuite:
    """``num_clips`` clips, the same on every call, of seeds that neither training nor the suites use.

    With a bank, which must be one that training does not use, its pictures appear in the clips.
    """

    bank: Bank | None
    scene: SceneSettings
    seed: int
    num_clips: int = 32

    def clips(self) -> Iterator[Clip]:
        """All clips, one after the other."""
        return (self.clip(index) for index in range(self.num_clips))

    def clip(self, index: int) -> Clip:
        """Clip ``index``, of a suite's length and size; its object is visible on the first frame."""
        for attempt in range(100):
            seed = (MEASURED_SEED, 70 + self.seed, index, attempt)
            if self.bank is None:
                return generate_clip(seed, self.scene, SUITE_FRAMES, SUITE_SIZE)
            rng = np.random.default_rng(seed)
            assets = replace(BankAssets.of(rng, self.bank), background_share=1.0)
            clip = generate_clip(seed, self.scene, SUITE_FRAMES, SUITE_SIZE, assets.surfaces, assets=assets)
            clip = add_camera_effects(rng, clip)
            if clip.masks[0, 0].mean() >= _MIN_SHARE and clip.masks[1:, 0].any():
                return clip
        raise AssertionError("no clip shows its object")


def validation_suites(bank: Bank, num_clips: int = 32) -> dict[str, ValidationSuite]:
    """One suite with pictures of a held-out bank, and one that is wholly generated."""
    return {
        "pictures": ValidationSuite(bank, _BANK_SCENE, 1, num_clips),
        "generated": ValidationSuite(None, _GENERATED_SCENE, 2, num_clips),
    }
