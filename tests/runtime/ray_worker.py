"""Workers for real Ray actors: the fake tracker, which can be held during a chunk to be killed there."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import ray

from samurai_batch.prompts import Rle
from samurai_batch.runtime.pool import Worker
from samurai_batch.tasks import Leg, Track
from tests.runtime.discovery_world import WORLD
from tests.runtime.fakes import FakeTracker, make_replica
from tests.runtime.light_workers import WorkerPlan
from tests.waiting import wait_for


def make_worker(plan: WorkerPlan) -> Worker:
    """A worker that writes its process id and current frame to ``pids``."""
    folder = Path(plan.pids)
    folder.mkdir(exist_ok=True, parents=True)

    def before_frame(index: int, legs: Sequence[Leg]) -> None:
        (folder / str(os.getpid())).write_text(str(index))
        if plan.held_at is not None and index >= plan.held_at:
            wait_for(plan.go.exists, "the word to go on")
        time.sleep(plan.frame_s)

    return make_replica(plan.output, FakeTracker(before_frame=before_frame, mask_of=mask_of))


def worker_beside_another(plan: WorkerPlan) -> Worker:
    """A worker whose first frame waits until another one works as well."""
    folder = Path(plan.pids)
    folder.mkdir(exist_ok=True, parents=True)

    def before_frame(index: int, legs: Sequence[Leg]) -> None:
        (folder / str(os.getpid())).touch()
        wait_for(lambda: len(list(folder.iterdir())) > 1, "another worker")

    return make_replica(plan.output, FakeTracker(before_frame=before_frame))


def mask_of(track: Track, frame_index: int) -> Rle | None:
    """The mask of a track that a discovery has started; others have none."""
    return WORLD.mask_of(track, frame_index) if track.origin else None


def worker_of_one_node(plan: WorkerPlan) -> Worker:
    """Can be built only on the node whose replica is built first."""
    here = ray.get_runtime_context().get_node_id()
    chosen = Path(plan.pids).with_name("good-node")
    with contextlib.suppress(FileExistsError), chosen.open("x") as file:
        file.write(here)
    if chosen.read_text() != here:
        raise RuntimeError("no such device")
    return make_worker(plan)
