"""The tracker: one step of any number of tracks on one frame.

The network holds no state, and each track has its own :class:`TrackState`, so a step is a function of (frame features,
states, prompts). Tracks are batched wherever their shapes allow.

    conditioning frame:  features + no_mem_embed ─┐
    other frames:        memory attention ────────┴─> decoder ─> choose a mask ─(rescue)─> pointer, spatial memory

What differs between trackers is in their `rules`: how a mask is chosen, what is remembered, what a frame attends to
(`trackers/`). A prompted frame is a conditioning frame: later frames attend to its memory, and a motion model is
initialised again there. A prompt does not change frames before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.modeling.operations import Operations
from samurai_batch.modeling.overflow import check_not_nan
from samurai_batch.modeling.pixels import upload
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.prompts import Box
from samurai_batch.tracking import rescue
from samurai_batch.tracking.mask_choice import Choice, Motion
from samurai_batch.tracking.memory_bank import CONDITIONING_SCORE, MemoryBank, Selection, TrackedFrame
from samurai_batch.tracking.paths import Decided, PathsNote
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.proposals import Chosen, Facts, Proposals, candidates_of, read, take
from samurai_batch.tracking.proposing import Proposer
from samurai_batch.tracking.recent_frames import RecentFrames
from samurai_batch.tracking.rescue import NO_REVIEW, Hosted, Rescue, Review, Scene
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.trackers import TRACKERS


@dataclass(frozen=True, eq=False)
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

    lanes: the results of all lanes, the best path's first, if there are several; only trackers of several paths have
    more than one (`paths`).
    is_tested, is_rescued: whether a rescue has tested other masks, and whether one of them replaces the chosen one; all
    but ``low_res_logits`` still says what the tracker has chosen.
    decided: the frames, by age, whose rows are decided by this step, and the lane whose row each of them gets; this
    frame and lane 0 but for trackers with several paths.
    """

    low_res_logits: Tensor
    mask_score: float
    object_score: float
    motion_score: float | None
    mask_index: int
    candidate_ious: tuple[float, ...]
    predicted_box_xyxy: Box | None
    lanes: "tuple[TrackResult, ...]" = ()
    decided: tuple[Decided, ...] = ()
    is_tested: bool = False
    is_rescued: bool = False


@dataclass(frozen=True, eq=False)
class _Pick:
    """A candidate that goes on: of which lane of the step, and the bank that will remember it."""

    item: TrackInput
    lane: int
    bank: MemoryBank
    facts: Facts
    choice: Choice
    review: Review = NO_REVIEW


