"""Measuring in a process of its own, where nothing else has been loaded, warmed up or kept."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def in_a_process_apart(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``work``, a function of a module, returns there."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(work, *args, **kwargs).result()
