"""The driver of a pool of idle replicas; it records how each of them is lost."""

import sys
import time
from pathlib import Path

from samurai_batch.planning.orders import OpenOrder, Order, Report
from samurai_batch.runtime.pool import PoolFailed, ReplicaDied, ReplicaReady
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect
from samurai_batch.tasks import Video


class Idler:
    """A worker that never finishes an order."""

    device = ""

    def run(self, order: Order) -> Report:
        while True:
            time.sleep(1)

    def stop(self) -> None:
        pass


def make_idler(payload: None) -> Idler:
    return Idler()


def main(folder: Path, address: str) -> None:
    connect(address)
    pool = RayPool(make_idler, None, 4, ReplicaResources(num_cpus=1.0))
    while True:
        for event in pool.wait(0.5):
            match event:
                case ReplicaReady(replica_id):
                    pool.submit(replica_id, OpenOrder(1, Video("v", "v.mp4")))
                    _say(folder, "at work")
                case ReplicaDied(_, failure):
                    _say(folder, failure.kind)
                case PoolFailed(reason):
                    _say(folder, f"no replica can be started: {reason}")
                    return


def _say(folder: Path, line: str) -> None:
    with (folder / "said").open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
