"""A rescue on top of every tracker that can have one: what it changes, and what it never changes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.pipeline import propagate_chunk, track_video
from samurai_batch.tasks import Track
from samurai_batch.tracking.carried_memories import carried_memories
from samurai_batch.tracking.memory_bank import CONDITIONING_SCORE
from samurai_batch.tracking.recent_frames import RecentFrames, range_of
from samurai_batch.tracking.rescue import Hosted, Rescue, Rescued, Review, Scene
from samurai_batch.tracking.sentry.gate import SentryNote
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from samurai_batch.tracking.trackers import TRACKERS, Mode
from tests.deterministic import small_model
from tests.small_video import NUM_FRAMES as NUM_VIDEO_FRAMES
from tests.small_video import TRACKS, box, legs_of, source
from tests.tracking.scripts import (
    EAGER,
    EIGHT,
    NUM_FRAMES,
    VARIANTS,
    Script,
    are_the_same,
    features,
    make_tracker,
    play,
    steps,
)
from tests.tracking.scripts import box as box_prompt

HOSTS: tuple[Mode, ...] = tuple(mode for mode, kind in TRACKERS.items() if not kind.has_paths)
CAST = (EIGHT[0], EIGHT[3], EIGHT[5])


def on(mode: Mode, **others: float) -> TrackerSettings:
    """SENTRY, opening its gate often, on top of a tracker."""
    return replace(VARIANTS[mode], rescue="sentry", **{**EAGER, **others})  # type: ignore[arg-type]


def seen(tracker: Tracker, script: Script = CAST[0]) -> Iterator[tuple[int, TrackResult, TrackState]]:
    for frame_index, _, result, state in steps(tracker, [script], features(tracker.model)):
        yield frame_index, result, state


def without_own(state: TrackState) -> bytes:
    """A state's bytes but for what its rescue keeps."""
    copy = TrackState.from_bytes(state.to_bytes())
    copy.notes.pop(SentryNote.key, None)
    copy.tensors = {}
    return copy.to_bytes()


def test_every_host_is_rescued_on_the_test_video_and_tested_without_success_as_well() -> None:
    """What the other tests rest on."""
    for mode in HOSTS:
        tracker = make_tracker(on(mode))
        results = [result for _, _, result, _ in steps(tracker, CAST, features(tracker.model))]
        assert sum(result.is_rescued for result in results) >= 3, mode
        assert any(result.is_tested and not result.is_rescued for result in results), mode
        assert any(not result.is_tested for result in results), mode


@pytest.mark.parametrize("mode", HOSTS)
def test_results_and_states_are_the_hosts_bit_for_bit_as_long_as_nothing_is_verified(mode: Mode) -> None:
    watched = make_tracker(on(mode, sentry_reverse_min_margin=9, sentry_reverse_min_mean_iou=9))
    host = make_tracker(VARIANTS[mode])
    pairs = zip(steps(watched, CAST, features(watched.model)), steps(host, CAST, features(host.model)), strict=True)
    num_tested = 0
    for (*_, ours, our_state), (*_, plain, plain_state) in pairs:
        num_tested += ours.is_tested
        assert not ours.is_rescued
        assert are_the_same(replace(ours, is_tested=False), plain)
        assert without_own(our_state) == plain_state.to_bytes()
    assert num_tested > 3


@pytest.mark.parametrize("mode", HOSTS)
def test_a_frame_that_is_rescued_has_another_mask_and_another_memory_and_the_hosts_pointer(mode: Mode) -> None:
    tracker, host = make_tracker(on(mode)), make_tracker(VARIANTS[mode])
    plain = {frame_index: (result, state.to_bytes()) for frame_index, result, state in seen(host)}
    for frame_index, result, state in seen(tracker):
        theirs, their_state = plain[frame_index][0], TrackState.from_bytes(plain[frame_index][1])
        if not result.is_rescued:
            assert are_the_same(replace(result, is_tested=False), theirs)
            continue
        assert not torch.equal(result.low_res_logits, theirs.low_res_logits)
        assert (result.mask_score, result.object_score) == (theirs.mask_score, theirs.object_score)
        (ours,) = (m for m in state.bank.recent if m.age == frame_index)
        assert not any(torch.equal(ours.spatial, m.spatial) for m in their_state.bank.recent)
        for pointer in their_state.bank.recent_pointers:
            if pointer.age == frame_index:
                (own,) = (p for p in state.bank.recent_pointers if p.age == frame_index)
                assert torch.equal(own.vector, pointer.vector)
        return  # the first one: later frames differ by what they remember
    pytest.fail("no frame was rescued")


