"""A tracker that is not in the package works as one that is: together, saved, in chunks."""

import inspect

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from tests.deterministic import small_model
from tests.tracking import toy_tracker
from tests.tracking.scripts import EIGHT, are_the_same, assert_close, features, play, steps
from tests.tracking.toy_tracker import LargestArea, ToySettings, combine


def make_toy() -> Tracker:
    settings = ToySettings(mode="sam2", toy_stride=2)
    return Tracker(small_model(), settings, rules=combine(settings))


def test_it_is_one_short_file_with_checked_settings() -> None:
    assert len(inspect.getsource(toy_tracker).splitlines()) < 150
    with pytest.raises(ConfigError, match=r"^tracker.toy_stride is 0: it should be greater than or equal to 1"):
        ToySettings(toy_stride=0)


def test_tracks_together_are_those_of_each_alone() -> None:
    tracker = make_toy()
    video = features(tracker.model)[:12]
    for script, found in zip(EIGHT, play(tracker, EIGHT, video), strict=True):
        (alone,) = play(tracker, [script], video)
        for frame_index, result in found.items():
            assert_close(result, alone[frame_index])


def test_its_state_is_saved_with_the_track() -> None:
    tracker = make_toy()
    video = features(tracker.model)
    (expected,) = play(tracker, EIGHT[:1], video)
    data = EIGHT[0].state().to_bytes()
    for index, seen in enumerate(video):
        state = TrackState.from_bytes(data)
        (result,) = tracker.step(seen, [TrackInput(state, EIGHT[0].prompts.get(index))])
        assert are_the_same(result, expected[index])
        data = state.to_bytes()
    (*_, (_, _, _, last)) = steps(tracker, EIGHT[:1], video)
    assert last.note(LargestArea).num_promoted == 2
    assert TrackState.from_bytes(data).note(LargestArea) == last.note(LargestArea)
