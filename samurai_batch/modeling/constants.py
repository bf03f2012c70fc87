"""Tensors that depend on the weights alone: computed once and kept, instead of anew on every frame.

On a GPU each of them costs launches of small kernels, which is what a frame of a small model spends its time on.
Where gradients are wanted, or the compiler traces, nothing is kept.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from samurai_batch.modeling.kernels import cpu_kernels

T = TypeVar("T")

_READ: ContextVar[list[Any] | None] = ContextVar("read", default=None)


@contextmanager
def reading_constants() -> Iterator[list[Any]]:
    """Within it, this thread's constants are added to a list as they are read."""
    read: list[Any] = []
    token = _READ.set(read)
    try:
        yield read
    finally:
        _READ.reset(token)


@dataclass(frozen=True)
class _Entry:
    variant: Hashable
    sources: tuple[Tensor, ...]
    state: Hashable
    value: Any


class Constants:
    """The constants of one module, by name; a copy of the module begins with none."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def get(self, name: str, compute: Callable[[], T], *sources: Tensor, variant: Hashable = None) -> T:
        """What ``compute`` gives, or gave before with the same ``variant`` and unchanged ``sources``.

        ``sources`` are the parameters and buffers that it reads: it is computed again when one of them is replaced,
        changed in place, or moved to another dtype or device. Of each name one variant is kept.
        """
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return compute()
        state = tuple(_state(source) for source in sources)
        entry = self._entries.get(name)
        if entry is None or entry.variant != variant or entry.state != state or not _same(entry.sources, sources):
            entry = _Entry(variant, sources, state, compute())
            self._entries[name] = entry
        if (read := _READ.get()) is not None:
            read.append(entry.value)
        value: T = entry.value
        return value

    def __deepcopy__(self, memo: dict[int, Any]) -> "Constants":
        return Constants()

    def __reduce__(self) -> tuple[Any, ...]:
        return Constants, ()


def _state(source: Tensor) -> Hashable:
    """Changes with every change of the tensor in place, and with what the CPU computes by."""
    version = 0 if source.is_inference() else source._version
    kernels = cpu_kernels() if source.device.type == "cpu" else None
    return version, source.dtype, source.device, kernels


def _same(before: tuple[Tensor, ...], now: tuple[Tensor, ...]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))
