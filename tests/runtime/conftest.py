"""Fixtures of tests that run jobs: a local Ray."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from samurai_batch.runtime.ray_pool import connect, disconnect


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A local Ray whose workers import the tests by PYTHONPATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        connect(None)
        yield
        disconnect()