@pytest.mark.parametrize("mode", HOSTS)
def test_a_track_that_begins_with_memories_of_another_video_is_tested_by_its_own_frames_alone(mode: Mode) -> None:
    tracker = make_tracker(on(mode))
    *_, (_, _, source_state) = seen(tracker)
    state = TrackState.from_bytes(carried_memories(source_state.to_bytes(), NUM_FRAMES, True, rules=tracker.rules))
    state.num_frames += NUM_FRAMES
    assert (state.notes, state.tensors) == ({}, {})
    recent, num_tested = RecentFrames(tracker.encode), 0
    for index, frame in enumerate(features(tracker.model, seed=3), 500):
        recent.add(index, frame)
        (result,) = tracker.step(frame, [TrackInput(state)], recent=recent)
        num_tested += result.is_tested
        assert min(state.note(SentryNote).frames) >= 500
    assert num_tested
    assert state.tensors


def test_nothing_is_tested_on_a_prompted_frame_and_all_starts_anew_there() -> None:
    tracker = make_tracker(on("sam2"))
    prompted = CAST[2].prompts
    for frame_index, result, state in seen(tracker, CAST[2]):
        note = state.note(SentryNote)
        if frame_index in prompted:
            assert not result.is_tested
            assert (len(note.frames), note.closed_until, note.pool) == (1, -1, ())
            assert len(note.areas) == note.num_known
        assert note.frames[-1] == frame_index
        assert len(note.frames) <= 9
        assert len(note.areas) <= 10


def test_the_gate_stays_closed_for_some_frames_after_a_rescue() -> None:
    tracker = make_tracker(on("sam2", sentry_cooldown_frames=4))
    rescued = [frame_index for frame_index, result, _ in seen(tracker) if result.is_rescued]
    tested = [frame_index for frame_index, result, _ in seen(tracker) if result.is_tested]
    assert rescued
    assert not any(frame_index < other <= frame_index + 4 for frame_index in rescued for other in tested)


@pytest.mark.parametrize("mode", HOSTS)
def test_tracks_together_are_rescued_as_each_alone(mode: Mode) -> None:
    tracker = make_tracker(on(mode))
    video = features(tracker.model)
    for script, together in zip(CAST, play(tracker, CAST, video), strict=True):
        (alone,) = play(tracker, [script], video)
        for frame_index, result in together.items():
            other = alone[frame_index]
            assert (result.is_tested, result.is_rescued) == (other.is_tested, other.is_rescued)
            torch.testing.assert_close(result.low_res_logits, other.low_res_logits, rtol=1e-6, atol=1e-6)


@cache
def whole_video(mode: Mode) -> Mapping[str, pa.Table]:
    return track_video(Tracker(small_model(), on(mode)), source(), TRACKS[1:4])


@pytest.mark.parametrize("mode", HOSTS)
@pytest.mark.parametrize("chunk_frames", [1, 4, 7])
def test_the_length_of_chunks_changes_no_bit(mode: Mode, chunk_frames: int) -> None:
    """Both directions, several prompts; each chunk resumes from states and frames that are read again."""
    chunked = track_video(Tracker(small_model(), on(mode)), source(), TRACKS[1:4], chunk_frames)
    assert all(chunked[name].equals(table) for name, table in whole_video(mode).items())


@settings(max_examples=6, deadline=None)
@given(
    every=st.sampled_from([1, 2, 3]),
    prompted=st.sets(st.integers(0, 6), min_size=1, max_size=2),
    chunk=st.integers(1, 3),
    direction=st.sampled_from(["forward", "backward", "both"]),
    mode=st.sampled_from(HOSTS),
)
def test_frame_steps_directions_and_chunks_change_no_bit(
    every: int, prompted: set[int], chunk: int, direction: str, mode: Mode
) -> None:
    sampling = FrameSampling(every=every)
    prompts = tuple(box(frame_index) for frame_index in sorted(prompted))
    track = Track(
        video=TRACKS[0].video,
        object_id="x",
        prompts=prompts,
        sampling=sampling,
        direction=direction,  # type: ignore[arg-type]
    )
    tracker = Tracker(small_model(), on(mode))
    short, whole = (
        track_video(tracker, source(), [track], length)["x"] for length in (chunk * every, NUM_VIDEO_FRAMES * every)
    )
    assert short.equals(whole)


def test_a_chunk_reads_the_frames_before_it_again_and_encodes_only_those_that_are_asked_for() -> None:
    tracker, legs = Tracker(small_model(), on("sam2")), legs_of(TRACKS[:1])
    first = propagate_chunk(tracker, source(), legs, range(11))
    second = propagate_chunk(tracker, video := source(), legs, range(11, 15), first.states)
    assert video.requested == [range(2, 11), range(11, 15)]
    assert second.stats.frames_encoded == 4 + (9 if second.stats.rescue_tests else 0)
    calm = Tracker(small_model(), replace(VARIANTS["sam2"], rescue="sentry", sentry_reverse_min_history=99))
    first = propagate_chunk(calm, source(), legs, range(11))
    second = propagate_chunk(calm, source(), legs, range(11, 15), first.states)
    assert (second.stats.frames_encoded, second.stats.rescue_tests) == (4, 0)
    plain = Tracker(small_model(), VARIANTS["sam2"])
    propagate_chunk(
        plain, video := source(), legs, range(11, 15), propagate_chunk(plain, source(), legs, range(11)).states
    )
    assert video.requested == [range(11, 15)]


