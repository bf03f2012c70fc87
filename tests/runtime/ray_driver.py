"""A run in a separate process (two actors of a cluster, the fake tracker), for tests that kill it."""

import random
import sys
from pathlib import Path

from samurai_batch.ledger.status import exit_code
from samurai_batch.manifest.detections import Detections
from samurai_batch.prompts import DiscoverPrompt
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect, disconnect
from samurai_batch.runtime.run import stop_on_signals
from samurai_batch.tasks import Track, Video
from tests.runtime.discovery_world import WORLD
from tests.runtime.fakes import box_track, run_tracks
from tests.runtime.light_workers import WorkerPlan
from tests.runtime.ray_worker import make_worker


def tracks_in(folder: Path) -> list[Track]:
    """Two tracks in both directions in each of the videos a and b."""
    videos = [Video(name, str(folder / f"{name}.json")) for name in "ab"]
    return [box_track(video, name, 20, "both") for video in videos for name in "xy"]


def discovery_in(folder: Path) -> tuple[list[Track], Detections]:
    """A discover prompt in the video a, and the detections of it."""
    track = Track(video=Video("a", str(folder / "a.json")), object_id="d", prompts=(DiscoverPrompt(0, (), "a table"),))
    return [track], WORLD.detections("a", 60, random.Random(3))


def plan_in(folder: Path) -> WorkerPlan:
    """Replicas are held in the middle of the videos."""
    return WorkerPlan(str(folder / "out"), str(folder / "pids"), held_at=33)


def main(folder: Path, kind: str, address: str) -> int:
    """Run the tracks in ``folder``, those of boxes or of a discovery."""
    tracks, detections = discovery_in(folder) if kind == "discovery" else (tracks_in(folder), {})
    plan = plan_in(folder)
    connect(address)
    try:
        with stop_on_signals() as should_stop:
            summary = run_tracks(
                tracks,
                folder / "out",
                detections=detections,
                make_pool=lambda: RayPool(make_worker, plan, 2, ReplicaResources(num_cpus=0.5)),
                should_stop=should_stop,
            )
        return exit_code(summary)
    finally:
        disconnect()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
