"""Measuring in processes of their own, where nothing else has been loaded, warmed up or kept."""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_met = Barrier(1)  # a process that measures alone waits for nobody


def in_subprocess(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``work``, a function of a module, returns there."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(work, *args, **kwargs).result()


def in_processes_at_once(works: Iterable[Callable[[], R]]) -> list[R]:
    """What each returns in a process of its own, all of them at work at once; they begin at `wait_for_the_others`."""
    works = list(works)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(works))
    with ProcessPoolExecutor(len(works), mp_context=context, initializer=_meet_at, initargs=(barrier,)) as executor:
        return [running.result() for running in [executor.submit(work) for work in works]]


def wait_for_the_others() -> None:
    """Called where what is measured begins: returns once all that work at once have come here."""
    _met.wait()


def _meet_at(barrier: Barrier) -> None:
    global _met  # what a process is started with, it cannot be given along with its work
    _met = barrier
