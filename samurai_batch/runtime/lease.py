"""One writer per output: a lease that names the run holding it, kept alive by that run's heartbeat.

``_ledger/lease/<number>.json`` names a run, the highest number counts; the run's record in ``_ledger/runs`` carries
the heartbeat. A run that finds another's fresh heartbeat is refused. One that finds a stale one takes the next
number; should the other wake up, it sees at its next heartbeat that there is a higher one, and stops. A number is
created only where there is none, by a conditional put: of two runs that start within the same moment one gets it.
Where storage has no conditional put (see `storage.create_bytes`), both may believe for one heartbeat that they hold
the lease; what they write meanwhile is the same, byte for byte.
"""

import json
import os
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from samurai_batch.errors import LedgerError, OutputLockedError, StorageError
from samurai_batch.planning.rates import Rates
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.environment import Clock, Store
from samurai_batch.runtime.ledger import (
    RunRecord,
    RunStatus,
    Totals,
    ledger_uri,
    read_run,
    run_uri,
    write_run,
)
from samurai_batch.storage import join, redact

logger = get_logger(__name__)

WATCH_EVERY_S = 5.0


def boot_id() -> str:
    """Which start of the machine's kernel it is; "" where the system does not tell it (only Linux does)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The space that our process numbers are counted in: a container's own, mostly; "" as above."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@dataclass(frozen=True)
class Holder:
    """The process a run lives in; ``process_start`` tells it from a later one of the same number.

    Two containers may share a host's name: ``boot_id`` and ``pid_namespace`` tell whether a number means the same.
    """

    host: str
    pid: int
    process_start: str
    boot_id: str = field(default_factory=boot_id)
    pid_namespace: str = field(default_factory=pid_namespace)


def this_process() -> Holder:
    """The process we are."""
    return Holder(socket.gethostname(), os.getpid(), _process_state(os.getpid())[1])


def is_gone(holder: Holder) -> bool:
    """Whether a process has certainly ended; of one in another container, or on another machine, nobody is certain."""
    if (holder.host, holder.boot_id, holder.pid_namespace) != (socket.gethostname(), boot_id(), pid_namespace()):
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and is somebody else's
    state, start = _process_state(holder.pid)
    return state in ("Z", "X") or bool(start and start != holder.process_start)


def _process_state(pid: int) -> tuple[str, str]:
    """What a process does ("Z": it has ended, and nobody has asked how) and when it began, in ticks since boot.

    "" and "" where the system does not tell it: only Linux does, and not of everybody's processes.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._output = output
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._is_gone = is_gone
        self._sleep = sleep
        self._record: RunRecord | None = None
        self._number = 0

    @property
    def record(self) -> RunRecord:
        """The run that holds the lease: ours."""
        assert self._record is not None, "acquire comes first"
        return self._record

    def acquire(self, run_id: str, holder: Holder, config: dict[str, Any], versions: dict[str, str]) -> None:
        """Take the lease and write the run's record. Raises OutputLockedError if another run is alive."""
        names = self._names()
        self._refuse_if_held(names)
        now_s = self._clock.now_s()
        self._record = RunRecord(
            run_id=run_id,
            status="running",
            host=holder.host,
            pid=holder.pid,
            process_start=holder.process_start,
            boot_id=holder.boot_id,
            pid_namespace=holder.pid_namespace,
            started_at_s=now_s,
            heartbeat_at_s=now_s,
            config=config,
            versions=versions,
        )
        write_run(self._store, self._output, self._record)
        self._number = _number_of(names[-1]) + 1 if names else 1
        self._take(run_id)
        for name in names:
            self._store.delete(self._uri_of(name))

    def _take(self, run_id: str) -> None:
        """Create the lease. The record of a run that does not get it would say "running" for good."""
        lease = json.dumps({"run_id": run_id}).encode()
        try:
            is_ours = self._store.create_bytes(self._uri_of(_name_of(self._number)), lease)
        except StorageError:  # it may be ours all the same
            with suppress(StorageError):
                self._write("crashed", Totals(), None)
            raise
        if not is_ours:
            self._store.delete(run_uri(self._output, run_id))
            raise self._taken("in the same moment")

    def beat(self, totals: Totals, rates: Rates | None) -> None:
        """Show life. Raises OutputLockedError if another run has taken over."""
        self._check_ours()
        self._write("running", totals, rates)

    def release(self, status: RunStatus, totals: Totals, rates: Rates | None) -> None:
        """Give the lease back, with the run's last word."""
        self._write(status, totals, rates)

    def _uri_of(self, name: str) -> str:
        return join(lease_uri(self._output), name)

    def _names(self) -> list[str]:
        """The leases that stand, the one that counts last; more than one only while a run takes over."""
        return [name for name in self._store.list_names(lease_uri(self._output)) if _NAME.fullmatch(name)]

    def _write(self, status: RunStatus, totals: Totals, rates: Rates | None) -> None:
        self._record = replace(
            self.record, status=status, totals=totals, rates=rates, heartbeat_at_s=self._clock.now_s()
        )
        write_run(self._store, self._output, self._record)

    def _holder_id(self, name: str) -> str:
        uri = self._uri_of(name)
        data = self._store.read_bytes(uri)
        if not data:  # where a file system has no hard links, a lease is created empty and then written
            raise OutputLockedError(
                f"{redact(uri)}: another run takes this output at this moment; leave the output to it, or delete this "
                "empty lease if no other run is writing here"
            )
        try:
            return str(json.loads(data)["run_id"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LedgerError(
                f"{redact(uri)}: damaged lease; delete it if no other run is writing to this output"
            ) from error

    def _refuse_if_held(self, names: list[str]) -> None:
        try:
            run_id = self._holder_id(names[-1]) if names else None
        except FileNotFoundError as error:
            raise self._taken("just now") from error
        other = read_run(self._store, run_uri(self._output, run_id)) if run_id else None
        if other is not None and self._is_alive(other):
            age_s = self._clock.now_s() - other.heartbeat_at_s
            raise OutputLockedError(
                f"{redact(self._output)}: run {other.run_id} (process {other.pid} on {other.host}) is writing here and "
                f"showed life {max(age_s, 0):.0f} s ago; stop it, wait {self._stale_after_s:.0f} s after it has ended, "
                "or use another output folder"
            )

    def _is_alive(self, other: RunRecord) -> bool:
        """Whether a run shows life. A heartbeat far ahead of our clock says nothing: then it is watched for a while."""
        if other.status != "running" or self._is_gone(
            Holder(other.host, other.pid, other.process_start, other.boot_id, other.pid_namespace)
        ):
            return False
        age_s = self._clock.now_s() - other.heartbeat_at_s
        if age_s < -self._stale_after_s:
            return self._has_beaten(other)
        return age_s <= self._stale_after_s

    def _has_beaten(self, other: RunRecord) -> bool:
        """Whether a run's record changes while we look at it, for as long as a run may be silent."""
        logger.warning(
            "run %s says that it showed life in the future: its machine's clock, or ours, is wrong; watching it for "
            "%.0f s to see whether it lives",
            other.run_id,
            self._stale_after_s,
        )
        until_s = self._clock.elapsed_s() + self._stale_after_s
        while self._clock.elapsed_s() <= until_s:
            self._sleep(min(WATCH_EVERY_S, self._stale_after_s))
            if read_run(self._store, run_uri(self._output, other.run_id)) != other:
                return True
        return False

    def _check_ours(self) -> None:
        names = self._names()
        if not names or _number_of(names[-1]) != self._number:
            by = f"run {self._holder_id(names[-1])}" if names else "somebody"
            raise OutputLockedError(
                f"{redact(self._output)}: {by} has taken this output over from {self.record.run_id}, "
                "which showed no life for too long; leave the output to it"
            )

    def _taken(self, when: str) -> OutputLockedError:
        return OutputLockedError(
            f"{redact(self._output)}: another run has begun to write here {when}; leave the output to it, "
            "or use another output folder"
        )


def lease_uri(output: str) -> str:
    """The folder of an output's lease."""
    return join(ledger_uri(output), "lease")


_NAME = re.compile(r"\d{12}\.json")


def _name_of(number: int) -> str:
    return f"{number:012d}.json"


def _number_of(name: str) -> int:
    return int(name.removesuffix(".json"))
