"""Runs measurements in new processes, which have nothing loaded, cached or warmed up."""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_barrier = Barrier(1)  # of a process that measures alone


def in_subprocess(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of ``work``, a module-level function, called in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(work, *args, **kwargs).result()


def in_processes_at_once(works: Iterable[Callable[[], R]]) -> list[R]:
    """The results of all ``works``, each called in a process of its own at the same time.

    Each calls `wait_for_the_others` where what it measures begins.
    """
    works = list(works)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(works))
    with ProcessPoolExecutor(len(works), mp_context=context, initializer=_set_barrier, initargs=(barrier,)) as executor:
        return [running.result() for running in [executor.submit(work) for work in works]]


def wait_for_the_others() -> None:
    """Block until all processes of `in_processes_at_once` have called this."""
    _barrier.wait()


def _set_barrier(barrier: Barrier) -> None:
    global _barrier  # a barrier can be inherited by a new process, but not sent along with its work
    _barrier = barrier
