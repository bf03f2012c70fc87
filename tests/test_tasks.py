"""Tracks and their legs: every frame of a span once, whichever way it is followed."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.tasks import BoxPrompt, Direction, Leg, Track, Video

VIDEO = Video("v", "v.mp4")
LAST = 30


def track(frames: list[int], direction: Direction, start: int | None = None, end: int | None = None) -> Track:
    prompts = tuple(BoxPrompt(frame, (0, 0, 5, 5)) for frame in frames)
    return Track(video=VIDEO, object_id="x", prompts=prompts, start_frame=start, end_frame=end, direction=direction)


def written(leg: Leg) -> list[int]:
    return [frame for frame in range(LAST + 1) if leg.writes(frame)]


@pytest.mark.parametrize(
    ("direction", "legs"),
    [
        ("forward", [range(4, 21)]),
        ("backward", [range(2, 10)]),
        ("both", [range(4, 21), range(2, 4)]),
    ],
)
def test_legs_begin_on_a_prompted_frame_and_end_where_the_span_does(direction: Direction, legs: list[range]) -> None:
    found = track([9, 4], direction, start=2, end=20).legs
    assert [written(leg) for leg in found] == [list(rows) for rows in legs]


@settings(deadline=None)
@given(
    frames=st.lists(st.integers(3, 20), min_size=1, max_size=4),
    start=st.none() | st.integers(0, 3),
    end=st.none() | st.integers(20, LAST),
)
def test_going_both_ways_writes_every_frame_of_the_span_once(
    frames: list[int], start: int | None, end: int | None
) -> None:
    forward, backward = track(frames, "both", start, end).legs
    last = LAST if end is None else end
    assert sorted(written(forward) + written(backward)) == list(range(start or 0, last + 1))
    assert backward.covers(min(frames))
    assert not backward.writes(min(frames))


@settings(deadline=None)
@given(frames=st.lists(st.integers(3, 20), min_size=1, max_size=4), direction=st.sampled_from(["forward", "backward"]))
def test_going_one_way_covers_every_prompted_frame(frames: list[int], direction: Direction) -> None:
    (leg,) = track(frames, direction).legs
    assert leg.reverse == (direction == "backward")
    assert all(leg.writes(frame) for frame in frames)
    assert leg.start_frame in frames


def test_tracks_are_values() -> None:
    one = track([4], "both")
    assert one == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))  # noqa: S301
    assert hash(one) == hash(track([4], "both"))
