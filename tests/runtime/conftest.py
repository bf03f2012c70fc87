"""Fixtures of tests that run jobs: one thread also where a job decides how many, and a local Ray."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from samurai_batch.runtime.ray_pool import connect, disconnect


@pytest.fixture
def one_thread(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere; and to a job the machine has one CPU."""
    monkeypatch.setattr("samurai_batch.runtime.assembly.MACHINE_THREADS", 1)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A local Ray whose workers import the tests by PYTHONPATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        connect(None)
        yield
        disconnect()
