"""The tests' small network as a row of the model table, and weights of it."""

import pytest
from torch import Tensor

from samurai_batch.modeling.checkpoints import parameter_shapes
from samurai_batch.modeling.configs import MODELS
from samurai_batch.modeling.untrained import seeded_weights
from tests.deterministic import SMALL


@pytest.fixture
def small_row(monkeypatch: pytest.MonkeyPatch) -> str:
    """The tests' small network as a row of the model table."""
    monkeypatch.setitem(MODELS, SMALL.name, SMALL)
    return SMALL.name


@pytest.fixture
def small_tensors() -> dict[str, Tensor]:
    return seeded_weights(parameter_shapes(SMALL), seed=3)
