"""One writer per output: a lease that names the run that holds it, kept by that run's heartbeat.

``_ledger/lease/<number>.json`` names a run, and the highest number is valid; the run's record in ``_ledger/runs`` has
the heartbeat. A run that finds another's fresh heartbeat is refused. One that finds a stale heartbeat takes the next
number; if the other process continues, it sees at its next heartbeat that there is a higher number, and stops. A number
is created only if it does not exist, by a conditional put: of two runs that start at the same moment, one gets it.
A clock may be wrong: a stale heartbeat counts only if no new one comes while the record is watched for a while.
Where storage has no conditional put (see `storage.create_bytes`), both may believe for one heartbeat that they hold
the lease; what both write in that time is the same, byte for byte.
"""

import json
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from samurai_batch.errors import LedgerError, OutputLockedError, SamuraiBatchError, StorageError
from samurai_batch.ledger.schema import RunRecord, RunStatus, Totals
from samurai_batch.ledger.store import Store, ledger_uri, read_run, run_uri, write_run
from samurai_batch.planning.rates import Rates
from samurai_batch.redaction import get_logger
from samurai_batch.storage import join, redact_uri

logger = get_logger(__name__)
T = TypeVar("T")

STALE_AFTER_S = 60.0
"""A run whose last heartbeat is older than this is considered dead."""

WATCH_EVERY_S = 5.0

WATCHED_SHARE = 1 / 3
"""Of the time after which a heartbeat is stale: so long the record of a run with a stale heartbeat is watched."""


class Clock(Protocol):
    """Two readings of time, in seconds; an argument, so that a simulation can replace it."""

    def now_s(self) -> float:
        """Seconds since 1970 (UTC), comparable between machines as far as their clocks agree."""
        ...

    def elapsed_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_s(self) -> float:
        """Seconds since 1970 (UTC)."""
        return time.time()

    def elapsed_s(self) -> float:
        """Seconds since this machine started."""
        return time.monotonic()


def boot_id() -> str:
    """The id of this boot of the kernel; "" on other systems than Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The namespace of our process ids, usually a container's own; "" on other systems than Linux."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@dataclass(frozen=True)
class Holder:
    """The process of a run. ``process_start`` tells it from a later process with the same pid.

    Two containers may have the same host name: ``boot_id`` and ``pid_namespace`` tell whether pids are comparable.
    """

    host: str
    pid: int
    process_start: str
    boot_id: str = field(default_factory=boot_id)
    pid_namespace: str = field(default_factory=pid_namespace)


def this_process() -> Holder:
    """The holder that we are."""
    return Holder(socket.gethostname(), os.getpid(), _process_state(os.getpid())[1])


def is_gone(holder: Holder) -> bool:
    """Whether a process has certainly ended. In another container or on another machine this cannot be known: False."""
    if (holder.host, holder.boot_id, holder.pid_namespace) != (socket.gethostname(), boot_id(), pid_namespace()):
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is alive and belongs to another user
    state, start = _process_state(holder.pid)
    return state in ("Z", "X") or bool(start and start != holder.process_start)


def _process_state(pid: int) -> tuple[str, str]:
    """The state of a process ("Z": a zombie) and when it began, in ticks since boot.

    Both are "" where /proc does not tell: on other systems than Linux, and for some processes of other users.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


