"""The processes that train one network together: each learns from batches of its own, and all take the same step.

`torchrun --nproc-per-node 2 jobs/train_nano.py …` starts them; a process alone is a crew of one.
"""

import threading

import torch
import torch.distributed as dist
from torch import nn


class Crew:
    """A process among those of `torch.distributed`'s default group, or alone where there is none.

    Every member must call the same methods in the same order: each waits for the others.
    """

    is_stopping: bool

    def __init__(self, stop: threading.Event) -> None:
        together = dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1
        self._stop = stop
        self.count(0.0)

    @property
    def is_first(self) -> bool:
        """Whether this member writes state and log for all."""
        return self.rank == 0

    def count(self, seconds: float) -> float:
        """The seconds that all members worked; and if one was told to stop, ``is_stopping`` is set in all."""
        told = torch.tensor([seconds, float(self._stop.is_set())], dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(told)
        self.is_stopping = bool(told[1] > 0)
        return float(told[0])

    def start_equal(self, model: nn.Module) -> None:
        """Give all members the first one's parameters."""
        if self.size > 1:
            for parameter in model.parameters():
                dist.broadcast(parameter.detach(), 0)

    def average_gradients(self, model: nn.Module) -> None:
        """Put the mean of the members' gradients in their place; what has none here counts as zero."""
        if self.size == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        flat = torch.cat([_gradient(parameter).flatten() for parameter in parameters])
        dist.all_reduce(flat)
        for parameter, mean in zip(
            parameters, flat.div_(self.size).split([p.numel() for p in parameters]), strict=True
        ):
            parameter.grad = mean.view_as(parameter)


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
