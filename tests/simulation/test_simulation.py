"""In simulated scenarios, the real driver loses no track and publishes none twice (`make simulate` runs more)."""

import logging

import pytest

from tests.simulation.scenario import AUTO_PROMPTS_FROM, CARRIED_FROM, DISCOVERIES_FROM, Scenario

NUM_SEEDS = 300
CHUNK = 50

FIXED_BUGS = {
    "a suspended driver overwrote the newer ledger of another run": 151,
    "the next run took a leg cut by a truncation for done, and published it as if the video ended there": 23,
    "detections on a video already known to be truncated were reported as complete": AUTO_PROMPTS_FROM + 329,
}


def run(seed: int) -> None:
    try:
        Scenario(seed).run()
    except Exception as error:
        raise AssertionError(f"replay with: make simulate SEED={seed}") from error


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)


@pytest.mark.parametrize("first", range(0, NUM_SEEDS, CHUNK))
def test_every_track_is_published_once_or_fails_with_a_reason(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run(seed)


def test_detections_of_auto_prompts_are_tracked_despite_faults() -> None:
    for seed in range(AUTO_PROMPTS_FROM, AUTO_PROMPTS_FROM + CHUNK):
        run(seed)


def test_discoveries_give_the_tracks_of_an_undisturbed_run_despite_faults() -> None:
    for seed in range(DISCOVERIES_FROM, DISCOVERIES_FROM + CHUNK):
        run(seed)


def test_tracks_begin_with_the_memories_of_others_after_these_despite_faults() -> None:
    for seed in range(CARRIED_FROM, CARRIED_FROM + 2 * CHUNK):
        run(seed)


@pytest.mark.parametrize("seed", FIXED_BUGS.values(), ids=FIXED_BUGS.keys())
def test_bugs_that_the_simulation_found_stay_fixed(seed: int) -> None:
    run(seed)


def test_a_seed_gives_the_same_scenario_every_time() -> None:
    def events(seed: int) -> list[str]:
        lines: list[str] = []
        Scenario(seed, trace=lines.append).run()
        return lines

    assert events(36) == events(36)
    assert events(36) != events(37)
