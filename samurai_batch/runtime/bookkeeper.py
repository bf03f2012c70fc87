"""What a run owes to storage while it goes on: signs of life, outcomes, and the removal of what nobody needs.

Storage may fail for a while. Then all of it is kept and tried again, less and less often; the run ends with the error
once it could show no life for so long that another run may take its output.
"""

from collections.abc import Callable

from samurai_batch.errors import StorageError
from samurai_batch.planning.rates import Rates
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.environment import Clock
from samurai_batch.runtime.lease import Lease
from samurai_batch.runtime.ledger import Totals
from samurai_batch.runtime.recorder import LedgerWriter
from samurai_batch.runtime.settings import DriverSettings

logger = get_logger(__name__)


class Heartbeat:
    """Shows life when it is time to, also where a loop over much else calls `beat` often."""

    def __init__(self, lease: Lease, clock: Clock, every_s: float) -> None:
        self._lease = lease
        self._clock = clock
        self._every_s = every_s
        self._next_s = clock.elapsed_s() + every_s
        self.told: tuple[Totals, Rates | None] = (Totals(), None)
        """What the run's record is to say of it."""

    def beat(self) -> None:
        """Show life if it is time. Raises OutputLockedError if another run has taken over, and StorageError."""
        if self._clock.elapsed_s() >= self._next_s:
            self.beat_now()

    def beat_now(self) -> None:
        """Show life. Raises OutputLockedError if another run has taken over, and StorageError."""
        self._lease.beat(*self.told)
        self._next_s = self._clock.elapsed_s() + self._every_s


class Bookkeeper:
    """Writes down what a recorder holds, first making sure that no other run has done more while we slept."""

    def __init__(self, recorder: LedgerWriter, heartbeat: Heartbeat, clock: Clock, settings: DriverSettings) -> None:
        self._ledger_writer = recorder
        self._heartbeat = heartbeat
        self._clock = clock
        self._every_s = settings.heartbeat_s
        self._patience_s = settings.stale_after_s
        self._well_s = clock.elapsed_s()
        self._next_s = self._well_s + self._every_s
        self._num_failures = 0

    @property
    def is_done(self) -> bool:
        """Whether storage knows all that has been decided."""
        return not self._ledger_writer.has_news

    def keep_up(self, *, is_urgent: bool = False) -> bool:
        """Write down what is new if it is time, or at once if it is urgent; whether storage then knows it all.

        Raises OutputLockedError if another run has taken over, and StorageError if storage has failed for too long.
        """
        is_due = self._clock.elapsed_s() >= self._next_s
        if is_due or (is_urgent and not self._num_failures):
            self._try(self.write)
        return self.is_done

    def tidy(self) -> bool:
        """Remove saved work that nobody may go on from; whether there is none left. Raises StorageError, as above."""
        if self._ledger_writer.has_invalidated and (not self._num_failures or self._clock.elapsed_s() >= self._next_s):
            self._try(self._ledger_writer.remove_invalidated)
        return not self._ledger_writer.has_invalidated

    def write(self) -> None:
        """Write down what is new. Raises OutputLockedError and StorageError."""
        self._heartbeat.beat_now()
        self._ledger_writer.flush()

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except StorageError as error:
            now_s = self._clock.elapsed_s()
            if now_s - self._well_s > self._patience_s:
                raise
            self._next_s = now_s + min(self._every_s * 2**self._num_failures, self._patience_s / 4)
            self._num_failures += 1
            logger.warning("storage fails, trying again in %.0f s: %s", self._next_s - now_s, error)
        else:
            self._well_s = self._clock.elapsed_s()
            self._next_s = self._well_s + self._every_s
            self._num_failures = 0
