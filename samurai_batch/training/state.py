"""The state that a training resumes from: weights, their average, the optimizers' state and the training curve.

Files: `state.safetensors`, whose metadata holds step, time and curve, and `progress.json`, a copy of that metadata.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from samurai_batch.plotting import Band, Curve, curve_plot

_TENSORS, _PROGRESS = "state.safetensors", "progress.json"
_PLOTTED = ("box_iou", "tracked_iou", "click_iou", "last_iou")
_SMOOTHING = 0.9


@dataclass(frozen=True)
class Point:
    """One point of the training curve: means of the metrics over the steps since the previous point."""

    step: int
    elapsed_s: int
    stage: str
    means: dict[str, float]

    def __str__(self) -> str:
        shown = " ".join(f"{name} {value:.3f}" for name, value in self.means.items())
        return f"{self.stage} step {self.step} {self.elapsed_s} s: {shown}"


@dataclass
class TrainingState:
    """The state after ``step`` steps and ``elapsed_s`` CPU seconds of all processes.

    ``average`` is the exponential moving average of ``weights``; it is what is exported.
    """

    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    elapsed_s: float = 0.0
    curve: list[Point] = field(default_factory=list)

    @classmethod
    def fresh(cls, weights: dict[str, Tensor]) -> "TrainingState":
        """The state before the first step."""
        return cls(weights=weights, average=copied(weights))


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors on the CPU, without gradients."""
    return {name: tensor.detach().clone().cpu() for name, tensor in tensors.items()}


def save_state(folder: Path, state: TrainingState) -> None:
    """Write a state into a folder, atomically: after a crash it holds the old state or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = {"weights": state.weights, "average": state.average, "optimizer": state.optimizer}
    tensors = {
        f"{group}/{name}": value.contiguous() for group, values in groups.items() for name, value in values.items()
    }
    curve = [asdict(point) for point in state.curve]
    progress = {"step": state.step, "elapsed_s": state.elapsed_s, "curve": curve}
    partial = folder / f"{_TENSORS}.partial"
    # In one file with the tensors, so that both are of the same step.
    save_file(tensors, partial, metadata={"progress": json.dumps(progress)})
    partial.replace(folder / _TENSORS)
    (folder / _PROGRESS).write_text(json.dumps(progress, indent=1))


def compacted(state: TrainingState) -> TrainingState:
    """The same state at a third of the size: average weights in float16, the optimizers' state in bfloat16.

    The weights themselves are left out: a training that resumes from it starts from the average.
    """
    return replace(
        state,
        weights={},
        average={name: tensor.half() for name, tensor in state.average.items()},
        optimizer={name: tensor.to(torch.bfloat16) for name, tensor in state.optimizer.items()},
    )


def mean_average(states: Sequence[TrainingState]) -> dict[str, Tensor]:
    """The mean of the average weights of several states of one training (https://arxiv.org/abs/2203.05482)."""
    return {name: torch.stack([state.average[name] for state in states]).mean(0) for name in states[0].average}


def export_weights(state: TrainingState, path: Path) -> None:
    """Write the average weights in float16, as the package ships them."""
    save_file({name: tensor.half().contiguous() for name, tensor in state.average.items()}, path)


def load_state(folder: Path) -> TrainingState | None:
    """Read the state in a folder; None if there is none."""
    path = folder / _TENSORS
    if not path.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimizer": {}}
    for key, value in load_file(path).items():
        group, name = key.split("/", 1)
        groups[group][name] = value.float()
    groups["weights"] = groups["weights"] or copied(groups["average"])
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
    return TrainingState(
        **groups,
        step=progress["step"],
        elapsed_s=progress["elapsed_s"],
        curve=[Point(**point) for point in progress["curve"]],
    )


def curve_svg(points: Sequence[Point]) -> str:
    """The IoUs of a training, smoothed, over hours, as SVG text. Grey bands tell its stages apart."""
    hours = [point.elapsed_s / 3600 for point in points]
    curves = []
    for name in _PLOTTED:
        of_name = [(hour, point.means[name]) for hour, point in zip(hours, points, strict=True) if name in point.means]
        if len(of_name) > 1:
            x, y = np.array(of_name).T
            curves.append(Curve(name.replace("_", " "), x, _smoothed(y)))
    ends = [*(n for n in range(len(points) - 1) if points[n].stage != points[n + 1].stage), len(points) - 1]
    starts = [0.0, *(hours[n] for n in ends)]
    bands = [Band(points[n].stage, start, hours[n]) for start, n in zip(starts, ends, strict=False)]
    return curve_plot("Training", "hours", "mean IoU", curves, bands=bands)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponential moving average of (n,) values."""
    smooth = values.copy()
    for n in range(1, len(values)):
        smooth[n] = _SMOOTHING * smooth[n - 1] + (1 - _SMOOTHING) * values[n]
    return smooth
