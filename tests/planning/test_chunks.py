from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.planning.chunks import (
    first_chunk,
    frames_left,
    frames_to_propagate,
    last_chunk,
    last_frame,
    step,
)
from samurai_batch.planning.chunks import num_steps as num_steps_of
from samurai_batch.tasks import Leg
from tests.planning.builders import track

NUM_FRAMES = 100


@st.composite
def sampled_legs(draw: st.DrawFn) -> Leg:
    """A leg of every n-th frame, which has a prompt where it starts and may have others within its span."""
    leg = draw(legs())
    end = NUM_FRAMES - 1 if leg.end_frame is None else leg.end_frame
    within = st.integers(min(leg.start_frame, end), max(leg.start_frame, end))
    prompts = {leg.start_frame, *draw(st.lists(within, max_size=2))}
    box = track().prompts[0]
    sampling = FrameSampling(every=draw(st.integers(2, 12)))
    prompted = replace(track(), prompts=tuple(replace(box, frame_index=one) for one in prompts), sampling=sampling)
    return replace(leg, track=prompted)


@st.composite
def legs_with_cuts(draw: st.DrawFn) -> Leg:
    """The same, or legs of every frame, in a video with cuts that end tracks."""
    leg = draw(sampled_legs())
    cuts = tuple(sorted(draw(st.sets(st.integers(1, NUM_FRAMES - 1), max_size=8))))
    sampling = FrameSampling(every=draw(st.sampled_from([1, leg.track.sampling.every])), on_cut="end")
    return replace(leg, track=replace(leg.track, sampling=sampling, scene_cuts=cuts))


@given(sampled_legs(), st.integers(1, 10))
def test_with_a_frame_step_no_chunk_of_a_leg_is_empty_and_all_its_frames_are_in_one(leg: Leg, num_steps: int) -> None:
    chunk_frames = num_steps * leg.track.sampling.every
    walked = []
    for chunk in walk(leg, chunk_frames):
        frames = frames_to_propagate([leg], chunk, chunk_frames, NUM_FRAMES)
        covered = [index for index in frames if leg.covers(index)]
        assert covered
        assert (covered[0], covered[-1]) == (frames[0], frames[-1])
        assert frames_left(leg, chunk, chunk_frames, NUM_FRAMES)
        walked += covered
    assert walked == covered_by(leg)
    assert last_frame(leg, NUM_FRAMES) == walked[-1]
    assert num_steps_of(leg, NUM_FRAMES) == len(walked)
    past = walk(leg, chunk_frames)[-1] + step(leg.reverse)
    assert not frames_left(leg, past, chunk_frames, NUM_FRAMES)


@given(legs_with_cuts(), st.integers(1, 10))
def test_where_cuts_end_a_leg_its_chunks_have_the_frames_that_it_covers_and_none_is_left(leg: Leg, steps: int) -> None:
    chunk_frames = steps * leg.track.sampling.every
    walked = []
    for chunk in walk(leg, chunk_frames):
        frames = frames_to_propagate([leg], chunk, chunk_frames, NUM_FRAMES)
        covered = [index for index in frames if leg.covers(index)]
        assert not frames or (covered[0], covered[-1]) == (frames[0], frames[-1])
        assert frames_left(leg, chunk, chunk_frames, NUM_FRAMES)
        walked += covered
    assert walked == covered_by(leg)
    assert walked[0] == leg.start_frame
    assert last_frame(leg, NUM_FRAMES) == walked[-1]
    assert num_steps_of(leg, NUM_FRAMES) == len(walked)
    past = walk(leg, chunk_frames)[-1] + step(leg.reverse)
    assert not frames_left(leg, past, chunk_frames, NUM_FRAMES)


@given(legs_with_cuts())
def test_a_leg_covers_a_frame_if_no_cut_lies_between_it_and_the_last_prompt_before_it(leg: Leg) -> None:
    every, cuts = leg.track.sampling.every, leg.track.scene_cuts or ()
    end = NUM_FRAMES - 1 if leg.end_frame is None else leg.end_frame
    expected, is_ended = [], False
    for index in range(leg.start_frame, end + step(leg.reverse), step(leg.reverse)):
        is_prompted = any(prompt.frame_index == index for prompt in leg.track.prompts)
        is_ended = not is_prompted and (is_ended or (index + 1 if leg.reverse else index) in cuts)
        if not is_ended and (index % every == 0 or is_prompted):
            expected.append(index)
    assert covered_by(leg) == expected


