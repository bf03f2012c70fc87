"""Joining a cluster, or starting one, where that cannot go well: one sentence that says what, where, and what to do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from samurai_batch.runtime.ray_cluster import ANNOUNCED_DEATHS, refused_in, why_not_joined
from tests.cluster.ports import free_ports

ROOT = Path(__file__).parents[2]
TOO_LONG = "x" * 120
CONNECT = """
import sys
from samurai_batch.errors import SamuraiBatchError
from samurai_batch.runtime.ray_cluster import connect
try:
    connect(sys.argv[1] or None)
except SamuraiBatchError as error:
    print(type(error).__name__, error)
"""


def what_is_told(address: str = "", **environment: str) -> str:
    """What a process of its own is told that joins a cluster."""
    command = [sys.executable, "-c", CONNECT, address]
    inherited = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "RAY_TMPDIR")}
    variables = {**inherited, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=True).stdout


@pytest.mark.ray
@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_a_dead_cluster_is_told_at_once(address: str) -> None:
    address = address.format(port=free_ports(1))
    told = what_is_told(address)
    assert told.startswith(f"ConfigError ray_address '{address}': no Ray cluster answers there (")
    assert told.count("\n") == 1


@pytest.mark.ray
@pytest.mark.parametrize("address", ["", "auto"])
def test_a_dead_cluster_that_the_environment_names_is_told_so(address: str) -> None:
    dead = f"127.0.0.1:{free_ports(1)}"
    told = what_is_told(address, RAY_ADDRESS=dead)
    assert told.startswith(f"ConfigError RAY_ADDRESS, set in the environment, '{dead}': no Ray cluster answers there")
    assert "unset it" in told


@pytest.mark.ray
@pytest.mark.slow
def test_a_server_that_never_answers_is_no_cluster() -> None:
    patience = {"RAY_py_gcs_connect_timeout_s": "2", "RAY_gcs_rpc_server_connect_timeout_s": "1"}  # not 40 s in all
    with socket.socket() as silent:
        silent.bind(("", 0))
        silent.listen()
        told = what_is_told(f"127.0.0.1:{silent.getsockname()[1]}", **patience)
    assert "no Ray cluster answers there" in told
    assert told.count("\n") == 1


@pytest.mark.ray
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_whose_path_is_too_long_for_sockets_is_named(variable: str, tmp_path: Path) -> None:
    folder = tmp_path / TOO_LONG
    folder.mkdir()
    told = what_is_told(**{variable: str(folder)})
    assert told.startswith(f"ConfigError {variable}={folder}: Ray cannot keep its sockets and logs there (")
    assert "set RAY_TMPDIR to a folder" in told


@pytest.mark.ray
def test_a_folder_that_cannot_be_made_is_named() -> None:
    told = what_is_told(RAY_TMPDIR="/proc/nowhere")
    assert told.startswith("ConfigError RAY_TMPDIR=/proc/nowhere: Ray cannot keep its sockets and logs there (")


def test_other_versions_are_named() -> None:
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.1\n"
        "This process on node 10.0.0.1:6379 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    assert why_not_joined(error) == (
        "that cluster runs Ray 2.59.0 on Python 3.12.1, and this process Ray 2.60.0 on Python 3.11.7; use the same "
        "versions in both"
    )


def test_a_token_that_is_missing_is_named() -> None:
    error = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    error.__cause__ = RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing or incorrect")
    assert "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH" in why_not_joined(error)


@pytest.mark.parametrize(
    "error", [ConnectionError("refused"), RuntimeError(""), ValueError("Invalid address format: x")]
)
def test_anything_else_is_no_cluster(error: Exception) -> None:
    assert why_not_joined(error).startswith("no Ray cluster answers there (")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            ":event_summary:Error: No available node types can fulfill resource request {'CPU': 3.0}. Add",
            [{"CPU": 3.0}],
        ),
        (
            "No available node types can fulfill resource requests {'CPU': 1.0, 'GPU': 0.5}*2, {'CPU': 9}*1. Add",
            [{"CPU": 1.0, "GPU": 0.5}, {"CPU": 9.0}],
        ),
        (":event_summary:Adding 1 node(s) of type small.", []),
        ("No available node types can fulfill resource request", []),
    ],
)
def test_what_an_autoscaler_refuses_stands_in_its_log(line: str, expected: list[dict[str, float]]) -> None:
    assert refused_in(line) == expected


def test_the_numbers_of_announced_deaths_are_those_of_ray() -> None:
    generated = pytest.importorskip("ray.core.generated.common_pb2")
    names = {name for name in ANNOUNCED_DEATHS if isinstance(name, str)}
    assert {generated.NodeDeathInfo.Reason.Value(name) for name in names} | names == ANNOUNCED_DEATHS
