"""One writer per output: a lease that names the run holding it, kept alive by that run's heartbeat.

``_ledger/runs/_lease.json`` names a run; its record in ``_ledger/runs`` carries the heartbeat. A run that finds
another's fresh heartbeat is refused. One that finds a stale one takes over; should the other wake up, it sees at
its next heartbeat that the lease names somebody else, and stops. Two runs that start within the same moment may
both believe for one heartbeat that they hold the lease; what they write meanwhile is the same, byte for byte.
"""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samurai_batch.errors import OutputLockedError
from samurai_batch.planning.rates import Rates
from samurai_batch.runtime.ledger import (
    LedgerError,
    RunRecord,
    RunStatus,
    Totals,
    read_run,
    run_uri,
    runs_uri,
    write_run,
)
from samurai_batch.runtime.surroundings import Clock, Store
from samurai_batch.storage import join, redact


@dataclass(frozen=True)
class Holder:
    """The process a run lives in; ``process_start`` tells it from a later one of the same number."""

    host: str
    pid: int
    process_start: str


def this_process() -> Holder:
    """The process we are."""
    return Holder(socket.gethostname(), os.getpid(), _process_start(os.getpid()))


def is_gone(holder: Holder) -> bool:
    """Whether a process has certainly ended; of one on another machine nobody here is certain."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and is somebody else's
    return _process_start(holder.pid) != holder.process_start


def _process_start(pid: int) -> str:
    """When a process began, in ticks since boot; "" where the system does not tell it (only Linux does)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19]


class Lease:
    """The right to write to one output, from `acquire` to `release`."""

    def __init__(
        self,
        store: Store,
        output: str,
        clock: Clock,
        *,
        stale_after_s: float,
        is_gone: Callable[[Holder], bool] = is_gone,
    ) -> None:
        self._store = store
        self._output = output
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._is_gone = is_gone
        self._record: RunRecord | None = None

    @property
    def record(self) -> RunRecord:
        """The run that holds the lease: ours."""
        assert self._record is not None, "acquire comes first"
        return self._record

    def acquire(self, run_id: str, holder: Holder, config: dict[str, Any], versions: dict[str, str]) -> None:
        """Take the lease and write the run's record. Raises OutputLockedError if another run is alive."""
        self._refuse_if_held()
        now_s = self._clock.now_s()
        self._record = RunRecord(
            run_id=run_id,
            status="running",
            host=holder.host,
            pid=holder.pid,
            process_start=holder.process_start,
            started_at_s=now_s,
            heartbeat_at_s=now_s,
            config=config,
            versions=versions,
        )
        write_run(self._store, self._output, self._record)
        self._store.write_bytes(self._uri, json.dumps({"run_id": run_id}).encode())
        self._check_ours()

    def beat(self, totals: Totals, rates: Rates) -> None:
        """Show life. Raises OutputLockedError if another run has taken over."""
        self._check_ours()
        self._write("running", totals, rates)

    def release(self, status: RunStatus, totals: Totals, rates: Rates | None) -> None:
        """Give the lease back, with the run's last word."""
        self._write(status, totals, rates)

    @property
    def _uri(self) -> str:
        return join(runs_uri(self._output), "_lease.json")

    def _write(self, status: RunStatus, totals: Totals, rates: Rates | None) -> None:
        self._record = replace(
            self.record, status=status, totals=totals, rates=rates, heartbeat_at_s=self._clock.now_s()
        )
        write_run(self._store, self._output, self._record)

    def _holder_id(self) -> str | None:
        try:
            data = self._store.read_bytes(self._uri)
        except FileNotFoundError:
            return None
        try:
            return str(json.loads(data)["run_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{redact(self._uri)}: damaged lease; delete it if no other run is writing to this output"
            ) from error

    def _refuse_if_held(self) -> None:
        run_id = self._holder_id()
        other = read_run(self._store, run_uri(self._output, run_id)) if run_id else None
        if other is None or other.status != "running":
            return
        age_s = self._clock.now_s() - other.heartbeat_at_s
        if age_s > self._stale_after_s or self._is_gone(Holder(other.host, other.pid, other.process_start)):
            return
        raise OutputLockedError(
            f"{redact(self._output)}: run {other.run_id} (process {other.pid} on {other.host}) is writing here and "
            f"showed life {max(age_s, 0):.0f} s ago; stop it, wait {self._stale_after_s:.0f} s after it has ended, "
            "or use another output folder"
        )

    def _check_ours(self) -> None:
        run_id = self._holder_id()
        if run_id != self.record.run_id:
            raise OutputLockedError(
                f"{redact(self._output)}: run {run_id} has taken this output over from {self.record.run_id}, "
                "which showed no life for too long; leave the output to it"
            )
