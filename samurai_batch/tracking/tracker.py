"""The tracker: one step of any number of tracks on one frame.

The network remembers nothing and each track's memory is its own :class:`TrackState`, so a step is a function of
(frame features, states, prompts). Tracks go through the network together wherever their shapes allow.

    conditioning frame:  features + no_mem_embed ─┐
    other frames:        memory attention ────────┴─> decoder ─> choose a mask ─> pointer, spatial memory

Sources: SAM 2, https://arxiv.org/abs/2408.00714; SAMURAI, https://arxiv.org/abs/2411.11922. A prompted frame is a
conditioning frame: from it on, its memory takes part, and the motion model starts anew there, as at the
first one. A prompt does not reach back to frames before it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.configs import MAX_OBJ_PTRS
from samurai_batch.modeling.mask_decoder import Candidates, resize_logits, take_multimask, take_single
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tasks import Box
from samurai_batch.tracking.mask_choice import EMPTY_BOX, Choice, Motion, choose_by_motion, choose_by_score
from samurai_batch.tracking.memory_bank import Memory, Pointer, Selection, is_trusted
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState

ABSENT_LOGIT = -1024.0  # every mask logit of an object that is not in the picture
Key = TypeVar("Key", int, tuple[int, int])

GIVEN_LOGIT = 10.0  # of a mask prompt, which is its own output: +10 inside, −10 outside


@dataclass(frozen=True)
class TrackInput:
    """One track's part in a step: its state, which the step moves on, and its prompt on this frame."""

    state: TrackState
    prompt: FramePrompt | None = None


@dataclass(frozen=True)
class TrackResult:
    """What one step found of one track.

    low_res_logits (S / 4, S / 4): the chosen mask; mask_score: its predicted IoU; object_score: logit of "in the
    picture"; motion_score: IoU with the Kalman prediction, None where motion had no say; mask_index: which
    candidate; candidate_ious: all predicted IoUs; predicted_box_xyxy: where the motion model expected the object,
    in pixels of the model's image.
    """

    low_res_logits: Tensor
    mask_score: float
    object_score: float
    motion_score: float | None
    mask_index: int
    candidate_ious: tuple[float, ...]
    predicted_box_xyxy: Box | None


@dataclass
class _Proposal:
    """A track on its way through the step: chosen mask at S / 4 and at S, its token, its scores."""

    low_res: Tensor  # (1, S/4, S/4)
    high_res: Tensor  # (1, S, S)
    token: Tensor  # (C,)
    is_present: Tensor  # () bool
    object_score: float
    ious: tuple[float, ...]
    choice: Choice


