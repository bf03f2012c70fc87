"""Several raylets on this machine and a driver process, for tests that kill them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


class ClusterUnderTest:
    """Raylets on this machine, a driver process, and its replicas."""

    def __init__(self, folder: Path, driver: str, cluster: Any, num_nodes: int) -> None:
        self.folder, self.cluster = folder, cluster
        self.nodes = [cluster.add_node(**node_settings(num_cpus=1)) for _ in range(num_nodes)]
        self._module = driver
        self.driver = self.start_driver()

    def start_driver(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", self._module, str(self.folder), self.cluster.address]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (self.folder / "driver.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def kill(self, what: str) -> None:
        match what:
            case "worker":
                os.kill(self.workers()[0], signal.SIGKILL)
            case "node":
                self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
                self.nodes.append(self.cluster.add_node(**node_settings(num_cpus=1)))
            case "driver":
                self.driver.kill()
                self.driver.wait()
                wait_for(lambda: not self.workers(), "the replicas of the dead driver to end")
                self.driver = self.start_driver()

    def drain(self, node: Any) -> None:
        """Announce the preemption of a node, as a cloud provider does."""
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]

        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int((time.time() + 60) * 1000)
        is_accepted, why = GcsClient(address=self.cluster.address).drain_node(node.node_id, reason, "spot", deadline_ms)
        assert is_accepted, why

    def is_alive(self) -> bool:
        """Whether the driver is alive; raises an error with its last output if it failed."""
        assert self.driver.poll() is None, (self.folder / "driver.log").read_text()[-3000:]
        return True

    def workers(self) -> list[int]:
        """The processes of replicas, which are children of the raylets."""
        raylets = {process.process.pid for node in self.nodes for process in node.all_processes["raylet"]}
        return [pid for pid, parent, name in _processes() if parent in raylets and name.startswith(b"ray::_Actor")]

    def close(self) -> None:
        self.driver.kill()
        self.driver.wait()


def node_settings(num_cpus: int) -> dict[str, Any]:
    return {"num_cpus": num_cpus, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@contextmanager
def ray_cluster_of(*num_cpus_and_gpus: tuple[int, int]) -> Iterator[Any]:
    """Ray's Cluster on this machine: a head without CPUs and GPUs, and nodes of so many CPUs and declared GPUs."""
    from ray.cluster_utils import Cluster

    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # Ray notes its newest cluster there, and fails without
    temporary = tempfile.mkdtemp(prefix="ray")  # short: sockets lie below it, and other clusters beside it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # raylets hand it to their workers
        head = node_settings(num_cpus=0) | {"num_gpus": 0, "temp_dir": temporary}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for num_cpus, num_gpus in num_cpus_and_gpus:
                cluster.add_node(**node_settings(num_cpus), num_gpus=num_gpus)
            yield cluster
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]
            shutil.rmtree(temporary)


def _processes() -> Iterator[tuple[int, int, bytes]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            yield int(path.name), parent, path.joinpath("cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile


@contextmanager
def cluster_for(folder: Path, driver: str, num_nodes: int = 2) -> Iterator[ClusterUnderTest]:
    """``driver`` is the module of the driver process; its arguments are the folder and the cluster's address."""
    with ray_cluster_of() as ray_cluster:
        cluster = ClusterUnderTest(folder, driver, ray_cluster, num_nodes)
        try:
            yield cluster
        finally:
            cluster.close()
