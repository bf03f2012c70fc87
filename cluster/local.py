"""A cluster of two nodes on this machine: `python cluster/local.py`, until ctrl-C.

The nodes are two `ray start` of their own, so that one of them can be killed to see what becomes of a job. The job
API answers on http://127.0.0.1:8265 to those who have the cluster's token: RAY_AUTH_TOKEN_PATH names its file; where
that is not set a new one is made and its name printed. It stops the processes it started and no others.
"""

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

RAY = str(Path(sys.executable).with_name("ray"))


def node_commands(port: int, dashboard_port: int, num_cpus: int) -> list[list[str]]:
    """The command lines of the head and of the second node; the head's dashboard serves the job API."""
    head = [
        f"--head --port={port} --dashboard-host=127.0.0.1 --dashboard-port={dashboard_port}",
        f"--ray-client-server-port={port + 1} --dashboard-agent-listen-port={port + 2}",
        f"--metrics-export-port={port + 3}",
    ]
    second = [f"--address=127.0.0.1:{port} --dashboard-agent-listen-port={port + 4}"]
    second += [f"--metrics-export-port={port + 5}"]
    shared = f"--block --node-ip-address=127.0.0.1 --num-cpus={num_cpus}"
    shared += " --disable-usage-stats --object-store-memory=100000000"
    return [[RAY, "start", *" ".join(node).split(), *shared.split()] for node in (head, second)]


def token_environment(folder: str) -> dict[str, str]:
    """The variables that nodes and clients find the cluster's token by; a new token goes to ``folder``."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if path is None:
        path = str(Path(folder) / "token")  # in a folder that only its owner can enter
        Path(path).write_text(secrets.token_hex(32))
        print(f"export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={path}", flush=True)
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": path}


def run(head: list[str], second: list[str], dashboard_port: int, environment: dict[str, str]) -> int:
    """Start the nodes, stay until one of them ends, and stop the other. Returns 1: a node that ends has failed."""
    nodes = [subprocess.Popen(head, env=environment)]  # noqa: S603
    try:
        while all(node.poll() is None for node in nodes):
            if len(nodes) == 1 and listens(dashboard_port):  # the last of the head's servers to start
                nodes.append(subprocess.Popen(second, env=environment))  # noqa: S603
            time.sleep(0.2)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait()


def listens(port: int) -> bool:
    """Whether anybody accepts connections on this port of loopback."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Parse the ports and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=6379, help="of the head; the next five are used as well")
    parser.add_argument("--dashboard-port", type=int, default=8265, help="of the job API")
    parser.add_argument("--num-cpus", type=int, default=1, help="CPUs that each node offers")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _interrupt)
    head, second = node_commands(arguments.port, arguments.dashboard_port, arguments.num_cpus)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(head, second, arguments.dashboard_port, os.environ | token_environment(folder)))


if __name__ == "__main__":
    main()