class Tracker:
    """Follows tracks with one network and one set of rules; holds no state of any video."""

    def __init__(self, model: SAM2, settings: TrackerSettings) -> None:
        self.model = model
        self.settings = settings.resolve(model.config)
        assert self.settings.min_obj_score_logits is not None
        self._absent_threshold = self.settings.min_obj_score_logits

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> FrameFeatures:
        """Frames (B, 3, S, S), normalised -> their features."""
        return self.model.encode_image(pixels)

    @torch.inference_mode()
    def step(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> list[TrackResult]:
        """Follow every track onto the frame with these features (a batch of one), and move its state on."""
        proposals: dict[int, _Proposal] = {}
        proposals |= self._track(features, inputs)
        proposals |= self._prompt_by_points(features, inputs)
        proposals |= self._prompt_by_mask(features, inputs)
        ordered = [proposals[index] for index in range(len(inputs))]
        self._remember(features, inputs, ordered)
        return [_result(proposal) for proposal in ordered]

    # Three ways to a mask -----------------------------------------------------------------------------------

    def _track(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> dict[int, _Proposal]:
        """Frames without a prompt: memory attention by groups of one shape, one call of the decoder."""
        indices = [i for i, item in enumerate(inputs) if item.prompt is None]
        if not indices:
            return {}
        selections = {i: inputs[i].state.bank.select(inputs[i].state.age, self.settings) for i in indices}
        order: list[int] = []
        conditioned: list[Tensor] = []
        for _, group in _grouped(indices, key=lambda i: selections[i].shape):
            order += group
            conditioned.append(self._attend(features, [(inputs[i].state, selections[i]) for i in group]))
        candidates = take_multimask(self.model.decode(torch.cat(conditioned), features.high_res))
        return self._choose_of_three(order, inputs, candidates)

    def _attend(self, features: FrameFeatures, group: Sequence[tuple[TrackState, Selection]]) -> Tensor:
        dtype, device = features.image.dtype, features.image.device
        times = [
            [(state.age - p.age) / (min(state.num_frames, MAX_OBJ_PTRS) - 1) for p in selection.pointers]
            for state, selection in group
        ]
        return self.model.attend_to_memory(
            features.image,
            torch.stack([torch.stack([m.spatial for m in s.memories]) for _, s in group]).to(dtype),
            torch.tensor([s.ranks for _, s in group], device=device),
            torch.stack([torch.stack([p.vector for p in s.pointers]) for _, s in group]),
            torch.tensor(times, dtype=torch.promote_types(dtype, torch.float32), device=device),
        )

    def _prompt_by_points(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> dict[int, _Proposal]:
        """Conditioning frames with clicks or a box: one click is ambiguous and gives three candidates."""
        proposals: dict[int, _Proposal] = {}
        counts = {i: len(p.points) for i, item in enumerate(inputs) if (p := item.prompt) and p.points is not None}
        for num_points, group in _grouped(list(counts), key=counts.__getitem__):
            prompts = [prompt for i in group if (prompt := inputs[i].prompt)]
            image = self.model.without_memory(features).expand(len(group), -1, -1, -1)
            points = torch.stack([p.points for p in prompts if p.points is not None]).to(image.device)
            labels = torch.stack([p.labels for p in prompts if p.labels is not None]).to(image.device)
            masks = self.model.decode(image, features.high_res, points, labels)
            for i in group:
                inputs[i].state.motion = Motion()
            if num_points <= 1:
                proposals |= self._choose_of_three(group, inputs, take_multimask(masks))
            else:
                single = take_single(masks, self.settings.dynamic_multimask_via_stability)
                proposals |= self._take_only(group, inputs, single)
        return proposals

    def _prompt_by_mask(self, features: FrameFeatures, inputs: Sequence[TrackInput]) -> dict[int, _Proposal]:
        """Conditioning frames with a mask: it is the output itself; the decoder only makes its pointer."""
        given = {i: item.prompt.mask for i, item in enumerate(inputs) if item.prompt and item.prompt.mask is not None}
        if not given:
            return {}
        image = features.image.expand(len(given), -1, -1, -1)  # without no_mem_embed, as in the public code
        mask = torch.stack(list(given.values()))[:, None].to(image)
        logits = mask.to(_logit_dtype(image)) * 2 * GIVEN_LOGIT - GIVEN_LOGIT
        size = mask.shape[-1] // 4
        low_res = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        decoded = self.model.decode(image, features.high_res, mask_logits=self.model.mask_downsample(mask))
        is_there = mask.flatten(1).any(1)
        is_present = is_there & (decoded.object_score[:, 0] > self._absent_threshold)
        high_res = resize_logits(low_res, *mask.shape[-2:])
        proposals = {}
        for row, index in enumerate(given):
            state = inputs[index].state
            state.motion = Motion()
            score = GIVEN_LOGIT if bool(is_there[row]) else -GIVEN_LOGIT
            choice = Choice(0, None, state.motion)
            proposals[index] = _Proposal(
                low_res[row], high_res[row], decoded.tokens[row, 0], is_present[row], score, (1.0,), choice
            )
        return proposals

    # From candidates to one mask ----------------------------------------------------------------------------

    def _choose_of_three(
        self, order: Sequence[int], inputs: Sequence[TrackInput], candidates: Candidates
    ) -> dict[int, _Proposal]:
        low_res, high_res, is_present = self._finish_logits(candidates)
        ious, scores = candidates.ious.tolist(), candidates.object_score[:, 0].tolist()
        boxes = tight_boxes(high_res > 0) if self.settings.mode == "samurai" else None
        proposals = {}
        for row, index in enumerate(order):
            motion = inputs[index].state.motion
            if boxes is None:
                choice = choose_by_score(ious[row], motion)
            else:
                choice = choose_by_motion(ious[row], boxes[row], motion, self.settings)
            best = choice.index
            proposals[index] = _Proposal(
                low_res[row, best, None],
                high_res[row, best, None],
                candidates.tokens[row, best],
                is_present[row],
                scores[row],
                tuple(ious[row]),
                choice,
            )
        return proposals

    def _take_only(
        self, order: Sequence[int], inputs: Sequence[TrackInput], single: Candidates
    ) -> dict[int, _Proposal]:
        low_res, high_res, is_present = self._finish_logits(single)
        ious, scores = single.ious.tolist(), single.object_score[:, 0].tolist()
        return {
            index: _Proposal(
                low_res[row],
                high_res[row],
                single.tokens[row, 0],
                is_present[row],
                scores[row],
                tuple(ious[row]),
                Choice(0, None, inputs[index].state.motion),
            )
            for row, index in enumerate(order)
        }

    def _finish_logits(self, candidates: Candidates) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at S / 4 and at S, emptied where the object is absent; and whether it is present (N,)."""
        is_present = candidates.object_score[:, 0] > self._absent_threshold
        low_res = candidates.logits.to(_logit_dtype(candidates.logits))
        low_res = torch.where(is_present[:, None, None, None], low_res, ABSENT_LOGIT)
        size = self.model.image_size
        return low_res, resize_logits(low_res, size, size), is_present

    # Memory -------------------------------------------------------------------------------------------------

    def _remember(self, features: FrameFeatures, inputs: Sequence[TrackInput], proposals: Sequence[_Proposal]) -> None:
        """Encode pointers and spatial memories of all tracks in one call each, and move the states on."""
        tokens = torch.stack([p.token for p in proposals])
        pointers = self.model.object_pointer(tokens, torch.stack([p.is_present for p in proposals]))
        masks = torch.stack([self._mask_to_remember(*pair) for pair in zip(inputs, proposals, strict=True)])
        absent = torch.tensor([p.object_score <= 0 for p in proposals], device=masks.device)
        spatial = self.model.encode_memory(features.image, masks.to(features.image.dtype), absent)
        spatial = spatial.to(torch.bfloat16)
        for row, (item, proposal) in enumerate(zip(inputs, proposals, strict=True)):
            state, choice = item.state, proposal.choice
            scores = (proposal.ious[choice.index], proposal.object_score, choice.motion_score)
            # Clones, so that a memory that outlives its neighbours does not keep their storage alive; contiguous,
            # as they are when they come back from bytes.
            spatial_row = spatial[row].clone(memory_format=torch.contiguous_format)
            memory = Memory(state.age, spatial_row, is_trusted(*scores, self.settings))
            pointer = Pointer(state.age, pointers[row].clone())
            remember = state.bank.add if item.prompt is None else state.bank.add_conditioning
            remember(memory, pointer, self.settings)
            state.motion = choice.motion
            state.age += 1

    def _mask_to_remember(self, item: TrackInput, proposal: _Proposal) -> Tensor:
        if item.prompt is not None and self.settings.binarize_mask_from_pts_for_mem_enc:
            return (proposal.high_res > 0).to(proposal.high_res.dtype)
        return proposal.high_res.sigmoid()


def tight_boxes(masks: Tensor) -> list[list[Box]]:
    """Boxes xyxy of (N, M, S, S) bool masks, from first to last pixel; (0, 0, 0, 0) for an empty one."""
    extents = []
    for axis in (-2, -1):  # columns, then rows
        line = masks.any(axis).to(torch.uint8)
        last = line.shape[-1] - 1
        extents += [line.argmax(-1), last - line.flip(-1).argmax(-1)]
    left, right, top, bottom = extents
    boxes = torch.stack((left, top, right, bottom), dim=-1) * masks.flatten(2).any(-1)[..., None]
    return [[_as_box(box) for box in row] for row in boxes.tolist()]


def _as_box(values: Sequence[int]) -> Box:
    x1, y1, x2, y2 = (float(value) for value in values)
    return (x1, y1, x2, y2) if (x1, y1, x2, y2) != EMPTY_BOX else EMPTY_BOX


def _grouped(indices: Iterable[int], key: Callable[[int], Key]) -> list[tuple[Key, list[int]]]:
    """Indices grouped by a sortable key, each group in its first order."""
    return [(value, list(group)) for value, group in groupby(sorted(indices, key=key), key=key)]


def _logit_dtype(x: Tensor) -> torch.dtype:
    """Logits are kept in float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def _result(proposal: _Proposal) -> TrackResult:
    choice = proposal.choice
    return TrackResult(
        low_res_logits=proposal.low_res[0],
        mask_score=proposal.ious[choice.index],
        object_score=proposal.object_score,
        motion_score=choice.motion_score,
        mask_index=choice.index,
        candidate_ious=proposal.ious,
        predicted_box_xyxy=choice.predicted_box,
    )
