"""The job that trains nano goes on from the state in the repository: its stages keep their names and their length."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from samurai_batch.modeling.configs import NANO
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.training.optimizer import Optimizers
from samurai_batch.training.schedule import progress_at
from samurai_batch.training.state import load_state

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture(scope="module")
def job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_nano", JOBS / "train_nano.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_nano"] = module
    spec.loader.exec_module(module)
    return module


def test_the_stages_that_saved_states_name_are_still_there(job: ModuleType) -> None:
    names = [stage.name for stage in job.STAGES]
    assert names[-2:] == ["small world", "world"]
    state = load_state(JOBS / "nano_state")
    assert state is not None
    assert {point.stage for point in state.curve} <= set(names)
    progress = progress_at(job.STAGES, state.elapsed_s / 60)
    assert progress is not None
    assert job.STAGES[progress.stage].name == state.curve[-1].stage == "world"


def test_a_saved_state_loads_into_the_network_and_its_optimizers(job: ModuleType) -> None:
    state = load_state(JOBS / "nano_state")
    assert state is not None
    model = SAM2(NANO, 256).float()
    model.load_state_dict(state.weights)
    Optimizers(model, 1e-3, 0.05).load_tensors(state.optimizer)
    assert state.optimizer
