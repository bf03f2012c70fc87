"""SAMURAI's choice among candidates: young, watched, trusted, and back to the start."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.geometry import box_iou
from samurai_batch.prompts import Box
from samurai_batch.tracking import kalman
from samurai_batch.tracking.mask_choice import EMPTY_BOX, Motion, choose_by_motion, choose_by_score
from samurai_batch.tracking.settings import TrackerSettings

SETTINGS = TrackerSettings(kf_score_weight=0.25, stable_frames_threshold=3)
HERE: Box = (10.0, 10.0, 30.0, 40.0)
FAR: Box = (70.0, 70.0, 90.0, 95.0)
THREE = (FAR, HERE, EMPTY_BOX)


def motion(stable: int, box: Box = HERE) -> Motion:
    return Motion(kalman.initiate(box, "xyah"), stable)


@pytest.mark.parametrize("start", [Motion(), motion(0), Motion(None, 9)])
def test_a_motion_model_that_has_no_state_starts_on_the_best_scored_candidate(start: Motion) -> None:
    choice = choose_by_motion([0.1, 0.9, 0.5], THREE, start, SETTINGS)
    assert (choice.index, choice.motion_score, choice.predicted_box) == (1, None, None)
    assert choice.motion.stable == 1
    assert choice.motion.filter is not None
    np.testing.assert_array_equal(choice.motion.filter.mean, kalman.initiate(HERE, "xyah").mean)


def test_the_first_frame_ignores_the_scores_of_candidates() -> None:
    choice = choose_by_motion([0.0, 0.0, 0.01], THREE, Motion(), SETTINGS)
    assert (choice.index, choice.motion.stable) == (2, 1)


def test_a_young_motion_model_watches_and_has_no_say() -> None:
    before = motion(2)
    choice = choose_by_motion([0.9, 0.8, 0.1], THREE, before, SETTINGS)
    assert (choice.index, choice.motion_score, choice.motion.stable) == (0, None, 3)
    assert before.filter is not None
    assert choice.motion.filter is not None
    expected = kalman.update(kalman.predict(before.filter, "xyah"), FAR, "xyah")
    np.testing.assert_array_equal(choice.motion.filter.mean, expected.mean)


@pytest.mark.parametrize(("score", "stable"), [(0.3, 0), (0.29, 0), (0.31, 2)])
def test_a_young_motion_model_starts_again_unless_the_score_exceeds_the_threshold(score: float, stable: int) -> None:
    before = motion(1)
    choice = choose_by_motion([score, 0.1, 0.1], THREE, before, SETTINGS)
    assert choice.motion.stable == stable
    if stable == 0:
        assert before.filter is not None
        assert choice.motion.filter is not None
        np.testing.assert_array_equal(choice.motion.filter.mean, kalman.predict(before.filter, "xyah").mean)


def test_a_trusted_motion_model_overrules_a_slightly_better_score() -> None:
    choice = choose_by_motion([0.9, 0.8, 0.1], THREE, motion(3), SETTINGS)
    assert choice.index == 1
    assert choice.motion_score == pytest.approx(1.0)
    assert choice.motion.stable == 3  # it does not grow any further


def test_a_trusted_motion_model_does_not_overrule_a_much_better_score() -> None:
    choice = choose_by_motion([0.9, 0.5, 0.1], THREE, motion(3), SETTINGS)
    assert (choice.index, choice.motion_score) == (0, 0.0)


@pytest.mark.parametrize(("score", "stable"), [(0.3, 15), (0.2999, 0)])
def test_a_trusted_motion_model_starts_again_below_the_threshold(score: float, stable: int) -> None:
    choice = choose_by_motion([0.0, score, 0.0], THREE, motion(15), SETTINGS)
    assert choice.index == 1
    assert choice.motion_score is not None
    assert choice.motion.stable == stable


def test_an_empty_candidate_has_no_motion_score_even_where_the_prediction_is_its_box() -> None:
    tiny = motion(3, (0.0, 0.0, 1.0, 1.0))
    choice = choose_by_motion([0.5, 0.4], (EMPTY_BOX, FAR), tiny, SETTINGS)
    assert (choice.index, choice.motion_score) == (0, 0.0)


@pytest.mark.parametrize("form", ["xyah", "xywh"])
def test_an_object_that_is_absent_for_long_breaks_nothing(form: kalman.Form) -> None:
    chosen = replace(SETTINGS, motion_state=form)
    state = Motion()
    for score in (0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9):
        state = choose_by_motion([score, 0.0, 0.0], (EMPTY_BOX,) * 3, state, chosen).motion
    choice = choose_by_motion([0.1, 0.9, 0.2], THREE, state, chosen)
    assert choice.motion.filter is not None
    assert np.isfinite(choice.motion.filter.mean).all()


def test_the_first_of_equals_is_chosen_in_every_phase() -> None:
    for stable in (0, 1, 3):
        assert choose_by_motion([0.5, 0.5, 0.5], (HERE,) * 3, motion(stable), SETTINGS).index == 0
    assert choose_by_score([0.5, 0.7, 0.7], Motion()).index == 1


def test_plain_sam2_leaves_the_motion_model_alone() -> None:
    before = motion(7)
    choice = choose_by_score([0.1, 0.2, 0.9], before)
    assert (choice.index, choice.motion_score, choice.predicted_box) == (2, None, None)
    assert choice.motion is before


scores = st.floats(0, 1).map(lambda value: round(value, 3))


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(scores, scores, scores), min_size=1, max_size=30))
def test_phases_change_as_the_rules_say(rows: list[tuple[float, float, float]]) -> None:
    state, seen = Motion(), [0]
    for row in rows:
        before = state
        choice = choose_by_motion(row, THREE, before, SETTINGS)
        state = choice.motion
        seen.append(state.stable)
        assert (choice.motion_score is not None) == (before.stable >= SETTINGS.stable_frames_threshold)
        assert (choice.predicted_box is not None) == (before.stable > 0)
        if choice.motion_score is None:
            assert row[choice.index] == max(row)
        else:
            assert choice.predicted_box is not None
            motions = [0.0 if box == EMPTY_BOX else box_iou(choice.predicted_box, box) for box in THREE]
            totals = [0.25 * m + 0.75 * s for m, s in zip(motions, row, strict=True)]
            assert totals[choice.index] == max(totals)
            assert choice.motion_score == motions[choice.index]
    assert all(b in (0, a, a + 1) for a, b in pairwise(seen))
    assert max(seen) <= SETTINGS.stable_frames_threshold
