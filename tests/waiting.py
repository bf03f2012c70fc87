"""Waiting for what another thread or process does: for the event itself, not for a time in which it should be done."""

import time
from collections.abc import Callable

LIMIT_S = 600.0
"""Longer than anything here takes on a busy machine. It only ends a test whose event never comes."""


def wait_for(condition: Callable[[], bool], what: str, poll_s: float = 0.01) -> None:
    """Return once ``condition`` holds; fails with ``what`` was waited for if it never does."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waiting for {what}"
        time.sleep(poll_s)
