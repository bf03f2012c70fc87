"""In simulated scenarios, the real driver loses no track and publishes none twice (`make simulate` runs more)."""

import logging

import pytest

from tests.simulation.scenario import ASKING_FROM, Scenario

NUM_SEEDS = 300
CHUNK = 50

ONCE_BROKEN = {
    "a driver that slept through another's run wrote its old ledger over the new one": 151,
    "a leg cut by a truncation looked done to the next run, and was published as if the video ended there": 23,
    "what was found on a video that was known to be cut by then was said to be whole": ASKING_FROM + 329,
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


def test_prompts_are_looked_up_and_what_they_find_is_followed_whatever_happens() -> None:
    for seed in range(ASKING_FROM, ASKING_FROM + CHUNK):
        run(seed)


@pytest.mark.parametrize("seed", ONCE_BROKEN.values(), ids=ONCE_BROKEN.keys())
def test_what_the_simulation_has_found_stays_mended(seed: int) -> None:
    run(seed)


def test_a_seed_gives_the_same_scenario_every_time() -> None:
    def story(seed: int) -> list[str]:
        lines: list[str] = []
        Scenario(seed, trace=lines.append).run()
        return lines

    assert story(36) == story(36)
    assert story(36) != story(37)
