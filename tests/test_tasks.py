"""Tracks and their legs: every frame of a span once, whichever way it is followed."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.errors import PromptError
from samurai_batch.prompts import BoxPrompt, EverythingPrompt, MaskPrompt, PointsPrompt, Rle, TextPrompt
from samurai_batch.rle import encode_mask
from samurai_batch.tasks import Direction, Leg, Track, Video, check_distinct, possible_prompts

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


NAN = float("nan")
BOX = BoxPrompt(4, (0, 0, 5, 5))
MASK = MaskPrompt(4, Rle(2, 2, "04"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: BoxPrompt(-1, (0, 0, 5, 5)), "frame_index is -1: it should not be negative"),
        (lambda: BoxPrompt(1.5, (0, 0, 5, 5)), "frame_index is 1.5: it should be a whole number"),  # type: ignore[arg-type]
        (lambda: BoxPrompt(True, (0, 0, 5, 5)), "frame_index is True: it should be a whole number"),
        (lambda: BoxPrompt(2**31, (0, 0, 5, 5)), "it should be at most 2147483647"),
        (
            lambda: BoxPrompt(7, (0, 0, NAN, 5)),
            r"box_xyxy on frame 7 is \(0, 0, nan, 5\): it should hold",
        ),
        (lambda: BoxPrompt(0, (0, 0, float("inf"), 5)), "it should hold finite numbers"),
        (lambda: BoxPrompt(0, (5, 0, 0, 5)), "x2 should be greater than x1, and y2 than y1; give the corners"),
        (lambda: BoxPrompt(0, (0, 5, 5, 5)), "x2 should be greater than x1, and y2 than y1"),
        (lambda: BoxPrompt(0, (0, 0, 5)), "it should be four numbers"),  # type: ignore[arg-type]
        (lambda: BoxPrompt(0, "0,0,5,5"), "it should be four numbers"),  # type: ignore[arg-type]
        (lambda: BoxPrompt(0, None), "it should be four numbers"),  # type: ignore[arg-type]
        (lambda: PointsPrompt(0, (), ()), "it should be a list of points"),
        (lambda: PointsPrompt(0, (1.0, 2.0), (1,)), "it should be a list of points"),  # type: ignore[arg-type]
        (lambda: PointsPrompt(0, ((1, NAN),), (1,)), "it should hold finite numbers"),
        (lambda: PointsPrompt(3, ((1, 2),), (1, 0)), r"2 label\(s\) for 1 point\(s\) on frame 3; give one label"),
        (
            lambda: PointsPrompt(0, ((1, 2),), (2,)),
            r"labels on frame 0 is \(2,\): it should be a list",
        ),
        (lambda: PointsPrompt(0, ((1, 2),), 1), "labels on frame 0 is 1"),  # type: ignore[arg-type]
        (lambda: MaskPrompt(0, np.ones((2, 2), bool)), "mask on frame 0 is of type ndarray: give encode_mask"),  # type: ignore[arg-type]
        (lambda: MaskPrompt(0, encode_mask(np.zeros((2, 2), bool))), "mask on frame 0 is empty: give encode_mask"),  # type: ignore[arg-type]
        (lambda: TextPrompt(2, "  "), "text on frame 2 is '  ': it should not be blank"),
        (lambda: EverythingPrompt(-2), "frame_index is -2"),
        (lambda: Video("", "v.mp4"), "video_id is '': it should not be empty"),
        (lambda: Video("v", ""), "uri of video 'v' is '': it should not be empty"),
        (lambda: Video("v\0", "v.mp4"), "a character that cannot be stored"),
        (lambda: Video("\ud800", "v.mp4"), "a character that cannot be stored"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_where_it_is_made(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        make()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompts": ()}, "it has no prompt; give at least one"),
        ({"prompts": BOX}, "prompts is a BoxPrompt: it should be a tuple"),
        ({"prompts": (BOX, "a dog")}, "'a dog' is not a prompt"),
        ({"direction": "sideways"}, "direction is 'sideways': known are forward, backward, both"),
        ({"direction": "backwards"}, "direction is 'backwards': did you mean backward?"),
        ({"start_frame": -1}, "start_frame is -1: it should not be negative"),
        ({"start_frame": 9, "end_frame": 8}, "end_frame 8 is before start_frame 9; exchange them"),
        ({"start_frame": 5}, "the prompt on frame 4 is outside the frames of its track, 5 to the last"),
        ({"end_frame": 3}, "the prompt on frame 4 is outside the frames of its track, 0 to 3"),
        ({"prompts": (BOX, BoxPrompt(4, (1, 1, 9, 9)))}, "frame 4 has 2 boxes; keep one"),
        ({"prompts": (MASK, BOX)}, "frame 4 has a mask and other prompts"),
        ({"prompts": (TextPrompt(4, "a dog"), BOX)}, "a text or everything prompt detects several objects"),
        ({"prompts": (PointsPrompt(4, ((1, 2),), (0,)),)}, "frame 4 has only negative points"),
    ],
)
def test_a_track_that_makes_no_sense_is_named(changes: dict[str, Any], reason: str) -> None:
    fields: dict[str, Any] = {"video": VIDEO, "object_id": "x", "prompts": (BOX,), **changes}
    with pytest.raises(PromptError, match=f"video 'v', object 'x': {reason}"):
        Track(**fields)


@pytest.mark.parametrize(("field", "value"), [("object_id", ""), ("object_id", 1), ("video", "v.mp4")])
def test_a_track_needs_a_name_and_a_video(field: str, value: object) -> None:
    fields: dict[str, Any] = {"video": VIDEO, "object_id": "x", "prompts": (BOX,), field: value}
    with pytest.raises(PromptError, match=f"{field} is "):
        Track(**fields)


def test_arrays_and_lists_become_plain_values() -> None:
    box = BoxPrompt(np.int64(3), np.array([1.5, 2, 3, 4], np.float32))  # type: ignore[arg-type]
    assert box == BoxPrompt(3, (1.5, 2.0, 3.0, 4.0))
    assert {type(value) for value in (box.frame_index, *box.box_xyxy)} == {int, float}
    points = PointsPrompt(0, np.array([[1, 2], [3, 4]]), [np.int64(1), False])  # type: ignore[arg-type]
    assert points == PointsPrompt(0, ((1, 2), (3, 4)), (1, 0))
    assert [type(label) for label in points.labels] == [int, int]
    assert Video("v", Path("folder") / "v.mp4") == Video("v", "folder/v.mp4")  # type: ignore[arg-type]
    assert track([4], "forward") == Track(video=VIDEO, object_id="x", prompts=[BOX])  # type: ignore[arg-type]


def test_whole_numbers_stay_whole_because_fingerprints_distinguish_them() -> None:
    assert [type(value) for value in BoxPrompt(0, (0, 1, 5, 5.5)).box_xyxy] == [int, int, int, float]


def test_a_detected_object_names_each_prompt_that_may_have_found_it() -> None:
    assert possible_prompts(("v", "x")) == []
    assert possible_prompts(("v", "x#0")) == [("v", "x")]
    assert possible_prompts(("v", "x#no. #1-10-0")) == [("v", "x"), ("v", "x#no. ")]


def test_tracks_of_one_name_and_videos_of_two_places_are_refused() -> None:
    one = track([4], "forward")
    with pytest.raises(PromptError, match="video 'v', object 'x': there are two tracks of that name"):
        check_distinct([one, track([5], "both")])
    elsewhere = Track(video=Video("v", "w.mp4"), object_id="y", prompts=(BOX,))
    with pytest.raises(PromptError, match="video 'v' has two URIs"):
        check_distinct([one, elsewhere])
    check_distinct([one, Track(video=Video("w", "w.mp4"), object_id="x", prompts=(BOX,))])
