"""A job in a separate process that kills itself halfway, or keeps its lease until it is killed."""

import os
import signal
import sys
import time

from samurai_batch.runtime import assembly
from samurai_batch.runtime.assembly import ReplicaPlan, make_replica
from samurai_batch.runtime.pool import LocalPool, PoolEvent
from samurai_batch.runtime.run import run_job
from tests.runtime.fakes import NoProgress
from tests.runtime.test_jobs import make_config

EVENTS_UNTIL_KILLED = 5


class KilledPool(LocalPool[ReplicaPlan]):
    """Kills its process at the fifth event."""

    def __init__(self, plan: ReplicaPlan) -> None:
        super().__init__(make_replica, plan)
        self._num_left = EVENTS_UNTIL_KILLED

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        if self._num_left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        events = super().wait(timeout_s)
        self._num_left -= len(events)
        return events


class HoldingPool(KilledPool):
    """Returns no event after the first."""

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        events = super().wait(timeout_s)
        if events:
            sys.stdout.write("running\n")
            sys.stdout.flush()
            time.sleep(600)
        return events


def main(root: str, output: str, cache: str, mode: str) -> None:
    assembly.MACHINE_THREADS = 1
    pool = KilledPool if mode == "kill" else HoldingPool
    run_job(make_config(root, output, cache_dir=cache), progress=NoProgress(), make_pool=pool)


if __name__ == "__main__":
    main(*sys.argv[1:])
