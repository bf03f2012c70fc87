"""Muon for the matrices of attention and MLPs, AdamW for all other parameters.

Muon (https://arxiv.org/abs/2502.16982), its updates scaled to AdamW's, needs fewer steps, and a CPU affords few.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

_ADAMW_SHARE = 0.4  # AdamW's learning rate as a share of Muon's
_COEFFICIENTS = (3.4445, -4.775, 2.0315)  # Newton-Schulz iteration: the quintic with the steepest slope at zero
_ITERATIONS = 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """Approximately U Vᵀ of a matrix (A, B) with singular value decomposition U S Vᵀ, by Newton-Schulz iterations."""
    a, b, c = _COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised and scaled to the size of AdamW's updates; for matrices (A, B) only.

    It computes in the parameters' own dtype. `torch.optim.Muon` rounds to bfloat16, which a CPU without bfloat16
    instructions emulates: there its update of ``nano`` took longer than all gradients. The state is the same, so a
    saved one loads into either.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; ``closure`` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return None

    def _update(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer, momentum = state["momentum_buffer"], group["momentum"]
        buffer.lerp_(gradient, 1 - momentum)
        update = orthogonalised(gradient.lerp(buffer, momentum))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(parameter.shape)))


class Optimizers:
    """The two optimizers of a network, stepped and saved as one."""

    def __init__(self, model: nn.Module, rate: float, weight_decay: float) -> None:
        named = [(name, parameter) for name, parameter in model.named_parameters()]
        matrices = [parameter for name, parameter in named if _is_hidden_matrix(name, parameter)]
        others = [parameter for name, parameter in named if not _is_hidden_matrix(name, parameter)]
        self.rates = {"muon": rate, "adamw": rate * _ADAMW_SHARE}
        self.parts: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(matrices, lr=rate, weight_decay=weight_decay),
            "adamw": torch.optim.AdamW(
                [
                    {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
                    {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
                ],
                lr=rate,
                betas=(0.9, 0.98),
            ),
        }

    def step(self, factor: float) -> None:
        """Update all parameters at ``factor`` times the base learning rate, then clear the gradients."""
        for part, optimizer in self.parts.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[part] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """The optimizers' state, by ``optimizer.parameter_index.name``."""
        return {
            f"{part}.{index}.{name}": value
            for part, optimizer in self.parts.items()
            for index, remembered in optimizer.state_dict()["state"].items()
            for name, value in remembered.items()
            if isinstance(value, Tensor)
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state that :meth:`tensors` returned, of a network with the same parameters."""
        for part, optimizer in self.parts.items():
            state = optimizer.state_dict()
            for key, value in tensors.items():
                owner, index, name = key.split(".", 2)
                if owner == part:
                    state["state"].setdefault(int(index), {})[name] = value
            optimizer.load_state_dict(state)


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim == 2 and ("blocks." in name or "layers." in name) and "embed" not in name


def update_average(average: Iterable[Tensor], current: Iterable[Tensor], decay: float) -> None:
    """Update an exponential moving average in place: average = decay * average + (1 - decay) * current."""
    torch._foreach_lerp_(list(average), list(current), 1.0 - decay)
