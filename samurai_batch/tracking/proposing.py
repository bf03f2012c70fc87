"""Three ways to a mask: by memory, by points, by a given mask. All give proposals, from which a step chooses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.mask_decoder import Candidates, resize_logits, take_multimask, take_single
from samurai_batch.modeling.operations import Operations
from samurai_batch.modeling.pixels import upload
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tracking.candidate_masks import tight_boxes
from samurai_batch.tracking.memory_bank import Selection
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.proposals import Proposals
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.settings import TrackerSettings

ABSENT_LOGIT = -1024.0  # of every pixel of an object that is not visible
GIVEN_LOGIT = 10.0  # of a mask prompt, which is the output of its frame: +10 inside, −10 outside

Key = TypeVar("Key", int, tuple[int, ...])


@dataclass(frozen=True)
class Proposer:
    """Proposes masks for tracks on one frame, with the network and the rules of a tracker.

    ``video_size``, height and width, are those of the frame in the video.
    """

    model: SAM2
    operations: Operations
    settings: TrackerSettings
    rules: Rules
    features: FrameFeatures
    video_size: tuple[int, int]

    def by_memory(self, selections: Mapping[int, Selection]) -> list[Proposals]:
        """Tracks without a prompt: memory attention in groups of equal shapes, then one call of the decoder."""
        if not selections:
            return []
        order: list[int] = []
        conditioned: list[Tensor] = []
        for _, group in _grouped(selections, key=lambda i: selections[i].shape):
            order += group
            conditioned.append(self._attend([selections[i] for i in group]))
        candidates = take_multimask(self.operations.decode(torch.cat(conditioned), self.features.high_res))
        return [self._propose(order, candidates)]

    def by_prompts(self, prompts: Mapping[int, FramePrompt]) -> list[Proposals]:
        """Tracks with a prompt on this frame."""
        points = {i: prompt for i, prompt in prompts.items() if prompt.points is not None}
        given = {i: prompt.mask for i, prompt in prompts.items() if prompt.mask is not None}
        proposals = []
        if self.rules.masks_from_points:
            made = [(group, self.masks_from(candidates)) for group, _, candidates in self._decode_points(points)]
        else:
            made = []
            for group, num_points, candidates in self._decode_points(points):
                is_ambiguous = num_points <= 1  # one click gives three candidates
                proposals.append(
                    self._propose(group, take_multimask(candidates) if is_ambiguous else self._single(candidates))
                )
        if given:
            image = self.features.image
            made.append((list(given), upload(torch.stack(list(given.values()))[:, None], image.device)))
        if made:
            masks = torch.cat([mask.to(self.features.image.dtype) for _, mask in made])
            proposals.append(self._propose_given([i for group, _ in made for i in group], masks))
        return proposals

    def masks_from(self, candidates: Candidates) -> Tensor:
        """The single mask of each prompt as a mask prompt: (N, 1, S, S) of 0 and 1, by way of the video's pixels."""
        return to_model_size(self.video_masks_from(candidates), self.model.image_size)

    def video_masks_from(self, candidates: Candidates) -> Tensor:
        """The single mask of each prompt in pixels of the video, (N, 1, height, width) bool."""
        single = self._propose([], self._single(candidates))
        return resize_logits(single.low_res, *self.video_size) > 0

    def _attend(self, group: Sequence[Selection]) -> Tensor:
        dtype, device = self.features.image.dtype, self.features.image.device
        precise = torch.promote_types(dtype, torch.float32)

        def uploaded(rows: list[tuple[float, ...]]) -> Tensor:
            return upload(torch.tensor(rows, dtype=precise), device)

        weights = None
        if group[0].memory_weights:
            weights = uploaded([s.memory_weights for s in group]), uploaded([s.pointer_weights for s in group])
        return self.operations.attend_to_memory(
            self.features.image,
            torch.stack([m.spatial for s in group for m in s.memories]).unflatten(0, (len(group), -1)).to(dtype),
            upload(torch.tensor([s.ranks for s in group]), device),
            torch.stack([p.vector for s in group for p in s.pointers]).unflatten(0, (len(group), -1)),
            uploaded([s.pointer_times for s in group]),
            self.settings.pool_memories,
            weights,
        )

    def _decode_points(self, prompts: Mapping[int, FramePrompt]) -> Iterable[tuple[list[int], int, Candidates]]:
        """Tracks, number of points and all masks of prompts with as many points, which are decoded together."""
        features, device = self.features, self.features.image.device
        counts = {i: len(prompt.points) for i, prompt in prompts.items() if prompt.points is not None}
        for num_points, group in _grouped(counts, key=counts.__getitem__):
            image = self.model.without_memory(features).expand(len(group), -1, -1, -1)
            points = upload(torch.stack([p for i in group if (p := prompts[i].points) is not None]), device)
            labels = upload(torch.stack([p for i in group if (p := prompts[i].labels) is not None]), device)
            yield group, num_points, self.model.decode(image, features.high_res, points, labels)

    def _single(self, candidates: Candidates) -> Candidates:
        return take_single(candidates, self.settings.dynamic_multimask_via_stability)

    def _propose_given(self, tracks: list[int], mask: Tensor) -> Proposals:
        """Masks (N, 1, S, S) of 0 and 1, which are the output; the decoder only computes their object pointers."""
        image = self.features.image.expand(len(mask), -1, -1, -1)  # without no_mem_embed, as in the public code
        decoded = self.model.decode(image, self.features.high_res, mask_logits=self.model.mask_downsample(mask))
        is_there = mask.flatten(1).any(1)
        low_res = logits_of(mask.to(logit_dtype(image)))
        return Proposals(
            tracks,
            low_res,
            ious=low_res.new_ones(len(mask), 1),
            tokens=decoded.tokens[:, :1],
            object_score=is_there.to(low_res.dtype) * 2 * GIVEN_LOGIT - GIVEN_LOGIT,
            is_present=is_there & (decoded.object_score[:, 0] > self._absent_threshold),
            video_size=self.video_size if self.rules.reads_masks(is_choice=False) else None,
        )

    def _propose(self, tracks: list[int], candidates: Candidates) -> Proposals:
        """Candidates, emptied if the object is absent; of several, what the rules need to choose."""
        object_score = candidates.object_score[:, 0]
        is_present = object_score > self._absent_threshold
        low_res = candidates.logits.to(logit_dtype(candidates.logits))
        low_res = torch.where(is_present[:, None, None, None], low_res, ABSENT_LOGIT)
        boxes, is_choice = None, low_res.shape[1] > 1
        if self.rules.choice.needs_boxes and is_choice:
            size = self.model.image_size
            boxes = tight_boxes(resize_logits(low_res, size, size) > 0)
        video_size = self.video_size if self.rules.reads_masks(is_choice) else None
        return Proposals(
            tracks, low_res, candidates.ious, candidates.tokens, object_score, is_present, boxes, video_size
        )

    @property
    def _absent_threshold(self) -> float:
        assert self.settings.min_obj_score_logits is not None, "settings are resolved before they are used"
        return self.settings.min_obj_score_logits


