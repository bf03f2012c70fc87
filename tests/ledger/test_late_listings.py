"""A lease on a store that lists new objects late."""

from pathlib import Path
from typing import Any

import pytest

from samurai_batch import storage
from samurai_batch.errors import OutputLockedError
from samurai_batch.ledger.lease import Lease
from tests.ledger.test_lease import ELSEWHERE, FakeClock, lease_on


class LateListing:
    """Storage that lists an object only after a while; ``hidden`` says how many of the newest names it leaves out."""

    def __init__(self) -> None:
        self.hidden = 0
        self.shown: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(storage, name)

    def list_names(self, uri: str) -> list[str]:
        names = storage.list_names(uri)
        return self.shown + names[: len(names) - self.hidden] if uri.endswith("lease") else names


def test_a_lease_that_is_not_listed_yet_is_held(tmp_path: Path) -> None:
    store, clock = LateListing(), FakeClock()
    before = lease_on(tmp_path, clock)
    before.acquire("run-1", ELSEWHERE, {}, {})
    before.release("finished")
    lease = Lease(store, str(tmp_path), clock, stale_after_s=60.0)
    lease.acquire("run-2", ELSEWHERE, {}, {})
    store.hidden = 1
    lease.beat()
    store.shown = ["000000000001.json"]  # deleted, and still listed
    lease.beat()
    store.hidden, store.shown = 0, []
    clock.moment_s += 61
    lease_on(tmp_path, clock).acquire("run-3", ELSEWHERE, {}, {})
    store.hidden = 1
    with pytest.raises(OutputLockedError, match="another process has taken this output over"):
        lease.beat()


def test_a_newer_lease_that_is_gone_before_it_is_read_still_ends_a_run(tmp_path: Path) -> None:
    store, clock = LateListing(), FakeClock()
    lease = Lease(store, str(tmp_path), clock, stale_after_s=60.0)
    lease.acquire("run-1", ELSEWHERE, {}, {})
    store.hidden, store.shown = 1, ["000000000007.json"]
    with pytest.raises(OutputLockedError, match="another process has taken this output over"):
        lease.beat()
