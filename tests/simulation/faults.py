"""The faults of a scenario and their likelihoods."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from samurai_batch.errors import PromptError, StateError, StorageError, VideoError
from tests.simulation.stores import Killed, no_answer

ERRORS: tuple[type[Exception], ...] = (
    VideoError,
    PromptError,
    StateError,
    StorageError,
    MemoryError,
    ValueError,
)
"""Errors of propagation, each of another kind for the retry rules."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Probabilities per order unless said otherwise; ``num_driver`` limits the faults of drivers, so that runs end.

    A straggler is a replica that is taken for dead but still writes and answers later.
    """

    death: float = 0.0
    preemption: float = 0.0
    straggler: float = 0.0
    node_loss: float = 0.0
    idle_death: float = 0.0
    failed_start: float = 0.0
    slow: float = 0.0
    double_answer: float = 0.0
    error: float = 0.0
    storage_call: float = 0.0
    driver_call: float = 0.0
    driver_tick: float = 0.0
    poison: float = 0.0
    num_driver: int = 0


CALM = Faults()


def draw_faults(chance: random.Random) -> Faults:
    """One scenario in eight has no faults; the others have some kinds of them, with low or high probabilities."""
    if chance.random() < 1 / 8:
        return CALM
    most = chance.choice([0.02, 0.1, 0.3])

    def some(scale: float = 1.0) -> float:
        return chance.choice([0.0, chance.uniform(0, most)]) * scale

    return Faults(
        death=some(),
        preemption=some(),
        straggler=some(),
        node_loss=some(0.5),
        idle_death=some(0.5),
        failed_start=some(),
        slow=some(),
        double_answer=some(),
        error=some(0.5),
        storage_call=some(0.2),
        driver_call=some(1.5),
        driver_tick=some(0.3),
        poison=chance.choice([0.0, 0.0, 0.1]),
        num_driver=chance.randrange(16),
    )


class ReplicaWeather:
    """Storage faults of a replica, which may die at the n-th change of its order."""

    def __init__(self, chance: random.Random, faults: Faults) -> None:
        self._chance = chance
        self._faults = faults
        self._left: int | None = None
        self._dies_after = False

    def die_at(self, change: int | None, *, after: bool = False) -> None:
        self._left, self._dies_after = change, after

    def before(self, is_change: bool) -> None:
        if is_change and self._left is not None:
            self._left -= 1
            if self._left == 0 and not self._dies_after:
                raise Killed
        self._fail_by_chance()

    def after(self, is_change: bool) -> None:
        if is_change and self._left == 0:
            raise Killed
        self._fail_by_chance()

    def _fail_by_chance(self) -> None:
        if self._chance.random() < self._faults.storage_call / 2:
            raise no_answer()


class DriverWeather:
    """Storage faults of a driver: storage may fail for a while; a dead driver cannot access it at all."""

    def __init__(self, has_trouble: Callable[[], bool], chance: random.Random, elapsed_s: Callable[[], float]) -> None:
        self._has_trouble = has_trouble
        self._chance = chance
        self._elapsed_s = elapsed_s
        self._fails_until_s = 0.0
        self.is_dead = False
        self.has_failed = False

    def before(self, is_change: bool) -> None:
        self._check()

    def after(self, is_change: bool) -> None:
        self._check()

    def die(self) -> None:
        self.is_dead = True
        raise Killed

    def _check(self) -> None:
        if self.is_dead:
            raise Killed
        if self._has_trouble():
            if self._chance.random() < 0.3:
                self.die()
            self.has_failed = True
            self._fails_until_s = self._elapsed_s() + self._chance.choice([0.0, 20.0, 100.0])
            raise no_answer()
        if self._elapsed_s() < self._fails_until_s:
            raise no_answer()
