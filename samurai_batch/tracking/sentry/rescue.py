"""SENTRY at work: from a frame and its host's mask to the mask that the frame gets (see the package's docstring)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.prompts import Box
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.proposing import logit_dtype, logits_of, to_model_size
from samurai_batch.tracking.rescue import Hosted, Rescue, Rescued, Review, Scene
from samurai_batch.tracking.sentry.gate import SentryNote, is_failure
from samurai_batch.tracking.sentry.masks import (
    LAST_MASK,
    TEMPLATE,
    Candidate,
    appearance,
    box_of,
    boxes_of,
    candidates_of,
    video_masks,
)
from samurai_batch.tracking.sentry.position import Point
from samurai_batch.tracking.sentry.verification import TrackedBack, best_verified
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput


@dataclass(frozen=True)
class Sentry(Rescue):
    """Tests other masks where the host's looks like a failure, and takes the best one that is verified."""

    settings: TrackerSettings

    def frames_needed(self, state: TrackState) -> tuple[int, ...]:
        """The last frames, through which candidates are tracked back."""
        return state.note(SentryNote).frames

    def review(self, track: Hosted, scene: Scene) -> Review:
        """A prompted frame is accepted as it is; on others, the host's mask unless another one is verified."""
        state, masks = track.state, track.facts.masks
        assert masks is not None
        box, low_res = box_of(masks.extent(track.index)), track.candidates[track.index]
        review = Review()
        if track.is_prompted:
            note = SentryNote()
        else:
            expected, note = state.note(SentryNote).expected(*scene.video_size, self.settings)
            if self.is_open(note, state.age, box, track.facts.ious[track.index]):
                note, best = self._test(track, scene, note, expected)
                review = Review(is_tested=True)
                if best is not None:
                    low_res = _logits(best, scene)
                    box = boxes_of(low_res[None], *scene.video_size)[0] or best.box
                    review = Review(is_tested=True, rescued=Rescued(low_res, _in_model(box, scene)))
                    note = replace(note, closed_until=state.age + self.settings.sentry_cooldown_frames)
        state.keep(note.accepted(state.age, scene.recent.newest, box, self.settings))
        if box is not None and TEMPLATE not in state.tensors:
            image = scene.model.without_memory(scene.features)
            state.tensors[TEMPLATE] = appearance(image, video_masks(low_res[None], scene.video_size))[0]
        if box is not None:
            state.tensors[LAST_MASK] = low_res.clone(memory_format=torch.contiguous_format)
        return review

    def is_open(self, note: SentryNote, age: int, box: Box | None, predicted_iou: float) -> bool:
        """Whether masks are tested: the host's looks like a failure, and enough is known to verify another one."""
        return note.num_known >= self.settings.sentry_reverse_min_history and is_failure(
            note, age, box, predicted_iou, self.settings
        )

    def _test(
        self, track: Hosted, scene: Scene, note: SentryNote, expected: Point | None
    ) -> tuple[SentryNote, Candidate | None]:
        """The verified mask, None if there is none; and the note with the trajectories of all that were tested."""
        candidates = candidates_of(track, scene, note, expected, self.settings)
        if not candidates:
            return replace(note, pool=()), None
        back = self._track_back(scene, [one.pixels for one in candidates], note)
        tested = [
            TrackedBack(
                kind=one.kind,
                box=one.box,
                trajectory=(*trajectory, (track.state.age, one.box)),
                similarity=one.similarity,
                predicted_iou=one.predicted_iou,
            )
            for one, trajectory in zip(candidates, back, strict=True)
        ]
        pool = [old for old in note.pool if any(age in note.ages for age, _ in old)]
        best = best_verified(tested, note.history, pool, self.settings)
        remembered = tuple(one.trajectory for one in tested if one.kind != "moved")
        return replace(note, pool=remembered), None if best is None else candidates[best]

    def _track_back(self, scene: Scene, masks: Sequence[Tensor], note: SentryNote) -> list[tuple[tuple[int, Box], ...]]:
        """Boxes by age, oldest first, of each mask that prompts a fresh plain tracker on this frame.

        All masks are tracked together. The host waits once for the boxes of all frames.
        """
        tracker, height, width = _plain(scene.model), *scene.video_size
        prompts = to_model_size(torch.stack(list(masks))[:, None], scene.model.image_size)[:, 0]
        states = [TrackState(num_frames=len(note.frames) + 1) for _ in masks]
        inputs = [TrackInput(state, FramePrompt(mask=mask)) for state, mask in zip(states, prompts, strict=True)]
        tracker.step(scene.features, inputs, video_size=scene.video_size)
        found = []
        for frame in reversed(note.frames):
            inputs = [TrackInput(state) for state in states]
            results = tracker.step(scene.recent.features(frame), inputs, video_size=scene.video_size)
            found.append(torch.stack([result.low_res_logits for result in results]))
        boxes = iter(boxes_of(torch.cat(found[::-1]), height, width))
        by_frame = [(age, [next(boxes) for _ in masks]) for age in note.ages]
        return [
            tuple((age, box) for age, of_frame in by_frame if (box := of_frame[row]) is not None)
            for row in range(len(masks))
        ]


def _plain(model: SAM2) -> Tracker:
    return Tracker(model, TrackerSettings(mode="sam2"))


def _logits(candidate: Candidate, scene: Scene) -> Tensor:
    """The logits of a mask as the output of its frame: those of the decoder, or as of a mask that is given."""
    if candidate.low_res is not None:
        return candidate.low_res
    mask = to_model_size(candidate.pixels[None, None], scene.model.image_size)
    return logits_of(mask.to(logit_dtype(scene.features.image)))[0, 0]


def _in_model(box: Box, scene: Scene) -> Box:
    """A box of the video, ending after its last pixel, as one of the model's image from first to last pixel."""
    size, (height, width) = scene.model.image_size, scene.video_size
    x1, y1, x2, y2 = box
    return x1 * size / width, y1 * size / height, x2 * size / width - 1, y2 * size / height - 1
