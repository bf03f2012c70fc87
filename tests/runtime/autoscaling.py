"""A head without CPUs, and an autoscaler that adds nodes of one CPU on this machine (Ray's fake node provider)."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from ray.util import get_node_ip_address

from tests.cluster.ports import free_ports
from tests.runtime.clusters import ROOT
from tests.waiting import wait_for

MAX_NODES = 2


def _config(gcs_address: str, version: int) -> dict[str, Any]:
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "gcs_address": gcs_address,
    }
    if version == 2:
        provider |= {"launch_multiple": True, "head_node_id": FAKE_HEAD_NODE_ID}
    small = {"CPU": 1, "object_store_memory": 80 * 2**20}
    nothing: dict[str, Any] = {name: {} for name in ("auth", "docker", "file_mounts")}
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    no_commands: dict[str, list[str]] = {f"{name}_commands": [] for name in commands}
    return {
        "cluster_name": "fake",
        "max_workers": MAX_NODES,
        "idle_timeout_minutes": 10,
        "upscaling_speed": 1.0,
        "provider": provider,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "small": {"resources": small, "node_config": {}, "min_workers": 0, "max_workers": MAX_NODES},
        },
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **nothing,
        **no_commands,
    }


@contextmanager
def autoscaling_cluster(folder: Path, version: int) -> Iterator[str]:
    """Yields the cluster's address; ``version`` is the autoscaler's. Stops only processes that it started."""
    port = free_ports(3)
    address = f"{get_node_ip_address()}:{port}"  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as temporary:  # short, for its sockets
        config = Path(temporary) / "cluster.json"
        config.write_text(json.dumps(_config(address, version)))
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "RAY_FAKE_CLUSTER": "1",
            "RAY_AUTH_MODE": "disabled",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        }
        if version == 2:
            names = ("RAY_CLOUD_INSTANCE_ID", "RAY_OVERRIDE_NODE_ID_FOR_TESTING")
            environment |= {"RAY_enable_autoscaler_v2": "1"} | dict.fromkeys(names, FAKE_HEAD_NODE_ID)
        options = f"--head --block --num-cpus=0 --port={port} --ray-client-server-port={port + 1}"
        options += f" --dashboard-agent-listen-port={port + 2} --include-dashboard=false --disable-usage-stats"
        options += f" --object-store-memory=80000000 --temp-dir={temporary} --autoscaling-config={config}"
        log_path = folder / "head.log"
        with (
            log_path.open("wb") as log,
            subprocess.Popen(
                [str(Path(sys.executable).with_name("ray")), "start", *options.split()],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as head,
        ):
            try:
                wait_for(lambda: _is_up(head, log_path), "the head of the autoscaling cluster")
                yield address
            finally:
                head.kill()  # asked to end, it would wait half a minute for its own processes
                for pid in _processes_of(temporary):  # also the nodes that the autoscaler has started
                    with suppress(ProcessLookupError):  # it has ended with another
                        os.kill(pid, signal.SIGKILL)


def _is_up(head: subprocess.Popen[bytes], log: Path) -> bool:
    assert head.poll() is None, log.read_text()[-3000:]
    return "Ray runtime started" in log.read_text()


def _processes_of(temporary: str) -> Iterator[int]:
    """Processes whose command line names the cluster's folder."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = temporary.encode() in path.joinpath("cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if is_ours:
            yield int(path.name)
