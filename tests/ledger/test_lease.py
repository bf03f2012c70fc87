import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from samurai_batch import storage
from samurai_batch.errors import LedgerError, OutputLockedError, StorageError
from samurai_batch.ledger.lease import Holder, Lease, is_gone, lease_uri, this_process
from samurai_batch.ledger.schema import Totals
from samurai_batch.ledger.store import read_run, run_uri, runs_uri
from samurai_batch.planning.rates import Rates
from tests.waiting import wait_for

ELSEWHERE = Holder("elsewhere", 17, "0")
RATES = Rates(1.0, 1.0, 1.0)


@dataclass
class FakeClock:
    moment_s: float = 1000.0

    def now_s(self) -> float:
        return self.moment_s

    def elapsed_s(self) -> float:
        return self.moment_s


def lease_on(output: Path, clock: FakeClock) -> Lease:
    return Lease(storage, str(output), clock, stale_after_s=60.0, sleep=lambda seconds: None)


def test_a_fresh_heartbeat_keeps_others_out(tmp_path: Path) -> None:
    clock = FakeClock()
    first = lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    clock.moment_s += 50
    first.update(Totals(tracks=5), RATES)
    first.beat()
    clock.moment_s += 50
    with pytest.raises(OutputLockedError, match=r"run-1 \(process 17 on elsewhere\) .* last heartbeat was 50 s ago"):
        lease_on(tmp_path, clock).acquire("run-2", ELSEWHERE, {}, {})
    found = read_run(storage, str(tmp_path), "run-1")
    assert found is not None
    assert (found.totals.tracks, found.heartbeat_at_s) == (5, 1050.0)


def test_a_run_that_shows_no_life_is_taken_over_and_stops_when_it_wakes(tmp_path: Path) -> None:
    clock = FakeClock()
    first, second = lease_on(tmp_path, clock), lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    clock.moment_s += 61
    second.acquire("run-2", ELSEWHERE, {}, {})
    with pytest.raises(OutputLockedError, match="run-2 has taken this output over from run-1"):
        first.beat()
    second.beat()


def test_a_lease_is_kept_during_something_long_and_a_store_that_fails_meanwhile_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, failures = FakeClock(), [StorageError("out of order"), StorageError("still")]
    lease = Lease(storage, str(tmp_path), clock, stale_after_s=60.0, heartbeat_s=0.001)
    lease.acquire("run-1", ELSEWHERE, {}, {})
    beat = lease.beat

    def failing_at_first() -> None:
        if failures:
            raise failures.pop()
        beat()

    def heartbeat_at_s() -> float:
        found = read_run(storage, str(tmp_path), "run-1")
        assert found is not None
        return found.heartbeat_at_s

    def long() -> str:
        for moment_s in (1050.0, 1100.0):
            clock.moment_s = moment_s
            wait_for(lambda moment_s=moment_s: heartbeat_at_s() >= moment_s, "a heartbeat")  # type: ignore[misc]
        return "done"

    monkeypatch.setattr(lease, "beat", failing_at_first)
    assert lease.keep_during(long) == "done"
    clock.moment_s = 1150.0
    with pytest.raises(OutputLockedError, match=r"last heartbeat was 50 s ago"):
        lease_on(tmp_path, clock).acquire("run-2", ELSEWHERE, {}, {})


def test_a_run_that_was_taken_over_during_something_long_stops_at_its_next_heartbeat(tmp_path: Path) -> None:
    clock = FakeClock()
    first, second = lease_on(tmp_path, clock), lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    clock.moment_s += 61
    first.keep_during(lambda: second.acquire("run-2", ELSEWHERE, {}, {}))
    with pytest.raises(OutputLockedError, match="run-2 has taken this output over"):
        first.beat()


@pytest.mark.parametrize("status", ["finished", "interrupted", "crashed"])
def test_a_run_that_has_ended_holds_no_lease(tmp_path: Path, status: str) -> None:
    clock = FakeClock()
    first = lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    first.release(status)  # type: ignore[arg-type]
    lease_on(tmp_path, clock).acquire("run-2", ELSEWHERE, {}, {})


def test_a_killed_process_of_this_machine_holds_no_lease(tmp_path: Path) -> None:
    clock = FakeClock()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    holder = Holder(this_process().host, child.pid, "0")
    child.wait()
    lease_on(tmp_path, clock).acquire("run-1", holder, {}, {})
    lease_on(tmp_path, clock).acquire("run-2", this_process(), {}, {})
    with pytest.raises(OutputLockedError):
        lease_on(tmp_path, clock).acquire("run-3", this_process(), {}, {})


