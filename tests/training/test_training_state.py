"""What a training leaves: its state, its weights, its curve."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.modeling.configs import NANO
from samurai_batch.training.initialization import initial_weights
from samurai_batch.training.state import (
    Point,
    TrainingState,
    compacted,
    curve_svg,
    export_weights,
    load_state,
    mean_average,
    save_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_state_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    state = TrainingState.fresh({"a.weight": torch.randn(2, 3)})
    state.optimizer = {"adamw.0.exp_avg": torch.randn(4)}
    state.step, state.elapsed_s = 7, 3.5
    state.curve = [Point(7, 3, "a", {"loss": 1.0})]
    save_state(tmp_path, state)
    again = load_state(tmp_path)
    assert again is not None
    assert torch.equal(again.weights["a.weight"], state.weights["a.weight"])
    assert torch.equal(again.optimizer["adamw.0.exp_avg"], state.optimizer["adamw.0.exp_avg"])
    assert (again.step, again.elapsed_s, again.curve) == (7, 3.5, state.curve)
    assert load_state(tmp_path / "nothing") is None


def test_a_compacted_state_is_a_third_of_the_size_and_goes_on_from_its_average(tmp_path: Path) -> None:
    state = TrainingState.fresh({"a.weight": torch.randn(64, 64)})
    state.average = {"a.weight": torch.randn(64, 64)}
    state.optimizer = {"muon.0.momentum_buffer": torch.randn(64, 64)}
    save_state(tmp_path / "whole", state)
    save_state(tmp_path / "kept", compacted(state))
    sizes = [(tmp_path / name / "state.safetensors").stat().st_size for name in ("whole", "kept")]
    assert sizes[1] < 0.4 * sizes[0]
    again = load_state(tmp_path / "kept")
    assert again is not None
    torch.testing.assert_close(again.average["a.weight"], state.average["a.weight"], rtol=1e-3, atol=1e-3)
    assert torch.equal(again.weights["a.weight"], again.average["a.weight"])
    again.weights["a.weight"].zero_()
    assert again.average["a.weight"].any()
    assert again.optimizer["muon.0.momentum_buffer"].dtype == torch.float32


def test_exported_weights_load_as_the_packages_own_do(tmp_path: Path) -> None:
    state = TrainingState.fresh(initial_weights(NANO, 0))
    export_weights(state, tmp_path / "nano.safetensors")
    weights = load_weights("nano", str(tmp_path / "nano.safetensors"))
    assert weights.tensors.keys() == state.average.keys()
    assert (tmp_path / "nano.safetensors").stat().st_size < 12e6


def test_the_curve_becomes_a_picture_with_its_stages() -> None:
    points = [Point(step, step * 60, "a" if step < 3 else "b", {"box_iou": step / 9}) for step in range(1, 7)]
    texts = [text for text in ET.fromstring(curve_svg(points)).itertext() if text]  # noqa: S314
    assert {"a", "b", "box iou", "hours"} <= set(texts)
    assert "click iou" not in texts


def test_the_mean_of_states_is_that_of_their_average_weights() -> None:
    states = [TrainingState(weights={}, average={"w": torch.full((2,), value)}) for value in (1.0, 4.0)]
    assert mean_average(states)["w"].tolist() == [2.5, 2.5]
