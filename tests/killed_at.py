"""``python -m tests.killed_at PATTERN ARGUMENTS…``: the command line, killed once it has written a matching object.

The kill is SIGKILL, by the process itself: how far the work has come does not depend on who is how fast.
"""

import os
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from samurai_batch import cli, storage

ROOT = Path(__file__).parents[1]


def run_until(pattern: str, arguments: list[str]) -> None:
    """Run ``samurai-batch ARGUMENTS`` in a process until it writes an object whose URI matches ``pattern``."""
    command = [sys.executable, "-m", "tests.killed_at", pattern, *arguments]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr


def main(pattern: str, arguments: list[str]) -> None:
    """Run the command line in this process, which kills itself."""
    write = storage.write_bytes

    def write_and_die(uri: str, data: bytes) -> None:
        write(uri, data)
        if fnmatch(uri, pattern):
            os.kill(os.getpid(), signal.SIGKILL)

    storage.write_bytes = write_and_die
    sys.argv = ["samurai-batch", *arguments]
    cli.main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
