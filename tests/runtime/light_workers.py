"""Workers for real Ray actors that do no work: they cannot be built, or tell what they see.

Nothing here loads PyTorch or pandas: every start is a process, which would load them first.
"""

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import ray

from samurai_batch.runtime.pool import Worker


@dataclass(frozen=True)
class WorkerPlan:
    """Frames from ``held_at`` on wait for a file ``go`` beside ``pids``, so that a test can kill there."""

    output: str
    pids: str
    frame_s: float = 0.0
    held_at: int | None = None

    @property
    def go(self) -> Path:
        return Path(self.pids).with_name("go")

    def is_at(self, frame_index: int) -> list[int]:
        """The processes that have come to this frame, or beyond it."""
        return [int(one.name) for one in Path(self.pids).glob("*") if int(one.read_text() or -1) >= frame_index]


def failing_worker(plan: WorkerPlan) -> Worker:
    """Fails after a moment; leaves a file in ``pids`` for every try."""
    folder = Path(plan.pids)
    folder.mkdir(exist_ok=True, parents=True)
    (folder / uuid.uuid4().hex).touch()
    time.sleep(plan.frame_s)
    raise RuntimeError("no such device\nand a second line")


def worker_that_dies(plan: WorkerPlan) -> Worker:
    """Its process dies while the worker is built, as it does when memory runs out."""
    os._exit(1)


@dataclass(frozen=True)
class SeenGpus:
    """A worker whose device is the node it is on and the GPUs that it sees."""

    device: str

    def run(self, order: object) -> None: ...

    def stop(self) -> None: ...


def see_gpus(payload: None) -> SeenGpus:
    return SeenGpus(f"{ray.get_runtime_context().get_node_id()[:8]} {os.environ.get('CUDA_VISIBLE_DEVICES', 'all')}")
