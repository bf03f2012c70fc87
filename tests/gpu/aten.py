"""Kinds of ATen operations: without a kernel, views, those that the host waits for, those made of others."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

NO_LAUNCH = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach", "lift_fresh"}
COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_VIEWS = {"_unsafe_view", "_reshape_alias", "alias"}
_WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal"}


def waits(name: str, args: Sequence[Any]) -> bool:
    """Whether the host waits for the device: the shape or value of the result depends on numbers that are there."""
    return name in _WAITING or (name == "index" and any(_is_mask(x) for x in args[1]))


@functools.cache
def is_composite(func: Any) -> bool:
    """Whether PyTorch carries the operation out by others, which are seen one by one."""
    has_kernel: bool = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE)
    return has_kernel


@functools.cache
def is_view(func: Any, name: str) -> bool:
    returns = func._schema.returns
    aliases = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    return aliases or name in _VIEWS


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
