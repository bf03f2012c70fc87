"""Two processes that train together, on one machine: the steps of one process with the whole batch."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from samurai_batch.training.state import load_state
from tests.training.ddp_process import clips, step
from tests.waiting import LIMIT_S, wait_for

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def processes(what: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.training.ddp_process", what]
    return [subprocess.Popen([*command, str(rank), str(folder)], cwd=ROOT, start_new_session=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what two processes wrote that took a step together."""
    folder = tmp_path_factory.mktemp("steps")
    assert [process.wait(LIMIT_S) for process in processes("step", folder)] == [0, 0]
    return folder


@pytest.fixture
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")


@pytest.mark.usefixtures("_in_float32")
def test_two_processes_with_half_of_a_batch_each_take_the_same_step_as_one(steps: Path) -> None:
    first, second = (load_file(steps / f"{rank}.safetensors") for rank in (0, 1))
    alone = step(clips([0, 1, 2, 3]))
    assert first.keys() == second.keys() == alone.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    for name, tensor in alone.items():
        kind, _, parameter = name.partition("/")
        gradient = alone.get(f"gradient/{parameter}", torch.zeros_like(tensor))
        # AdamW's first step follows the sign of a gradient. Where that is zero but for rounding, as of the biases of
        # keys (they shift all scores of a softmax alike), the sign is chance.
        is_sure = torch.ones_like(tensor, dtype=torch.bool) if kind == "gradient" else gradient.abs() > 1e-5
        torch.testing.assert_close(first[name][is_sure], tensor[is_sure], rtol=1e-3, atol=1e-6, msg=name)
    gradients = torch.cat([tensor.flatten() for name, tensor in alone.items() if name.startswith("gradient/")])
    assert (gradients.abs() > 1e-5).float().mean() > 0.5


@pytest.mark.usefixtures("_in_float32")
def test_a_parameter_that_one_process_alone_uses_gets_half_of_its_gradient_in_both(steps: Path) -> None:
    first, second = (load_file(steps / f"{rank}-of-two-kinds.safetensors") for rank in (0, 1))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    box, mask = step(clips([0], "box")), step(clips([1], "mask"))
    name = "gradient/mask_downsample.weight"
    assert name not in box
    torch.testing.assert_close(first[name], mask[name] / 2, rtol=1e-3, atol=1e-6)


def have_stepped(members: list[subprocess.Popen[bytes]], folder: Path) -> bool:
    assert all(member.poll() is None for member in members)
    return len(list(folder.glob("*.stepped"))) == len(members)


def test_two_processes_that_train_together_take_the_same_steps_and_stop_together(tmp_path: Path) -> None:
    members = processes("train", tmp_path)
    try:
        wait_for(partial(have_stepped, members, tmp_path), "a step of both")
        # One alone is told, with the process that loads for it, as a terminal and torchrun do.
        os.killpg(members[1].pid, signal.SIGTERM)
        assert [member.wait(LIMIT_S) for member in members] == [0, 0]
    finally:
        for member in members:
            member.kill()
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
    kept = load_state(tmp_path / "state")
    assert kept is not None
    assert kept.step > 0
    assert all(torch.equal(weight, first[name]) for name, weight in kept.weights.items())
