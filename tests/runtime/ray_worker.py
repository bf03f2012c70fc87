"""A worker for real Ray actors: the fake tracker, slow enough to be killed in the middle of a chunk."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samurai_batch.chunk import Member
from samurai_batch.runtime.pool import Worker
from tests.runtime.fakes import FakeTracker, make_replica


@dataclass(frozen=True)
class WorkerPlan:
    output: str
    pids: str
    frame_s: float = 0.0


def make_worker(plan: WorkerPlan) -> Worker:
    """Leaves its process id under ``pids`` with the frame it is at."""
    folder = Path(plan.pids)
    folder.mkdir(exist_ok=True, parents=True)

    def before_frame(index: int, legs: Sequence[Member]) -> None:
        (folder / str(os.getpid())).write_text(str(index))
        time.sleep(plan.frame_s)

    return make_replica(plan.output, FakeTracker(before_frame=before_frame))


def failing_worker(plan: WorkerPlan) -> Worker:
    raise RuntimeError("no such device")
