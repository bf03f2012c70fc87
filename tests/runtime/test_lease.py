import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samurai_batch import storage
from samurai_batch.errors import LedgerError, OutputLockedError
from samurai_batch.planning.rates import Rates
from samurai_batch.runtime.lease import Holder, Lease, is_gone, lease_uri, this_process
from samurai_batch.runtime.ledger import Totals, read_run, run_uri

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
    return Lease(storage, str(output), clock, stale_after_s=60.0)


def test_a_fresh_heartbeat_keeps_others_out(tmp_path: Path) -> None:
    clock = FakeClock()
    first = lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    clock.moment_s += 50
    first.beat(Totals(tracks=5), RATES)
    clock.moment_s += 50
    with pytest.raises(OutputLockedError, match=r"run-1 \(process 17 on elsewhere\) .* showed life 50 s ago"):
        lease_on(tmp_path, clock).acquire("run-2", ELSEWHERE, {}, {})
    found = read_run(storage, run_uri(str(tmp_path), "run-1"))
    assert found is not None
    assert (found.totals.tracks, found.heartbeat_at_s) == (5, 1050.0)


def test_a_run_that_shows_no_life_is_taken_over_and_stops_when_it_wakes(tmp_path: Path) -> None:
    clock = FakeClock()
    first, second = lease_on(tmp_path, clock), lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    clock.moment_s += 61
    second.acquire("run-2", ELSEWHERE, {}, {})
    with pytest.raises(OutputLockedError, match="run-2 has taken this output over from run-1"):
        first.beat(Totals(), RATES)
    second.beat(Totals(), RATES)


@pytest.mark.parametrize("status", ["finished", "interrupted", "crashed"])
def test_a_run_that_has_ended_keeps_nobody_out(tmp_path: Path, status: str) -> None:
    clock = FakeClock()
    first = lease_on(tmp_path, clock)
    first.acquire("run-1", ELSEWHERE, {}, {})
    first.release(status, Totals(), None)  # type: ignore[arg-type]
    lease_on(tmp_path, clock).acquire("run-2", ELSEWHERE, {}, {})


def test_a_killed_process_of_this_machine_keeps_nobody_out(tmp_path: Path) -> None:
    clock = FakeClock()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    holder = Holder(this_process().host, child.pid, "0")
    child.wait()
    lease_on(tmp_path, clock).acquire("run-1", holder, {}, {})
    lease_on(tmp_path, clock).acquire("run-2", this_process(), {}, {})
    with pytest.raises(OutputLockedError):
        lease_on(tmp_path, clock).acquire("run-3", this_process(), {}, {})


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


def check_that_one_of_two_gets_the_lease(output: str) -> None:
    clock = FakeClock()
    first = Lease(storage, output, clock, stale_after_s=60.0)
    store = LateStore(lambda: first.acquire("run-1", ELSEWHERE, {}, {}))
    second = Lease(store, output, clock, stale_after_s=60.0)
    with pytest.raises(OutputLockedError, match="another run has begun to write here in the same moment"):
        second.acquire("run-2", ELSEWHERE, {}, {})
    first.beat(Totals(), RATES)
    assert len(storage.list_names(lease_uri(output))) == 1


def test_of_two_runs_that_start_in_the_same_moment_one_is_refused(tmp_path: Path) -> None:
    check_that_one_of_two_gets_the_lease(str(tmp_path))


@pytest.mark.server
def test_of_two_runs_that_start_in_the_same_moment_one_is_refused_on_s3(s3_uri: str) -> None:
    check_that_one_of_two_gets_the_lease(s3_uri)


def test_a_lease_that_somebody_removed_is_not_ours(tmp_path: Path) -> None:
    lease = lease_on(tmp_path, FakeClock())
    lease.acquire("run-1", ELSEWHERE, {}, {})
    storage.delete(lease_uri(str(tmp_path)))
    with pytest.raises(OutputLockedError, match="somebody has taken this output over"):
        lease.beat(Totals(), RATES)


def test_a_damaged_lease_says_what_to_do(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "_ledger/lease/000000000001.json"), b"{}")
    with pytest.raises(LedgerError, match="delete it if no other run is writing"):
        lease_on(tmp_path, FakeClock()).acquire("run-1", ELSEWHERE, {}, {})