def test_a_zombie_process_counts_as_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE) as child:
        holder = replace(this_process(), pid=child.pid, process_start=start_of(child.pid))
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still listed
        assert is_gone(holder)


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


HERE = Holder(this_process().host, 2**30, "0")


@pytest.mark.parametrize(
    "holder",
    [replace(HERE, boot_id="another start"), replace(HERE, pid_namespace="pid:[1]"), replace(HERE, host="elsewhere")],
)
def test_a_process_number_of_another_container_says_nothing(tmp_path: Path, holder: Holder) -> None:
    clock = FakeClock()
    lease_on(tmp_path, clock).acquire("run-1", holder, {}, {})
    with pytest.raises(OutputLockedError, match="run-1"):
        lease_on(tmp_path, clock).acquire("run-2", this_process(), {}, {})
    clock.moment_s += 61
    lease_on(tmp_path, clock).acquire("run-2", this_process(), {}, {})


def test_a_record_of_an_earlier_version_is_read_and_its_process_number_says_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    holder = Holder(this_process().host, 2**30, "0", boot_id="", pid_namespace="")
    lease_on(tmp_path, clock).acquire("run-1", holder, {}, {})
    path = Path(run_uri(str(tmp_path), "run-1"))
    record = json.loads(path.read_text())
    del record["boot_id"], record["pid_namespace"]
    path.write_text(json.dumps(record))
    lease_file = tmp_path / "_ledger/lease/000000000001.json"
    lease_file.write_text('{"run_id": "run-1"}')
    with pytest.raises(OutputLockedError, match="run-1"):
        lease_on(tmp_path, clock).acquire("run-2", this_process(), {}, {})


