"""The tracker: one step of any number of tracks on one frame.

The network holds no state, and each track has its own :class:`TrackState`, so a step is a function of (frame features,
states, prompts). Tracks are batched wherever their shapes allow.

    conditioning frame:  features + no_mem_embed ─┐
    other frames:        memory attention ────────┴─> decoder ─> choose a mask ─> pointer, spatial memory

What differs between trackers is in their `rules`: how a mask is chosen, what is remembered, what a frame attends to
(`trackers/`). A prompted frame is a conditioning frame: later frames attend to its memory, and a motion model is
initialised again there. A prompt does not change frames before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samurai_batch.modeling.compiling import EncodeImage
from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.modeling.pixels import upload
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tasks import Box
from samurai_batch.tracking.mask_choice import Choice, Motion
from samurai_batch.tracking.memory_bank import Selection, TrackedFrame
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.proposals import Chosen, Facts, read, take
from samurai_batch.tracking.proposing import Proposer
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.trackers import TRACKERS


@dataclass(frozen=True)
class TrackInput:
    """A track in a step: its state, which the step updates in place, and its prompt on this frame."""

    state: TrackState
    prompt: FramePrompt | None = None


@dataclass(frozen=True)
class TrackResult:
    """The result of a step for one track.

    low_res_logits (S / 4, S / 4) of the chosen mask; mask_score: its predicted IoU; object_score: logit of "the object
    is visible"; motion_score: IoU of its box with the Kalman prediction, None if motion was not used; mask_index: index
    of the chosen candidate; candidate_ious: all predicted IoUs; predicted_box_xyxy: the motion model's prediction, in
    pixels of the model's image.
    """

    low_res_logits: Tensor
    mask_score: float
    object_score: float
    motion_score: float | None
    mask_index: int
    candidate_ious: tuple[float, ...]
    predicted_box_xyxy: Box | None


class Tracker:
    """Propagates tracks with one network and one set of rules; holds no state of a video."""

    def __init__(
        self,
        model: SAM2,
        settings: TrackerSettings,
        encode_image: EncodeImage | None = None,
        rules: Rules | None = None,
    ) -> None:
        """``encode_image`` replaces the model's own, for a compiled one; ``rules`` those of the settings' mode."""
        self.model = model
        self._encode_image = encode_image or model.encode_image
        self.settings = settings.resolve(model.config)
        self.rules = rules or TRACKERS[self.settings.mode].combine(self.settings)

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> FrameFeatures:
        """Frames (B, 3, S, S), normalised -> their features."""
        return self._encode_image(pixels)

    @torch.inference_mode()
    def step(
        self,
        features: FrameFeatures,
        inputs: Sequence[TrackInput],
        before_wait: Callable[[], None] = lambda: None,
        video_size: tuple[int, int] | None = None,
    ) -> list[TrackResult]:
        """Propagate every track to the frame with these features (a batch of one), and update its state in place.

        The host waits for the device once, for the numbers by which candidates are chosen. On a GPU ``before_wait`` is
        called before that, once, to give the device work for the time in which the host chooses. ``video_size`` are
        height and width of the frame in the video, which some rules measure masks in; default: the model's image.
        """
        for item in inputs:
            if item.prompt is not None:
                item.state.motion = Motion()
        proposer = self._proposer(features, video_size)
        prompts = {i: item.prompt for i, item in enumerate(inputs) if item.prompt is not None}
        others = {i: item.state for i, item in enumerate(inputs) if item.prompt is None}
        proposals = proposer.by_memory({i: self.select(state) for i, state in others.items()})
        proposals += proposer.by_prompts(prompts)
        by_track = read(proposals, before_wait)
        facts = [by_track[index] for index in range(len(inputs))]
        choices = [self.rules.choice.choose(seen, item.state.motion) for item, seen in zip(inputs, facts, strict=True)]
        chosen = take(proposals, [choice.index for choice in choices])
        results = [_result(*row) for row in zip(chosen.low_res, facts, choices, strict=True)]
        self._remember(features, inputs, chosen, facts, choices)
        return results

    def select(self, state: TrackState) -> Selection:
        """What the next frame of a track attends to."""
        return self.rules.memory.select(state.bank, state.age, state.num_frames)

    def _proposer(self, features: FrameFeatures, video_size: tuple[int, int] | None) -> Proposer:
        size = self.model.image_size
        return Proposer(self.model, self.settings, self.rules, features, video_size or (size, size))

    def _remember(
        self,
        features: FrameFeatures,
        inputs: Sequence[TrackInput],
        chosen: Chosen,
        facts: Sequence[Facts],
        choices: Sequence[Choice],
    ) -> None:
        """Compute object pointers and spatial memories of all tracks in one call each, and update the states."""
        is_promoted = [self._promotes(*row) for row in zip(inputs, facts, choices, strict=True)]
        pointers = self.model.object_pointer(chosen.token, chosen.is_present)
        is_anchor = [item.prompt is not None or promoted for item, promoted in zip(inputs, is_promoted, strict=True)]
        masks = self._masks_to_remember(chosen, is_anchor)
        spatial = self.model.encode_memory(features.image, masks.to(features.image.dtype), chosen.object_score <= 0)
        spatial = spatial.to(torch.bfloat16)
        for row, (item, seen, choice) in enumerate(zip(inputs, facts, choices, strict=True)):
            frame = TrackedFrame(
                age=item.state.age,
                # Cloned, so that a memory does not keep the storage of all tracks alive; contiguous, as after
                # deserialisation.
                spatial=spatial[row].clone(memory_format=torch.contiguous_format),
                pointer=pointers[row].clone(),
                mask_score=seen.ious[choice.index],
                object_score=seen.object_score,
                motion_score=choice.motion_score,
                is_visible=None if seen.masks is None else seen.masks.extent(choice.index).is_visible,
                is_prompted=item.prompt is not None,
                is_promoted=is_promoted[row],
            )
            self.rules.memory.remember(item.state.bank, frame)
            item.state.motion = choice.motion
            item.state.age += 1

    def _promotes(self, item: TrackInput, facts: Facts, choice: Choice) -> bool:
        promotion = self.rules.promotion
        return promotion is not None and item.prompt is None and promotion.promotes(item.state, facts, choice)

    def _masks_to_remember(self, chosen: Chosen, is_anchor: Sequence[bool]) -> Tensor:
        """Mask probabilities (N, 1, S, S); of prompted and promoted frames binarised if the settings say so."""
        size = self.model.image_size
        logits = resize_logits(chosen.low_res[:, None], size, size)
        if not (self.settings.binarize_mask_from_pts_for_mem_enc and any(is_anchor)):
            return logits.sigmoid()
        where = upload(torch.tensor(is_anchor), logits.device)[:, None, None, None]
        return torch.where(where, (logits > 0).to(logits.dtype), logits.sigmoid())


def _result(low_res_logits: Tensor, facts: Facts, choice: Choice) -> TrackResult:
    return TrackResult(
        low_res_logits=low_res_logits,
        mask_score=facts.ious[choice.index],
        object_score=facts.object_score,
        motion_score=choice.motion_score,
        mask_index=choice.index,
        candidate_ious=facts.ious,
        predicted_box_xyxy=choice.predicted_box,
    )
