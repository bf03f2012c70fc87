"""When a replica may be started, and when to stop trying: decisions on times that the caller tells.

A start that fails is tried again after 1, 2, 4, … seconds, at most a minute. Replicas that run go on meanwhile, so a
node on which none can start costs an attempt a minute. Where no replica runs, trying ends after three failures in a
row, or after half a minute with two; those that are being built by then are waited for, as their node may be a better
one, and those that still wait for a node have a third of a minute to get one.
"""

from dataclasses import dataclass

FAILURES_IN_A_ROW = 3
"""So many failed starts, and none that went well, end the trying."""

TRYING_S = 30.0
"""After so long without success no further start is tried; one that is under way is waited for."""

WAITING_S = 20.0
"""So long a start that waits for a node may still get one where others have failed."""

LONGEST_PAUSE_S = 60.0


@dataclass
class StartPolicy:
    """Failed starts since the last one that went well. ``reason`` is that of the last failure."""

    num_failed: int = 0
    reason: str = ""
    _trying_since_s: float | None = None
    _failed_at_s: float = 0.0

    def begun(self, now_s: float) -> None:
        """A process stands and builds its replica; waiting for a node before that is no trying."""
        if self._trying_since_s is None:
            self._trying_since_s = now_s

    def succeeded(self) -> None:
        """A replica is at work: what failed before is forgotten."""
        self.num_failed = 0
        self._trying_since_s = None

    def failed(self, now_s: float, reason: str) -> None:
        """A start has failed, or a replica has died before it was given anything to do."""
        self.begun(now_s)
        self.num_failed += 1
        self.reason = reason
        self._failed_at_s = now_s

    def may_start(self, now_s: float, *, num_ready: int) -> bool:
        """Whether another start may be tried now. While ``num_ready`` replicas run, it is only a question of time."""
        if self.num_failed == 0:
            return True
        if num_ready == 0 and self._is_enough(now_s):
            return False
        pause_s = min(2.0 ** min(self.num_failed - 1, 10), LONGEST_PAUSE_S)
        return now_s >= self._failed_at_s + pause_s

    def withdraws(self, now_s: float, *, num_ready: int) -> bool:
        """Whether starts that still wait for a node are to be called off: they would fail like the others."""
        return num_ready == 0 and self._is_enough(now_s) and self._tries_for(now_s) >= WAITING_S

    def gives_up(self, now_s: float, *, num_starting: int, num_ready: int) -> bool:
        """Whether no replica runs or is being started, and no further start is to be tried."""
        return num_ready == 0 and num_starting == 0 and self._is_enough(now_s)

    def _is_enough(self, now_s: float) -> bool:
        if self.num_failed < FAILURES_IN_A_ROW - 1:
            return False
        return self.num_failed >= FAILURES_IN_A_ROW or self._tries_for(now_s) >= TRYING_S

    def _tries_for(self, now_s: float) -> float:
        return 0.0 if self._trying_since_s is None else now_s - self._trying_since_s
