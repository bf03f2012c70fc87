"""The tracker: one step of any number of tracks on one frame.

The network holds no state, and each track has its own :class:`TrackState`, so a step is a function of (frame features,
states, prompts). Tracks are batched wherever their shapes allow.

    conditioning frame:  features + no_mem_embed ─┐
    other frames:        memory attention ────────┴─> decoder ─> choose a mask ─> pointer, spatial memory

Sources: SAM 2, https://arxiv.org/abs/2408.00714; SAMURAI, https://arxiv.org/abs/2411.11922. A prompted frame is a
conditioning frame: later frames attend to its memory, and the motion model is initialised again there. A prompt does
not change frames before it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.compiling import EncodeImage
from samurai_batch.modeling.configs import MAX_OBJ_PTRS
from samurai_batch.modeling.mask_decoder import Candidates, resize_logits, take_multimask, take_single
from samurai_batch.modeling.pixels import upload
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tasks import Box
from samurai_batch.tracking.mask_choice import Choice, Motion, choose_by_motion, choose_by_score
from samurai_batch.tracking.memory_bank import Memory, Pointer, Selection, is_trusted
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.proposals import Chosen, Facts, Proposals, read, take, tight_boxes
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState

ABSENT_LOGIT = -1024.0  # of every pixel of an object that is not visible
Key = TypeVar("Key", int, tuple[int, int])

GIVEN_LOGIT = 10.0  # of a mask prompt, which is the output of its frame: +10 inside, −10 outside


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

    def __init__(self, model: SAM2, settings: TrackerSettings, encode_image: EncodeImage | None = None) -> None:
        """``encode_image`` replaces the model's own, for a compiled one."""
        self.model = model
        self._encode_image = encode_image or model.encode_image
        self.settings = settings.resolve(model.config)
        assert self.settings.min_obj_score_logits is not None
        self._absent_threshold = self.settings.min_obj_score_logits

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> FrameFeatures:
        """Frames (B, 3, S, S), normalised -> their features."""
        return self._encode_image(pixels)

    @torch.inference_mode()
    def step(
        self, features: FrameFeatures, inputs: Sequence[TrackInput], before_wait: Callable[[], None] = lambda: None
    ) -> list[TrackResult]:
        """Propagate every track to the frame with these features (a batch of one), and update its state in place.

        The host waits for the device once, for the numbers by which candidates are chosen. On a GPU ``before_wait`` is
        called before that, once, to give the device work for the time in which the host chooses.
        """
        for item in inputs:
            if item.prompt is not None:
                item.state.motion = Motion()
        proposals = [
            *self._track(features, inputs),
            *self._prompt_by_points(features, inputs),
            *self._prompt_by_mask(features, inputs),
        ]
        by_track = read(proposals, before_wait)
        facts = [by_track[index] for index in range(len(inputs))]
        choices = [self._choose(item.state.motion, seen) for item, seen in zip(inputs, facts, strict=True)]
        chosen = take(proposals, [choice.index for choice in choices])
        results = [_result(*row) for row in zip(chosen.low_res, facts, choices, strict=True)]
        self._remember(features, inputs, chosen, results, choices)
        return results

    # Three ways to a mask -----------------------------------------------------------------------------------

    def _track(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> list[Proposals]:
        """Tracks without a prompt: memory attention in groups of equal shapes, then one call of the decoder."""
        indices = [i for i, item in enumerate(inputs) if item.prompt is None]
        if not indices:
            return []
        selections = {i: inputs[i].state.bank.select(inputs[i].state.age, self.settings) for i in indices}
        order: list[int] = []
        conditioned: list[Tensor] = []
        for _, group in _grouped(indices, key=lambda i: selections[i].shape):
            order += group
            conditioned.append(self._attend(features, [(inputs[i].state, selections[i]) for i in group]))
        candidates = take_multimask(self.model.decode(torch.cat(conditioned), features.high_res))
        return [self._propose(order, candidates)]

    def _attend(self, features: FrameFeatures, group: Sequence[tuple[TrackState, Selection]]) -> Tensor:
        dtype, device = features.image.dtype, features.image.device
        times = [
            [(state.age - p.age) / (min(state.num_frames, MAX_OBJ_PTRS) - 1) for p in selection.pointers]
            for state, selection in group
        ]
        return self.model.attend_to_memory(
            features.image,
            torch.stack([m.spatial for _, s in group for m in s.memories]).unflatten(0, (len(group), -1)).to(dtype),
            upload(torch.tensor([s.ranks for _, s in group]), device),
            torch.stack([p.vector for _, s in group for p in s.pointers]).unflatten(0, (len(group), -1)),
            upload(torch.tensor(times, dtype=torch.promote_types(dtype, torch.float32)), device),
            self.settings.pool_memories,
        )

    def _prompt_by_points(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> list[Proposals]:
        """Tracks with clicks or a box on this frame: one click is ambiguous and gives three candidates."""
        proposals, device = [], features.image.device
        counts = {i: len(p.points) for i, item in enumerate(inputs) if (p := item.prompt) and p.points is not None}
        for num_points, group in _grouped(list(counts), key=counts.__getitem__):
            prompts = [prompt for i in group if (prompt := inputs[i].prompt)]
            image = self.model.without_memory(features).expand(len(group), -1, -1, -1)
            points = upload(torch.stack([p.points for p in prompts if p.points is not None]), device)
            labels = upload(torch.stack([p.labels for p in prompts if p.labels is not None]), device)
            masks = self.model.decode(image, features.high_res, points, labels)
            if num_points <= 1:
                proposals.append(self._propose(group, take_multimask(masks)))
            else:
                single = take_single(masks, self.settings.dynamic_multimask_via_stability)
                proposals.append(self._propose(group, single))
        return proposals

    def _prompt_by_mask(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> list[Proposals]:
        """Tracks with a mask on this frame: it is the output; the decoder only computes the object pointer."""
        given = {i: item.prompt.mask for i, item in enumerate(inputs) if item.prompt and item.prompt.mask is not None}
        if not given:
            return []
        image = features.image.expand(len(given), -1, -1, -1)  # without no_mem_embed, as in the public code
        mask = upload(torch.stack(list(given.values()))[:, None], image.device).to(image.dtype)
        logits = mask.to(_logit_dtype(image)) * 2 * GIVEN_LOGIT - GIVEN_LOGIT
        size = mask.shape[-1] // 4
        low_res = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        decoded = self.model.decode(image, features.high_res, mask_logits=self.model.mask_downsample(mask))
        is_there = mask.flatten(1).any(1)
        low_res = _keep_smallest(low_res, is_there)
        return [
            Proposals(
                list(given),
                low_res,
                ious=low_res.new_ones(len(given), 1),
                tokens=decoded.tokens[:, :1],
                object_score=is_there.to(low_res.dtype) * 2 * GIVEN_LOGIT - GIVEN_LOGIT,
                is_present=is_there & (decoded.object_score[:, 0] > self._absent_threshold),
            )
        ]

    # From candidates to one mask ----------------------------------------------------------------------------

    def _propose(self, tracks: list[int], candidates: Candidates) -> Proposals:
        """Candidates, emptied if the object is absent; with boxes if the motion model is used."""
        object_score = candidates.object_score[:, 0]
        is_present = object_score > self._absent_threshold
        low_res = candidates.logits.to(_logit_dtype(candidates.logits))
        low_res = torch.where(is_present[:, None, None, None], low_res, ABSENT_LOGIT)
        boxes = None
        if self.settings.mode == "samurai" and low_res.shape[1] > 1:
            size = self.model.image_size
            boxes = tight_boxes(resize_logits(low_res, size, size) > 0)
        return Proposals(tracks, low_res, candidates.ious, candidates.tokens, object_score, is_present, boxes)

    def _choose(self, motion: Motion, facts: Facts) -> Choice:
        if facts.boxes_xyxy:
            return choose_by_motion(facts.ious, facts.boxes_xyxy, motion, self.settings)
        return choose_by_score(facts.ious, motion)

    # Memory -------------------------------------------------------------------------------------------------

    def _remember(
        self,
        features: FrameFeatures,
        inputs: Sequence[TrackInput],
        chosen: Chosen,
        results: Sequence[TrackResult],
        choices: Sequence[Choice],
    ) -> None:
        """Compute object pointers and spatial memories of all tracks in one call each, and update the states."""
        pointers = self.model.object_pointer(chosen.token, chosen.is_present)
        masks = self._masks_to_remember(inputs, chosen)
        spatial = self.model.encode_memory(features.image, masks.to(features.image.dtype), chosen.object_score <= 0)
        spatial = spatial.to(torch.bfloat16)
        for row, (item, result, choice) in enumerate(zip(inputs, results, choices, strict=True)):
            state = item.state
            scores = (result.mask_score, result.object_score, result.motion_score)
            # Cloned, so that a memory does not keep the storage of all tracks alive; contiguous, as after
            # deserialisation.
            spatial_row = spatial[row].clone(memory_format=torch.contiguous_format)
            memory = Memory(state.age, spatial_row, is_trusted(*scores, self.settings))
            pointer = Pointer(state.age, pointers[row].clone())
            remember = state.bank.add if item.prompt is None else state.bank.add_conditioning
            remember(memory, pointer, self.settings)
            state.motion = choice.motion
            state.age += 1

    def _masks_to_remember(self, inputs: Sequence[TrackInput], chosen: Chosen) -> Tensor:
        """Mask probabilities (N, 1, S, S); on prompted frames binarised if the settings say so."""
        size = self.model.image_size
        logits = resize_logits(chosen.low_res[:, None], size, size)
        is_cut = [item.prompt is not None and self.settings.binarize_mask_from_pts_for_mem_enc for item in inputs]
        if not any(is_cut):
            return logits.sigmoid()
        where = upload(torch.tensor(is_cut), logits.device)[:, None, None, None]
        return torch.where(where, (logits > 0).to(logits.dtype), logits.sigmoid())


def _grouped(indices: Iterable[int], key: Callable[[int], Key]) -> list[tuple[Key, list[int]]]:
    """Indices grouped by a sortable key, each group in the original order."""
    return [(value, list(group)) for value, group in groupby(sorted(indices, key=key), key=key)]


def _keep_smallest(low_res: Tensor, is_there: Tensor) -> Tensor:
    """Logits (N, 1, h, w); a mask that is not empty but has no logit above 0 gets the cell that it covers most."""
    flat = low_res.flatten(1)
    strongest = flat.argmax(1, keepdim=True)
    is_lost = is_there[:, None] & (flat.gather(1, strongest) <= 0)
    kept = torch.where(is_lost, flat.new_tensor(GIVEN_LOGIT), flat.gather(1, strongest))
    return flat.scatter(1, strongest, kept).view_as(low_res)


def _logit_dtype(x: Tensor) -> torch.dtype:
    """The dtype of logits: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


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