class WatchedClock(FakeClock):
    """Time passes while somebody sleeps; ``meanwhile`` happens then."""

    def __init__(self, on_progress: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_progress = on_progress

    def sleep(self, seconds: float) -> None:
        self.moment_s += seconds
        self._on_progress()


def crash_with_a_clock_ahead(output: Path, ahead_s: float) -> Lease:
    clock = FakeClock(1000.0 + ahead_s)
    lease = lease_on(output, clock)
    lease.acquire("run-1", ELSEWHERE, {}, {})
    return lease


@pytest.mark.parametrize("ahead_s", [61.0, 86_400.0, 1e9])
def test_a_crashed_run_whose_clock_was_ahead_is_taken_over_after_watching_it(tmp_path: Path, ahead_s: float) -> None:
    crash_with_a_clock_ahead(tmp_path, ahead_s)
    clock = WatchedClock()
    Lease(storage, str(tmp_path), clock, stale_after_s=60.0, sleep=clock.sleep).acquire("run-2", ELSEWHERE, {}, {})
    assert clock.moment_s - 1000.0 == 60.0


@pytest.mark.parametrize("ahead_s", [86_400.0, -61.0, -86_400.0])
def test_a_live_run_whose_clock_is_wrong_keeps_others_out(tmp_path: Path, ahead_s: float) -> None:
    first = crash_with_a_clock_ahead(tmp_path, ahead_s)
    wrong = FakeClock(1000.0 + ahead_s)
    first.clock = wrong

    def beat() -> None:
        wrong.moment_s += 5.0
        first.beat()

    clock = WatchedClock(beat)
    with pytest.raises(OutputLockedError, match="run-1"):
        Lease(storage, str(tmp_path), clock, stale_after_s=60.0, sleep=clock.sleep).acquire("run-2", ELSEWHERE, {}, {})
    assert clock.moment_s - 1000.0 <= 10.0
    first.beat()


def test_a_crashed_run_with_an_old_heartbeat_is_taken_over_after_a_few_missing_ones(tmp_path: Path) -> None:
    crash_with_a_clock_ahead(tmp_path, -86_400.0)
    clock = WatchedClock()
    Lease(storage, str(tmp_path), clock, stale_after_s=60.0, sleep=clock.sleep).acquire("run-2", ELSEWHERE, {}, {})
    assert clock.moment_s - 1000.0 == 20.0


def test_a_run_that_loses_the_race_leaves_no_record(tmp_path: Path) -> None:
    clock = FakeClock()
    first = lease_on(tmp_path, clock)
    store = LateStore(lambda: first.acquire("run-1", ELSEWHERE, {}, {}))
    with pytest.raises(OutputLockedError):
        Lease(store, str(tmp_path), clock, stale_after_s=60.0).acquire("run-2", ELSEWHERE, {}, {})
    assert storage.list_names(runs_uri(str(tmp_path))) == ["run-1.json"]


def test_a_run_whose_lease_storage_does_not_take_is_no_running_one(tmp_path: Path) -> None:
    def fail() -> None:
        raise StorageError("storage is away")

    with pytest.raises(StorageError):
        Lease(LateStore(fail), str(tmp_path), FakeClock(), stale_after_s=60.0).acquire("run-1", ELSEWHERE, {}, {})
    record = read_run(storage, str(tmp_path), "run-1")
    assert record is not None
    assert record.status == "crashed"


def test_a_process_number_used_again_is_another_process() -> None:
    here = this_process()
    assert not is_gone(here)
    assert is_gone(Holder(here.host, os.getpid(), "before"))
    assert not is_gone(Holder("elsewhere", os.getpid(), "before"))


class LateStore:
    """Storage on which somebody else is quicker: ``before_create`` happens between the look and the put."""

    def __init__(self, before_create: Callable[[], None]) -> None:
        self._before_create = before_create

    def __getattr__(self, name: str) -> Any:
        return getattr(storage, name)

    def create_bytes(self, uri: str, data: bytes) -> bool:
        self._before_create()
        return storage.create_bytes(uri, data)


class Undeletable:
    """Storage that deletes nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(storage, name)

    def delete(self, uri: str) -> None:
        raise StorageError("storage is away")


def test_an_old_lease_that_cannot_be_deleted_ends_no_run(tmp_path: Path) -> None:
    before = lease_on(tmp_path, FakeClock())
    before.acquire("run-1", ELSEWHERE, {}, {})
    before.release("finished")
    lease = Lease(Undeletable(), str(tmp_path), FakeClock(), stale_after_s=60.0)
    lease.acquire("run-2", ELSEWHERE, {}, {})
    lease.beat()
    lease.release("finished")
    lease_on(tmp_path, FakeClock()).acquire("run-3", ELSEWHERE, {}, {})
    assert storage.list_names(lease_uri(str(tmp_path))) == ["000000000003.json"]


def check_that_one_of_two_gets_the_lease(output: str) -> None:
    clock = FakeClock()
    first = Lease(storage, output, clock, stale_after_s=60.0)
    store = LateStore(lambda: first.acquire("run-1", ELSEWHERE, {}, {}))
    second = Lease(store, output, clock, stale_after_s=60.0)
    with pytest.raises(OutputLockedError, match="another run has begun to write here in the same moment"):
        second.acquire("run-2", ELSEWHERE, {}, {})
    first.beat()
    assert len(storage.list_names(lease_uri(output))) == 1


def test_of_two_runs_that_start_in_the_same_moment_one_is_refused(tmp_path: Path) -> None:
    check_that_one_of_two_gets_the_lease(str(tmp_path))


@pytest.mark.server
def test_of_two_runs_that_start_in_the_same_moment_one_is_refused_on_s3(s3_uri: str) -> None:
    check_that_one_of_two_gets_the_lease(s3_uri)


def test_a_lease_that_was_deleted_is_lost(tmp_path: Path) -> None:
    lease = lease_on(tmp_path, FakeClock())
    lease.acquire("run-1", ELSEWHERE, {}, {})
    storage.delete(lease_uri(str(tmp_path)))
    with pytest.raises(OutputLockedError, match="another process has taken this output over"):
        lease.beat()


def test_a_damaged_lease_says_what_to_do(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "_ledger/lease/000000000001.json"), b"{}")
    with pytest.raises(LedgerError, match="delete it if no other run is writing"):
        lease_on(tmp_path, FakeClock()).acquire("run-1", ELSEWHERE, {}, {})


EMPTY = "_ledger/lease/000000000001.json"


def test_a_lease_that_is_being_written_is_anothers(tmp_path: Path) -> None:
    """Without hard links it is created empty."""
    storage.write_bytes(str(tmp_path / EMPTY), b"")
    clock = WatchedClock(lambda: storage.write_bytes(str(tmp_path / EMPTY), b'{"run_id": "run-1"}'))
    with pytest.raises(OutputLockedError, match="another run has begun to write here just now"):
        Lease(storage, str(tmp_path), clock, stale_after_s=60.0, sleep=clock.sleep).acquire("run-2", ELSEWHERE, {}, {})
    assert clock.moment_s - 1000.0 == 5.0


def test_a_lease_whose_writer_was_killed_before_it_wrote_is_taken_over(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / EMPTY), b"")
    clock = WatchedClock()
    lease = Lease(storage, str(tmp_path), clock, stale_after_s=60.0, sleep=clock.sleep)
    lease.acquire("run-2", ELSEWHERE, {}, {})
    assert clock.moment_s - 1000.0 == 60.0
    lease.beat()
    assert storage.list_names(lease_uri(str(tmp_path))) == ["000000000002.json"]
