"""A gate in front of every frame that replicas read: tests choose how many frames are done before a process is killed.

``<folder>/frames`` grows by a byte with each frame that any process reads; a frame beyond ``<folder>/budget`` waits.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from samurai_batch.runtime.assembly import ReplicaPlan, make_replica_process
from samurai_batch.runtime.pool import Worker
from samurai_batch.runtime.replica import Replica
from samurai_batch.video import Frame, VideoInfo, VideoSource

OPEN = 10**9


@dataclass(frozen=True)
class Gate:
    folder: str

    @property
    def num_frames(self) -> int:
        """Frames read so far, by all processes."""
        path = Path(self.folder, "frames")
        return path.stat().st_size if path.exists() else 0

    def let_through(self, num_frames: int) -> None:
        """Allow this number of frames in total."""
        folder = Path(self.folder)
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "next").write_text(str(num_frames))
        (folder / "next").replace(folder / "budget")

    def wait(self, poll_s: float = 0.02) -> None:
        """Wait until the next frame is allowed, and count it."""
        while self.num_frames >= int(Path(self.folder, "budget").read_text()):
            time.sleep(poll_s)
        descriptor = os.open(Path(self.folder, "frames"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b".")
        os.close(descriptor)


class GatedSource:
    """A video whose frames pass the gate one at a time."""

    def __init__(self, source: VideoSource, gate: Gate) -> None:
        self._source = source
        self._gate = gate

    @property
    def info(self) -> VideoInfo:
        return self._source.info

    def timestamp_s(self, frame_index: int) -> float:
        return self._source.timestamp_s(frame_index)

    def frames(self, indices: range) -> Iterator[Frame]:
        for frame in self._source.frames(indices):
            self._gate.wait()
            yield frame

    def close(self) -> None:
        self._source.close()


@dataclass(frozen=True)
class GatedPlan:
    plan: ReplicaPlan
    gate: Gate


def make_gated_replica(gated: GatedPlan) -> Worker:
    worker = make_replica_process(gated.plan)
    assert isinstance(worker, Replica)
    open_video = worker.open_video
    worker.open_video = lambda uri: GatedSource(open_video(uri), gated.gate)  # type: ignore[assignment,return-value]
    return worker