class Lease:
    """The right to write to one output, from `acquire` to `release`.

    The holder must `beat` about every ``heartbeat_s``; ``stale_after_s`` without a heartbeat, another run may take the
    lease. That must be many heartbeats.
    """

    def __init__(
        self,
        store: Store,
        output: str,
        clock: Clock,
        *,
        stale_after_s: float = STALE_AFTER_S,
        heartbeat_s: float = 5.0,
        is_gone: Callable[[Holder], bool] = is_gone,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.output = output
        self.clock = clock
        self.stale_after_s = stale_after_s
        self.heartbeat_s = heartbeat_s
        self._store = store
        self._next_s = 0.0
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
        if names:
            self._refuse_if_held(names[-1])
        now_s = self.clock.now_s()
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
        write_run(self._store, self.output, self._record)
        self._next_s = self.clock.elapsed_s() + self.heartbeat_s
        self._number = _number_of(names[-1]) + 1 if names else 1
        self._take(run_id)
        for name in names:
            with suppress(StorageError):  # it counts no longer; the next run deletes it
                self._store.delete(self._uri_of(name))

    def _take(self, run_id: str) -> None:
        """Create the lease; if that fails, remove or close the run's record, which would say "running" for ever."""
        lease = json.dumps({"run_id": run_id}).encode()
        try:
            is_ours = self._store.create_bytes(self._uri_of(f"{self._number:012d}.json"), lease)
        except StorageError:  # the lease may have been created all the same
            with suppress(StorageError):
                self._write("crashed")
            raise
        if not is_ours:
            self._store.delete(run_uri(self.output, run_id))
            raise self._taken("in the same moment")

    def update(self, totals: Totals, rates: Rates | None) -> None:
        """Set what the run's record says of its work, from the next heartbeat on."""
        self._record = replace(self.record, totals=totals, rates=rates)

    def beat_if_due(self) -> None:
        """`beat` if it is time to; for loops over much else, which call it often."""
        if self.clock.elapsed_s() >= self._next_s:
            self.beat()

    def beat(self) -> None:
        """Write the run's record. Raises OutputLockedError if another run has taken over, and StorageError."""
        self._check_ours()
        self._write("running")
        self._next_s = self.clock.elapsed_s() + self.heartbeat_s

    def keep_during(self, action: Callable[[], T]) -> T:
        """The result of something that may take longer than a lease lasts, while a thread beats.

        The action must not use the lease. If another run has taken over, the caller's next beat says so.
        """
        has_ended = threading.Event()

        def beat_often() -> None:
            while not has_ended.wait(self.heartbeat_s):
                with suppress(SamuraiBatchError):
                    self.beat()

        thread = threading.Thread(target=beat_often, name="heartbeat", daemon=True)
        thread.start()
        try:
            return action()
        finally:
            has_ended.set()
            thread.join()

    def release(self, status: RunStatus) -> None:
        """Give the lease back: write how the run ended."""
        self._write(status)

    def _uri_of(self, name: str) -> str:
        return join(lease_uri(self.output), name)

    def _names(self) -> list[str]:
        """The leases, the valid one last; there is more than one only while a run takes over."""
        return [name for name in self._store.list_names(lease_uri(self.output)) if _NAME.fullmatch(name)]

    def _write(self, status: RunStatus) -> None:
        self._record = replace(self.record, status=status, heartbeat_at_s=self.clock.now_s())
        write_run(self._store, self.output, self._record)

    def _holder_id(self, name: str) -> str:
        """The run that a lease names; "" where it is empty: without hard links, it is created and then written."""
        uri = self._uri_of(name)
        data = self._store.read_bytes(uri)
        try:
            return str(json.loads(data)["run_id"]) if data else ""
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LedgerError(
                f"{redact_uri(uri)}: damaged lease; delete it if no other run is writing to this output"
            ) from error

    def _refuse_if_held(self, newest: str) -> None:
        try:
            run_id = self._holder_id(newest)
            if not run_id:
                logger.warning("a run is taking this output, or was killed as it did; waiting to see which")
                if self._changes(lambda: self._holder_id(newest), self.stale_after_s):
                    raise self._taken("just now")
        except FileNotFoundError as error:
            raise self._taken("just now") from error
        other = read_run(self._store, self.output, run_id) if run_id else None
        if other is not None and self._is_alive(other):
            age_s = self.clock.now_s() - other.heartbeat_at_s
            raise OutputLockedError(
                f"{redact_uri(self.output)}: run {other.run_id} (process {other.pid} on {other.host}) is writing here; "
                f"its last heartbeat was {max(age_s, 0):.0f} s ago. Stop it, wait {self.stale_after_s:.0f} s after it "
                "has ended, or use another output folder"
            )

    def _is_alive(self, other: RunRecord) -> bool:
        """Whether a run may still write. If its heartbeat is old, or far in the future, its record is watched."""
        if other.status != "running" or self._is_gone(
            Holder(other.host, other.pid, other.process_start, other.boot_id, other.pid_namespace)
        ):
            return False
        age_s = self.clock.now_s() - other.heartbeat_at_s
        if abs(age_s) <= self.stale_after_s:
            return True
        watched_s = self.stale_after_s * (1 if age_s < 0 else WATCHED_SHARE)
        logger.warning(
            "the last heartbeat of run %s is %.0f s %s, perhaps by a wrong clock; waiting up to %.0f s for another",
            other.run_id,
            abs(age_s),
            "in the future" if age_s < 0 else "old",
            watched_s,
        )
        return self._changes(lambda: read_run(self._store, self.output, other.run_id), watched_s)

    def _changes(self, read: Callable[[], object], within_s: float) -> bool:
        """Whether what is read changes within a time, by no clock but that of the waiting itself."""
        before = read()
        for _ in range(math.ceil(within_s / WATCH_EVERY_S)):
            self._sleep(min(WATCH_EVERY_S, within_s))
            if read() != before:
                return True
        return False

    def _check_ours(self) -> None:
        names = self._names()
        number = _number_of(names[-1]) if names else 0
        if number == self._number or (number < self._number and self._is_there()):
            return
        by = "another process"
        with suppress(FileNotFoundError):
            by = f"run {self._holder_id(names[-1])}" if number > self._number else by
        raise OutputLockedError(
            f"{redact_uri(self.output)}: {by} has taken this output over from {self.record.run_id}, whose heartbeat "
            "was too old; this run stops, and what it has written is kept"
        )

    def _is_there(self) -> bool:
        """Whether our lease can be read: some stores list an object only a while after it was written."""
        try:
            return self._holder_id(f"{self._number:012d}.json") == self.record.run_id
        except FileNotFoundError:
            return False

    def _taken(self, when: str) -> OutputLockedError:
        return OutputLockedError(
            f"{redact_uri(self.output)}: another run has begun to write here {when}; wait for it, or use another "
            "output folder"
        )


def lease_uri(output: str) -> str:
    """The folder of an output's lease."""
    return join(ledger_uri(output), "lease")


_NAME = re.compile(r"\d{12}\.json")


def _number_of(name: str) -> int:
    return int(name.removesuffix(".json"))