def test_tests_and_rescues_are_counted() -> None:
    tracker = make_tracker(on("sam2"))
    stats = propagate_chunk(Tracker(small_model(), on("sam2")), source(), legs_of(TRACKS[:2]), range(15)).stats
    assert 0 < stats.rescues <= stats.rescue_tests < stats.track_frames
    assert tracker.rules.rescue is not None


def test_a_state_with_a_rescues_note_and_tensors_is_the_same_after_going_through_bytes() -> None:
    *_, (_, _, state) = seen(make_tracker(on("samurai")))
    data = state.to_bytes()
    again = TrackState.from_bytes(data)
    assert again.note(SentryNote) == state.note(SentryNote)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in state.tensors.items())
    assert again.to_bytes() == data
    last_mask, appearance = 16 * 16 * 8, 32 * 4  # float64 logits at S / 4, float32 features
    assert sum(tensor.nbytes for tensor in again.tensors.values()) == last_mask + appearance


class Given(Rescue):
    """Replaces the mask of one frame by a given one."""

    def __init__(self, age: int, low_res: torch.Tensor) -> None:
        self.age, self.low_res = age, low_res

    def review(self, track: Hosted, scene: Scene) -> Review:
        if track.state.age != self.age:
            return Review()
        return Review(is_tested=True, rescued=Rescued(self.low_res, (8.0, 8.0, 40.0, 40.0)))

    def frames_needed(self, state: TrackState) -> tuple[int, ...]:
        return ()


@pytest.mark.parametrize("mode", HOSTS)
def test_any_rescue_can_be_put_on_a_tracker(mode: Mode) -> None:
    """The interface: the mask is the output, its memory that of a visible object, and the motion model is told."""
    host = make_tracker(VARIANTS[mode])
    low_res = torch.full((16, 16), -10.0, dtype=torch.float64)
    low_res[2:10, 2:10] = 10
    tracker = Tracker(host.model, VARIANTS[mode], rules=replace(host.rules, rescue=Given(5, low_res)))
    script = Script({0: box_prompt(12, 16, 35, 38)})
    plain = list(seen(host, script))[5]
    for frame_index, result, state in seen(tracker, script):
        if frame_index == 5:
            assert torch.equal(result.low_res_logits, low_res)
            assert (result.is_tested, result.is_rescued, result.mask_index) == (True, True, plain[1].mask_index)
            (memory,) = (m for m in state.bank.recent if m.age == 5)
            mask = torch.nn.functional.interpolate(low_res[None, None], size=(64, 64), mode="bilinear") > 0
            seen_frame = features(tracker.model)[5].image
            with torch.inference_mode():
                expected = tracker.model.encode_memory(seen_frame, mask.to(seen_frame.dtype), torch.tensor([False]))
            assert torch.equal(memory.spatial, expected[0].to(torch.bfloat16))
            if mode == "memory_selection":
                assert memory.object_score == CONDITIONING_SCORE
            if mode == "samurai":
                assert state.motion.filter is not None
                assert state.motion.stable >= 1
            break


def test_frames_are_kept_only_while_they_are_needed() -> None:
    tracker = make_tracker()
    recent = RecentFrames(tracker.encode)
    for index, frame in enumerate(features(tracker.model)):
        recent.add(index, frame)
        recent.keep(range(index - 8, index + 1))
        assert len(recent) <= 9
    assert recent.newest == NUM_FRAMES - 1
    assert torch.equal(recent.features(NUM_FRAMES - 3).image, features(tracker.model)[NUM_FRAMES - 3].image)
    with pytest.raises(KeyError):
        recent.features(0)


@pytest.mark.parametrize(
    ("indices", "reverse", "expected"),
    [
        ((), False, range(0)),
        ((4,), False, range(4, 5)),
        ((4, 5, 6), False, range(4, 7)),
        ((4, 5, 6), True, range(6, 3, -1)),
        ((3, 9, 6), False, range(3, 10, 3)),
        ((9, 6, 4), True, range(9, 3, -1)),
    ],
)
def test_the_frames_to_read_are_the_shortest_range(indices: Sequence[int], reverse: bool, expected: range) -> None:
    assert list(range_of(indices, reverse)) == list(expected)
