"""Which rule updates which parameter: Muon for the matrices of attention and MLPs, AdamW for everything else.

Muon (https://arxiv.org/abs/2502.16982), its updates scaled to AdamW's, learns more from few steps, and steps are what a
processor without GPU has few of.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from samurai_batch.training.muon import Muon

_ADAMW_SHARE = 0.4  # of Muon's rate


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
        """Update all parameters at ``factor`` times the base rate, and forget the gradients."""
        for part, optimizer in self.parts.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[part] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Everything the optimizers remember, by ``part.parameter.name``."""
        return {
            f"{part}.{index}.{name}": value
            for part, optimizer in self.parts.items()
            for index, remembered in optimizer.state_dict()["state"].items()
            for name, value in remembered.items()
            if isinstance(value, Tensor)
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what :meth:`tensors` gave, from a network of the same parameters."""
        for part, optimizer in self.parts.items():
            state = optimizer.state_dict()
            for key, value in tensors.items():
                owner, index, name = key.split(".", 2)
                if owner == part:
                    state["state"].setdefault(int(index), {})[name] = value
            optimizer.load_state_dict(state)


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim == 2 and ("blocks." in name or "layers." in name) and "embed" not in name


def blend(average: Iterable[Tensor], current: Iterable[Tensor], keep: float) -> None:
    """Move a running average towards the current values, in place: ``keep`` of the old stays."""
    torch._foreach_lerp_(list(average), list(current), 1.0 - keep)