@given(sampled_legs(), st.integers(1, 10))
def test_the_frames_left_are_counted_up_to_the_prompts_between_steps(leg: Leg, num_steps: int) -> None:
    chunk_frames = num_steps * leg.track.sampling.every
    num_left = len(frames_left(leg, first_chunk(leg, chunk_frames), chunk_frames, NUM_FRAMES))
    assert abs(num_left - len(covered_by(leg))) <= len(leg.track.prompts)


@st.composite
def legs(draw: st.DrawFn, reverse: bool | None = None) -> Leg:
    start = draw(st.integers(0, NUM_FRAMES - 1))
    if draw(st.booleans()) if reverse is None else reverse:
        return Leg(
            track=track(), reverse=True, start_frame=start, end_frame=draw(st.integers(0, start)), first_row=start
        )
    end = draw(st.none() | st.integers(start, NUM_FRAMES - 1))
    return Leg(track=track(), reverse=False, start_frame=start, end_frame=end, first_row=start)


def covered_by(leg: Leg) -> list[int]:
    frames = [index for index in range(NUM_FRAMES) if leg.covers(index)]
    return frames[::-1] if leg.reverse else frames


def walk(leg: Leg, chunk_frames: int) -> range:
    last = last_chunk(leg, chunk_frames, NUM_FRAMES)
    assert last is not None
    return range(first_chunk(leg, chunk_frames), last + step(leg.reverse), step(leg.reverse))


@given(legs(), st.integers(1, 120))
def test_the_chunks_of_a_leg_hold_its_frames_once_each_in_walking_order(leg: Leg, chunk_frames: int) -> None:
    walked = [
        index
        for chunk in walk(leg, chunk_frames)
        for index in frames_to_propagate([leg], chunk, chunk_frames, NUM_FRAMES)
    ]
    assert walked == covered_by(leg)


@given(legs(), st.integers(1, 120))
def test_frames_left_are_those_of_the_chunks_not_done(leg: Leg, chunk_frames: int) -> None:
    for position, chunk in enumerate(walk(leg, chunk_frames)):
        rest = walk(leg, chunk_frames)[position:]
        frames = [index for k in rest for index in frames_to_propagate([leg], k, chunk_frames, NUM_FRAMES)]
        assert sorted(frames) == list(frames_left(leg, chunk, chunk_frames, NUM_FRAMES))
    past = walk(leg, chunk_frames)[-1] + step(leg.reverse)
    assert not frames_left(leg, past, chunk_frames, NUM_FRAMES)


@given(st.lists(legs(reverse=False), min_size=1, max_size=4), st.integers(1, 40), st.integers(0, 20))
def test_frames_of_several_legs_reach_from_the_first_to_the_last_that_any_needs(
    group: list[Leg], chunk_frames: int, chunk: int
) -> None:
    inside = range(chunk * chunk_frames, (chunk + 1) * chunk_frames)
    needed = [index for leg in group for index in covered_by(leg) if index in inside]
    expected = range(min(needed), max(needed) + 1) if needed else range(0)
    assert frames_to_propagate(group, chunk, chunk_frames, NUM_FRAMES) == expected


def test_boundaries_are_absolute_whatever_frame_a_leg_starts_on() -> None:
    leg = Leg(track=track(), reverse=False, start_frame=7, end_frame=None, first_row=7)
    assert frames_to_propagate([leg], 0, 10, NUM_FRAMES) == range(7, 10)
    back = Leg(track=track(), reverse=True, start_frame=25, end_frame=3, first_row=25)
    assert frames_to_propagate([back], 2, 10, NUM_FRAMES) == range(25, 19, -1)
    assert frames_to_propagate([back], 0, 10, NUM_FRAMES) == range(9, 2, -1)


def test_an_open_leg_has_no_end_before_its_video_is_opened() -> None:
    leg = Leg(track=track(), reverse=False, start_frame=7, end_frame=None, first_row=7)
    assert last_frame(leg, None) is None
    assert last_chunk(leg, 10, None) is None
    assert last_frame(leg, 12) == 11