class Tracker:
    """Propagates tracks with one network and one set of rules; holds no state of a video."""

    def __init__(
        self,
        model: SAM2,
        settings: TrackerSettings,
        operations: Operations | None = None,
        rules: Rules | None = None,
    ) -> None:
        """``operations`` replace the model's own, by faster ones; ``rules`` those of the settings' mode."""
        self.model = model
        self.operations = operations or Operations.of(model)
        self.settings = settings.resolve(model.config)
        own = TRACKERS[self.settings.mode].combine(self.settings)
        self.rules = rules or replace(own, rescue=rescue.combine(self.settings))

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> FrameFeatures:
        """Frames (B, 3, S, S), normalised -> their features."""
        return self.operations.encode_image(pixels)

    @torch.inference_mode()
    def step(
        self,
        features: FrameFeatures,
        inputs: Sequence[TrackInput],
        before_wait: Callable[[], None] = lambda: None,
        video_size: tuple[int, int] | None = None,
        recent: RecentFrames | None = None,
    ) -> list[TrackResult]:
        """Propagate every track to the frame with these features (a batch of one), and update its state in place.

        The host waits for the device once, for the numbers by which candidates are chosen. On a GPU ``before_wait`` is
        called before that, once, to give the device work for the time in which the host chooses. ``video_size`` are
        height and width of the frame in the video, which some rules measure masks in; default: the model's image. A
        rescue needs ``recent``: this frame, the newest, and those that it reads of the frames before.

        Raises ConfigError if the network computes NaN, as by an overflow in float16.
        """
        settled = [self._begin(item) for item in inputs]
        lanes = [(item, bank) for item in inputs for bank in item.state.banks]
        proposer = self._proposer(features, video_size)
        proposals = proposer.by_memory(
            {i: self.select(item.state, bank) for i, (item, bank) in enumerate(lanes) if item.prompt is None}
        )
        proposals += proposer.by_prompts({i: item.prompt for i, (item, _) in enumerate(lanes) if item.prompt})
        facts = read(proposals, before_wait)
        scores = (score for one in facts.values() for score in (*one.ious, one.object_score))
        check_not_nan(scores, self.model.config.name, features.image.dtype)
        picks = self._pick(inputs, facts)
        chosen = take(proposals, [(pick.lane, pick.choice.index) for pick in picks])
        if self.rules.rescue is not None:
            assert recent is not None, "a rescue reads frames before this one"
            scene = Scene(self.model, features, recent, proposer.video_size)
            picks = [self._reviewed(self.rules.rescue, scene, pick, proposals) for pick in picks]
            chosen = _with_rescued(chosen, picks)
        results = [_result(low_res, pick) for low_res, pick in zip(chosen.low_res, picks, strict=True)]
        self._remember(features, picks, chosen)
        return self._of_tracks(settled, picks, results)

    def select(self, state: TrackState, bank: MemoryBank | None = None) -> Selection:
        """What the next frame of a track attends to, with the bank of one of its lanes (default: the first one)."""
        return self.rules.memory.select(state.bank if bank is None else bank, state.age, state.num_frames)

    def _begin(self, item: TrackInput) -> list[Decided]:
        """Start motion model and paths anew on a prompted frame; the frames that this decides, by the best path."""
        state = item.state
        if item.prompt is None:
            return []
        state.motion = Motion()
        if self.rules.paths is None:
            return []
        note = state.note(PathsNote)
        state.bank, state.other_banks = state.banks[note.lanes[0]], []
        state.keep(PathsNote(first_age=state.age))
        return note.best_trace()

    def _pick(self, inputs: Sequence[TrackInput], facts: Mapping[int, Facts]) -> list[_Pick]:
        """The candidates that go on: one of each track, or one for each lane of the next frame."""
        picks, first = list[_Pick](), 0
        for item in inputs:
            state, banks = item.state, item.state.banks
            own = [facts[lane] for lane in range(first, first + len(banks))]
            if self.rules.paths is None or item.prompt is not None:
                choices = [(0, self.rules.choice.choose(own[0], state.motion))]
                if self.rules.paths is not None:
                    state.keep(PathsNote(parents=((0,),), first_age=state.age))
            else:
                choices, note = self.rules.paths.next_paths(state.note(PathsNote), own, state.age)
                state.keep(note)
            for parent, choice in choices:
                # Paths fill their banks separately; a single one is filled in place.
                bank = banks[parent] if self.rules.paths is None else banks[parent].copy()
                picks.append(_Pick(item, first + parent, bank, own[parent], choice))
            first += len(banks)
        return picks

    def _reviewed(self, by: Rescue, scene: Scene, pick: _Pick, proposals: Sequence[Proposals]) -> _Pick:
        """The pick of a track after its rescue has looked at it."""
        candidates, item = candidates_of(proposals, pick.lane), pick.item
        hosted = Hosted(item.state, pick.facts, candidates, pick.choice.index, item.prompt is not None)
        review = by.review(hosted, scene)
        if review.rescued is None:
            return replace(pick, review=review)
        motion = self.rules.choice.corrected(pick.choice.motion, review.rescued.box_xyxy)
        return replace(pick, review=review, choice=replace(pick.choice, motion=motion))

    def _of_tracks(
        self, settled: Sequence[list[Decided]], picks: Sequence[_Pick], results: Sequence[TrackResult]
    ) -> list[TrackResult]:
        """The result of each track, the states being those after the step."""
        found = []
        by_track = groupby(zip(picks, results, strict=True), key=lambda pair: pair[0].item)
        for (item, pairs), before in zip(by_track, settled, strict=True):
            own = tuple(result for _, result in pairs)
            decided = [(item.state.age - 1, 0)]
            if self.rules.paths is not None:
                is_last = item.state.age >= item.state.num_frames
                note = item.state.note(PathsNote)
                decided, rest = note.decide(0 if is_last else self.rules.paths.max_wait_frames)
                item.state.keep(rest)
            found.append(replace(own[0], lanes=own if len(own) > 1 else (), decided=(*before, *decided)))
        return found

    def _proposer(self, features: FrameFeatures, video_size: tuple[int, int] | None) -> Proposer:
        size = self.model.image_size
        return Proposer(self.model, self.operations, self.settings, self.rules, features, video_size or (size, size))

    def _remember(self, features: FrameFeatures, picks: Sequence[_Pick], chosen: Chosen) -> None:
        """Compute object pointers and spatial memories of all picks in one call each, and update the states."""
        is_promoted = [self._promotes(pick) for pick in picks]
        pointers = self.operations.object_pointer(chosen.token, chosen.is_present)
        is_given = [
            pick.item.prompt is not None or new or pick.review.rescued is not None
            for pick, new in zip(picks, is_promoted, strict=True)
        ]
        masks = self._masks_to_remember(chosen, is_given).to(features.image.dtype)
        spatial = self.operations.encode_memory(features.image, masks, chosen.object_score <= 0)
        spatial = spatial.to(torch.bfloat16)
        for row, pick in enumerate(picks):
            facts, index, is_rescued = pick.facts, pick.choice.index, pick.review.rescued is not None
            is_visible = None if facts.masks is None else is_rescued or facts.masks.extent(index).is_visible
            frame = TrackedFrame(
                age=pick.item.state.age,
                # Cloned, so that a memory does not keep the storage of all tracks alive; contiguous, as after
                # deserialisation.
                spatial=spatial[row].clone(memory_format=torch.contiguous_format),
                pointer=pointers[row].clone(),
                mask_score=facts.ious[index],
                object_score=CONDITIONING_SCORE if is_rescued else facts.object_score,
                motion_score=pick.choice.motion_score,
                is_visible=is_visible,
                is_prompted=pick.item.prompt is not None,
                is_promoted=is_promoted[row],
            )
            self.rules.memory.remember(pick.bank, frame)
        for item, own in groupby(picks, key=lambda pick: pick.item):
            newest = list(own)
            item.state.bank, *item.state.other_banks = (pick.bank for pick in newest)
            item.state.motion = newest[0].choice.motion
            item.state.age += 1

    def _promotes(self, pick: _Pick) -> bool:
        rule, item = self.rules.promotion, pick.item
        return rule is not None and item.prompt is None and rule.promotes(item.state, pick.facts, pick.choice)

    def _masks_to_remember(self, chosen: Chosen, is_given: Sequence[bool]) -> Tensor:
        """Mask probabilities (N, 1, S, S); of prompted, promoted and rescued frames binarised, if settings say so."""
        size = self.model.image_size
        logits = resize_logits(chosen.low_res[:, None], size, size)
        if not (self.settings.binarize_mask_from_pts_for_mem_enc and any(is_given)):
            return logits.sigmoid()
        where = upload(torch.tensor(is_given), logits.device)[:, None, None, None]
        return torch.where(where, (logits > 0).to(logits.dtype), logits.sigmoid())


def _with_rescued(chosen: Chosen, picks: Sequence[_Pick]) -> Chosen:
    """What is chosen, with the masks that replace some of it: those are visible, whatever the decoder says."""
    rescued = {row: pick.review.rescued for row, pick in enumerate(picks) if pick.review.rescued is not None}
    if not rescued:
        return chosen
    low_res, object_score = chosen.low_res.clone(), chosen.object_score.clone()
    for row, one in rescued.items():
        low_res[row] = one.low_res
        object_score[row] = CONDITIONING_SCORE
    return replace(chosen, low_res=low_res, object_score=object_score)


def _result(low_res_logits: Tensor, pick: _Pick) -> TrackResult:
    facts, choice = pick.facts, pick.choice
    return TrackResult(
        low_res_logits=low_res_logits,
        mask_score=facts.ious[choice.index],
        object_score=facts.object_score,
        motion_score=choice.motion_score,
        mask_index=choice.index,
        candidate_ious=facts.ious,
        predicted_box_xyxy=choice.predicted_box,
        is_tested=pick.review.is_tested,
        is_rescued=pick.review.rescued is not None,
    )
