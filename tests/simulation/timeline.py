"""Simulated time: the clock jumps from one planned event to the next."""

import heapq
from collections.abc import Callable
from itertools import count

START_S = 1_700_000_000.0


class Timeline:
    """A clock with planned events. Events of the same time happen in the order in which they were planned."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def now_s(self) -> float:
        return START_S + self._elapsed_s

    def elapsed_s(self) -> float:
        return self._elapsed_s

    def plan(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._planned, (self._elapsed_s + delay_s, next(self._numbers), action))

    def advance(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let at most ``seconds`` pass, less if ``until`` comes true."""
        end_s = self._elapsed_s + seconds
        while not until():
            if not self._planned or self._planned[0][0] > end_s:
                self._elapsed_s = end_s
                return
            self._elapsed_s, _, action = heapq.heappop(self._planned)
            action()
