"""The decisions of a discovery: SAM 3's rules one by one, and what must hold for any video."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.job.discovery import DiscoverySettings
from samurai_batch.planning.discovery import Decision, DiscoveryState, FrameFacts, Start, TrackMemory, decide
from samurai_batch.prompts import BoxPrompt, DiscoverPrompt, FrameDetection
from samurai_batch.runtime.discovery import FoundTrack, found_tracks
from samurai_batch.runtime.frame_facts import MaskOfTrack, facts_of, useful_detections
from samurai_batch.tasks import Track, Video
from tests.runtime.discovery_world import HEIGHT, WIDTH, draw_world

RULES = DiscoverySettings(every=1)
BOX = (10.0, 10.0, 20.0, 20.0)
FAR = (40.0, 10.0, 50.0, 20.0)
LAST = 99


def car(frame: int, score: float = 0.9, box: tuple[float, float, float, float] = BOX) -> FrameDetection:
    return FrameDetection(frame, "car", score, box)


def known(name: str, start: int = 0, **more: object) -> TrackMemory:
    return replace(TrackMemory(object_id=name, start_frame=start, is_confirmed=True), **more)  # type: ignore[arg-type]


def facts(
    frame: int,
    *detections: FrameDetection,
    matched: dict[tuple[str, int], float] | None = None,
    present: Sequence[str] = (),
    merged: dict[tuple[str, str], float] | None = None,
) -> FrameFacts:
    return FrameFacts(
        frame_index=frame,
        detections=detections,
        mask_scores=dict.fromkeys(present, 0.9),
        match_iou=matched or {},
        track_iou=merged or {},
    )


def decided(state: DiscoveryState, *frames: FrameFacts, rules: DiscoverySettings = RULES, last: int = LAST) -> Decision:
    names = {one.object_id for one in state} | {name for one in frames for name in one.mask_scores}
    return decide(state, frames, names, rules, prefix="d", last_frame=last)


# -- starting


@pytest.mark.parametrize(("score", "starts"), [(0.69, False), (0.7, True)])
def test_a_detection_starts_a_track_from_this_score_on(score: float, starts: bool) -> None:
    assert bool(decided((), facts(3, car(3, score))).missing) == starts


@pytest.mark.parametrize(("iou", "starts"), [(0.29, True), (0.3, False)])
def test_a_box_that_overlaps_a_track_this_much_starts_none(iou: float, starts: bool) -> None:
    seen = facts(3, car(3), matched={("a", 0): iou}, present=["a"])
    assert bool(decided((known("a"),), seen).missing) == starts


def test_a_track_is_named_after_class_frame_and_rank_whatever_was_decided_before() -> None:
    seen = facts(
        7,
        car(7),
        replace(car(7, 0.8, FAR), class_name="bus"),
        car(7, 0.75, FAR),
        matched={("a", 0): 1.0},
        present=["a"],
    )
    assert [one.object_id for one in decided((known("a"),), seen).missing] == ["d#bus-7-0", "d#car-7-1"]


def test_likely_tracks_of_later_frames_are_propagated_with_the_missing_ones() -> None:
    later = facts(4, car(4), car(4, 0.8, FAR))
    missing = decided((), facts(3, car(3)), later).missing
    assert [one.object_id for one in missing] == ["d#car-3-0", "d#car-4-1"]


# -- the hold-back


def held() -> TrackMemory:
    return known("a", is_confirmed=False)


def test_a_track_without_detections_is_dropped_on_the_eighth_frame() -> None:
    alone = [facts(frame, present=["a"]) for frame in range(1, 9)]
    assert decided((held(),), *alone[:7]).dropped == ()
    assert decided((held(),), *alone).dropped == ("a",)


def test_a_track_that_is_absent_is_not_unmatched() -> None:
    gone = [facts(frame) for frame in range(1, 14)]
    decision = decided((held(),), *gone)
    assert decision.dropped == ()
    assert decision.state[0].absent_since == 1


def test_a_track_that_shares_its_detections_with_an_older_one_is_dropped() -> None:
    both = [
        facts(frame, car(frame), matched={("a", 0): 0.9, ("b", 0): 0.8}, present=["a", "b"]) for frame in range(1, 9)
    ]
    assert decided((known("a"), replace(held(), object_id="b")), *both).dropped == ("b",)


def test_a_track_is_kept_for_good_after_fifteen_sampled_frames() -> None:
    seen = [facts(frame, car(frame), matched={("a", 0): 0.9}, present=["a"]) for frame in range(1, 15)]
    decision = decided((held(),), *seen)
    assert decision.state[0].is_confirmed
    lost = [facts(frame, present=["a"]) for frame in range(15, 40)]
    assert decided(decision.state, *lost).dropped == ()


def test_near_the_end_of_the_video_the_limit_is_proportional() -> None:
    alone = [facts(frame, present=["a"]) for frame in (97, 98)]
    late = replace(held(), start_frame=96)
    assert decided((late,), *alone[:1]).dropped == ()
    assert decided((late,), *alone, last=98).dropped == ("a",)


# -- ends


def test_of_two_tracks_with_one_mask_the_one_that_was_absent_more_recently_ends_where_that_began() -> None:
    two = (known("a", last_absent=5), known("b", last_absent=2))
    merged = [facts(frame, present=["a", "b"], merged={("a", "b"): 0.8}) for frame in (10, 11)]
    assert decided(two, *merged).ended == {"a": 9}
    assert decided(two, merged[0]).ended == {}
    apart = facts(11, present=["a", "b"], merged={("a", "b"): 0.2})
    assert decided(two, merged[0], apart).state[0].num_merged == 0


def test_of_two_tracks_that_were_never_absent_the_younger_ends() -> None:
    merged = [facts(frame, present=["a", "b"], merged={("b", "a"): 0.9}) for frame in (10, 11)]
    assert decided((known("a"), known("b", 4)), *merged).ended == {"b": 9}


def test_a_track_ends_after_a_long_absence_and_never_if_that_is_0() -> None:
    gone = [facts(frame) for frame in range(1, 12)]
    assert decided((known("a"),), *gone, rules=DiscoverySettings(every=1, end_after=10)).ended == {"a": 11}
    assert decided((known("a"),), *gone, rules=DiscoverySettings(every=1, end_after=0)).ended == {}


# -- prompting anew


@pytest.mark.parametrize(
    ("score", "iou", "frame", "prompts"),
    [(0.8, 0.8, 16, True), (0.79, 0.8, 16, False), (0.8, 0.79, 16, False), (0.8, 0.8, 15, False)],
)
def test_a_track_is_prompted_anew_where_both_are_sure(score: float, iou: float, frame: int, prompts: bool) -> None:
    border = facts(frame, car(frame, score), matched={("a", 0): iou}, present=["a"])
    decision = decide((known("a"),), [], ["a"], RULES, prefix="d", last_frame=LAST, border=border)
    assert decision.prompted == ({"a": BoxPrompt(frame, BOX)} if prompts else {})
    assert decision.state[0].last_prompt == (frame if prompts else 0)


# -- any video


def discovered(seed: int, window_frames: int, rules: DiscoverySettings, *, guesses: bool) -> list[Decision]:
    """All decisions on a random world, with masks that are computed where a decision lacks them."""
    chance = random.Random(seed)
    num_frames = chance.randint(1, 50)
    world = draw_world(chance, num_frames)
    seen = world.detections("v", num_frames, chance, 0.3).get("v")
    assert seen is not None
    useful = useful_detections(DiscoverPrompt(0), seen.on(range(num_frames)), rules, HEIGHT, WIDTH)
    tracks: dict[str, Track] = {}
    decisions: list[Decision] = []
    for low in range(0, num_frames, window_frames):
        state = decisions[-1].state if decisions else ()
        names = {one.object_id for one in state}
        while True:
            frames = []
            for index in range(low, min(low + window_frames, num_frames)):
                rows = [
                    (name, world.mask_of(tracks[name], index))
                    for name in sorted(names)
                    if started(tracks[name]) <= index
                ]
                masks = [MaskOfTrack(name, mask, 0.9) for name, mask in rows if mask is not None]
                frames.append(facts_of(index, useful.get(index, ()), masks))
            decision = decide(state, frames, names, rules, prefix="d", last_frame=num_frames - 1)
            if not decision.missing:
                break
            for start in decision.missing if guesses else decision.missing[:1]:
                tracks[start.object_id] = track_of(start)
                names.add(start.object_id)
        decisions.append(decision)
    return decisions


def started(track: Track) -> int:
    return track.prompts[0].frame_index


def track_of(start: Start) -> Track:
    return Track(video=Video("v", "v"), object_id=start.object_id, prompts=(start.prompt,))


def found(decisions: Sequence[Decision]) -> list[FoundTrack]:
    return found_tracks(decisions)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 50))
def test_windows_and_guesses_change_no_decision(seed: int, window_frames: int) -> None:
    whole = found(discovered(seed, 50, RULES, guesses=True))
    assert found(discovered(seed, window_frames, RULES, guesses=False)) == whole


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_every_track_goes_on_has_ended_or_was_dropped(seed: int) -> None:
    decisions = discovered(seed, 7, RULES, guesses=True)
    names = [one.object_id for decision in decisions for one in decision.started]
    gone = [name for decision in decisions for name in (*decision.dropped, *decision.ended)]
    goes_on = [one.object_id for one in decisions[-1].state]
    assert sorted(names) == sorted(gone + goes_on)
    assert len(set(names)) == len(names)
    for one in found(decisions):
        assert one.end_frame is None or one.end_frame >= one.prompts[0].frame_index
