"""Several slow calls to storage at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def for_each(action: Callable[[T], R], items: Iterable[T], num_threads: int) -> list[R]:
    """The results in the items' order. All calls end before the first error, in that order, is raised."""
    items = list(items)
    if num_threads == 1 or len(items) <= 1:
        return [action(item) for item in items]
    with ThreadPoolExecutor(min(num_threads, len(items))) as executor:
        futures = [executor.submit(action, item) for item in items]
    return [future.result() for future in futures]
