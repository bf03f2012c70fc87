"""What a track of another video begins with, in every tracker."""

from collections.abc import Sequence

import pytest
import torch

from samurai_batch.modeling.configs import NUM_MASKMEM
from samurai_batch.modeling.sam2 import FrameFeatures
from samurai_batch.tracking.carried_memories import carried_memories
from samurai_batch.tracking.mask_choice import Motion
from samurai_batch.tracking.memory_bank import CONDITIONING_RANK, Memory, Pointer
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from samurai_batch.tracking.trackers import TRACKERS
from tests.tracking.scripts import EIGHT, NUM_FRAMES, VARIANTS, Script, are_the_same, features, make_tracker, steps


def at_the_end(tracker: Tracker, script: Script) -> TrackState:
    (*_, (_, _, _, state)) = steps(tracker, [script], features(tracker.model))
    return state


def begun(
    tracker: Tracker, state: TrackState, num_frames: int = NUM_FRAMES, goes_on_for: int = 0, has_recent: bool = True
) -> TrackState:
    memories = carried_memories(state.to_bytes(), num_frames, has_recent, rules=tracker.rules)
    found = TrackState.from_bytes(memories)
    found.num_frames += goes_on_for
    return found


def tracked(tracker: Tracker, state: TrackState, video: Sequence[FrameFeatures]) -> list[TrackResult]:
    return [tracker.step(seen, [TrackInput(state)])[0] for seen in video]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("script", [EIGHT[0], EIGHT[3], EIGHT[5], EIGHT[7]])
def test_it_begins_with_conditioning_frames_alone_as_many_as_its_rules_read(variant: str, script: Script) -> None:
    tracker = make_tracker(VARIANTS[variant])
    state = at_the_end(tracker, script)
    other = begun(tracker, state, goes_on_for=NUM_FRAMES)
    count = len(other.bank.conditioning)
    prompted = [memory for memory in state.bank.conditioning if not memory.is_promoted]
    limit = min(tracker.rules.memory.conditioning_limit(), NUM_MASKMEM)
    assert len(prompted[-limit:]) <= count <= limit
    assert [memory.age for memory in other.bank.conditioning] == [*range(count)]
    kept = [memory for memory in other.bank.conditioning if not memory.is_promoted]
    assert kept == other.bank.conditioning[-len(kept) :], "prompted ones are dropped last"
    for one, before in zip(kept, prompted[-limit:], strict=True):
        assert torch.equal(one.spatial, before.spatial)
    assert (other.age, other.num_carried, other.num_frames) == (count, count, count + NUM_FRAMES)
    assert not other.bank.recent + other.other_banks
    assert not other.bank.recent_pointers
    assert other.motion == Motion(), "no box is known yet"
    selection = tracker.select(other)
    assert selection.ranks == (CONDITIONING_RANK,) * count, "no memory has a temporal position"
    assert len(selection.pointers) >= 1


@pytest.mark.parametrize("mode", TRACKERS)
def test_going_through_bytes_after_every_frame_changes_no_bit_of_what_follows(mode: str) -> None:
    tracker = make_tracker(VARIANTS[mode])
    video = features(tracker.model, seed=3)
    state = begun(tracker, at_the_end(tracker, EIGHT[3]), goes_on_for=NUM_FRAMES)
    expected = tracked(tracker, begun(tracker, at_the_end(tracker, EIGHT[3]), goes_on_for=NUM_FRAMES), video)
    decided = []
    for seen, result in zip(video, expected, strict=True):
        state = TrackState.from_bytes(state.to_bytes())
        (found,) = tracker.step(seen, [TrackInput(state)])
        assert are_the_same(found, result)
        decided += [age - state.num_carried for age, _ in found.decided]
    assert decided == [*range(NUM_FRAMES)], "each frame gets one row"


@pytest.mark.parametrize("mode", TRACKERS)
def test_a_video_of_one_frame_is_tracked(mode: str) -> None:
    tracker = make_tracker(VARIANTS[mode])
    state = begun(tracker, at_the_end(tracker, EIGHT[7]), goes_on_for=1)
    (result,) = tracked(tracker, state, features(tracker.model, seed=3)[:1])
    assert torch.isfinite(result.low_res_logits).all()
    assert len(result.decided) == 1


@pytest.mark.parametrize("mode", TRACKERS)
def test_along_a_chain_of_videos_the_prompted_frames_stay_and_the_states_are_bounded(mode: str) -> None:
    tracker = make_tracker(VARIANTS[mode])
    state = at_the_end(tracker, EIGHT[0])
    first = state.bank.conditioning[0]
    for seed in (3, 4, 5):
        state = begun(tracker, state, goes_on_for=NUM_FRAMES)
        tracked(tracker, state, features(tracker.model, seed=seed))
        prompted = [memory for memory in state.bank.conditioning if not memory.is_promoted]
        assert [torch.equal(memory.spatial, first.spatial) for memory in prompted] == [True]
        assert len(state.bank.conditioning) <= tracker.rules.memory.conditioning_limit() + 1


def test_of_a_track_that_a_discovery_has_ended_only_prompted_frames_before_its_end_are_taken() -> None:
    tracker = make_tracker()
    state = at_the_end(tracker, EIGHT[3])  # prompted at ages 0 and 6
    for num_frames, ages in ((7, [0, 6]), (6, [0])):
        other = begun(tracker, state, num_frames, has_recent=False)
        expected = [one.spatial for one in state.bank.conditioning if one.age in ages]
        assert len(other.bank.conditioning) == len(expected)
        assert all(map(torch.equal, (one.spatial for one in other.bank.conditioning), expected))


def test_memories_that_are_not_trusted_or_show_no_object_are_left_out() -> None:
    tracker = make_tracker(VARIANTS["sam2"])
    state = at_the_end(tracker, EIGHT[0])
    state.bank.recent = [
        Memory(17, torch.full_like(state.bank.recent[0].spatial, 17)),
        Memory(18, torch.full_like(state.bank.recent[0].spatial, 18), is_trusted=False),
        Memory(19, torch.full_like(state.bank.recent[0].spatial, 19), object_score=-1.0),
        Memory(20, torch.full_like(state.bank.recent[0].spatial, 20)),
    ]
    state.bank.recent_pointers = [Pointer(20, torch.zeros_like(state.bank.recent_pointers[0].vector))]
    other = begun(tracker, state)
    assert [float(memory.spatial.flatten()[0]) for memory in other.bank.conditioning[:-1]] == [17, 20]
    assert [memory.is_promoted for memory in other.bank.conditioning] == [True, True, False]
    assert [pointer.age for pointer in other.bank.conditioning_pointers] == [1, 2], "that of frame 17 is not kept"


def test_a_prompt_on_a_later_frame_joins_the_memories_and_a_motion_model_starts_there() -> None:
    tracker = make_tracker()
    state = begun(tracker, at_the_end(tracker, EIGHT[0]), goes_on_for=NUM_FRAMES)
    count = state.num_carried
    video = features(tracker.model, seed=3)
    tracked(tracker, state, video[:5])
    tracker.step(video[5], [TrackInput(state, EIGHT[0].prompts[0])])
    assert state.bank.conditioning[-1].age == count + 5
    assert not state.bank.conditioning[-1].is_promoted
