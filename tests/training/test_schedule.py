"""Stages of a training and the learning rate over them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.training.schedule import Progress, RateSchedule, Stage, TrainingSettings, progress_at
from tests.training.networks import BATCHES, STAGES


def test_progress_names_the_stage_and_how_much_of_it_is_over() -> None:
    begin, later = progress_at(STAGES, 0.0), progress_at(STAGES, 2.5)
    assert begin is not None
    assert (begin.stage, begin.share) == (0, 0.0)
    assert later is not None
    assert (later.stage, later.stage_share, later.share) == (1, 0.5, 0.625)
    assert STAGES[1].teacher_forcing_at(later.stage_share) == 0.75
    assert progress_at(STAGES, 4.0) is None


@given(st.integers(0, 1000), st.floats(0, 1))
def test_the_rate_rises_then_falls_and_never_leaves_its_bounds(step: int, share: float) -> None:
    rates = RateSchedule(0, 0.0, TrainingSettings(warmup_steps=50, decay_from=0.5))
    assert 0 < rates.factor(STAGES[0], Progress(0, 0.0, share), step, 0.0) <= 1
    assert rates.factor(STAGES[0], Progress(0, 0.0, 1.0), 1000, 0.0) == pytest.approx(0.02)


def test_a_stage_of_constant_rate_keeps_it_until_it_is_told_to_cool_down() -> None:
    constant = Stage(name="s", minutes=100, batches=BATCHES, rate_factor=0.5, constant_rate=True)
    now = progress_at([constant], 90.0)
    assert now is not None
    resumed = RateSchedule(1000, 80.0, TrainingSettings(warmup_steps=40))
    assert [resumed.factor(constant, now, step, 90.0) for step in (1000, 1039, 5000)] == [0.5 / 40, 0.5, 0.5]
    assert resumed.cooled_down(99.0) == 0
    ending = RateSchedule(1000, 80.0, TrainingSettings(cooldown_minutes=10.0))
    assert [ending.factor(constant, now, 1000, minute) for minute in (80.0, 85.0, 90.0)] == pytest.approx(
        [0.5, 0.255, 0.01]
    )
    assert ending.cooled_down(90.0) == 1
