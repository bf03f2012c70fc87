"""Process of a driver of a real job on a running cluster, for tests that kill it."""

import sys
from pathlib import Path

from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.status import exit_code
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect, disconnect
from samurai_batch.runtime.run import run_job
from tests.runtime.gate import Gate, GatedPlan, make_gated_replica


def cluster_job(folder: Path, output: str, **more: object) -> JobConfig:
    fields = {
        "prompts": str(folder / "prompts.parquet"),
        "output": str(folder / output),
        "model": "nano",
        "weights": "untrained:0",
        "image_size": 64,
        "device": "cpu",
        "chunk_frames": 6,
        "max_tracks_per_shard": 2,
        "max_attempts": 6,
        "num_cpus_per_replica": 1.0,
        "threads_per_replica": 1,
    }
    return make_job(fields | more)


def main(folder: Path, address: str) -> int:
    connect(address)
    resources = ReplicaResources(num_cpus=1.0)
    gate = Gate(str(folder / "gate"))
    try:
        summary = run_job(
            cluster_job(folder, "out"),
            make_pool=lambda plan: RayPool(make_gated_replica, GatedPlan(plan, gate), None, resources),
        )
        return exit_code(summary)
    finally:
        disconnect()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
