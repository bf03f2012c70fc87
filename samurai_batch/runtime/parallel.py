"""Several slow calls to storage at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def for_each(
    action: Callable[[T], R], items: Iterable[T], num_threads: int, *, on_progress: Callable[[], None] = lambda: None
) -> list[R]:
    """The results in the items' order. All calls end before the first error, in that order, is raised.

    ``meanwhile`` is called, in this thread, as often as a result has come.
    """
    items = list(items)
    if num_threads == 1 or len(items) <= 1:
        return [_then(action(item), on_progress) for item in items]
    with ThreadPoolExecutor(min(num_threads, len(items))) as executor:
        futures = [executor.submit(action, item) for item in items]
        for future in futures:
            wait([future])
            on_progress()
    return [future.result() for future in futures]


def _then(result: R, on_progress: Callable[[], None]) -> R:
    on_progress()
    return result