def _grouped(indices: Iterable[int], key: Callable[[int], Key]) -> list[tuple[Key, list[int]]]:
    """Indices grouped by a sortable key, each group in the original order."""
    return [(value, list(group)) for value, group in groupby(sorted(indices, key=key), key=key)]


def logits_of(masks: Tensor) -> Tensor:
    """The logits (N, 1, S / 4, S / 4) of masks (N, 1, S, S) of 0 and 1 that are the output of their frame."""
    size = (masks.shape[-1] // 4,) * 2
    logits = masks * 2 * GIVEN_LOGIT - GIVEN_LOGIT
    low_res = F.interpolate(logits, size=size, mode="bilinear", align_corners=False, antialias=True)
    return _keep_smallest(low_res, masks.flatten(1).any(1))


def to_model_size(masks: Tensor, size: int) -> Tensor:
    """Masks (N, 1, H, W) bool -> (N, 1, size, size) of 0 and 1; one that vanishes keeps the pixel it covers most."""
    if masks.shape[-2:] == (size, size):
        return masks.float()
    resized = F.interpolate(masks.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    most = resized.flatten(1).amax(1)[:, None, None, None]
    inside = (resized >= 0.5) | ((most < 0.5) & (most > 0) & (resized == most))
    return inside.float()


def _keep_smallest(low_res: Tensor, is_there: Tensor) -> Tensor:
    """Logits (N, 1, h, w); a mask that is not empty but has no logit above 0 gets the cell that it covers most."""
    flat = low_res.flatten(1)
    strongest = flat.argmax(1, keepdim=True)
    is_lost = is_there[:, None] & (flat.gather(1, strongest) <= 0)
    kept = torch.where(is_lost, flat.new_tensor(GIVEN_LOGIT), flat.gather(1, strongest))
    return flat.scatter(1, strongest, kept).view_as(low_res)


def logit_dtype(x: Tensor) -> torch.dtype:
    """The dtype of logits: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)
