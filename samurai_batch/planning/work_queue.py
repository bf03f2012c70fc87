"""Work that waits for a replica: the costliest first, with a preference for the video a replica already holds."""

import heapq
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

_Entry = tuple[float, int, T]


class WorkQueue(Generic[T]):
    """A priority queue by seconds of remaining work, with a second order per video. O(log n) per operation."""

    def __init__(self) -> None:
        self._all: list[_Entry[T]] = []
        self._by_video: defaultdict[str | None, list[_Entry[T]]] = defaultdict(list)
        self._waiting: set[int] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def max_cost_s(self) -> float:
        """The seconds of the costliest item; 0 if nothing waits."""
        entry = self._first(self._all)
        return -entry[0] if entry else 0.0

    def reorder(self, cost_s: Callable[[T], float]) -> None:
        """Compute all costs anew. O(n)."""
        for heap in (self._all, *self._by_video.values()):
            heap[:] = [(-cost_s(item), number, item) for _, number, item in heap if number in self._waiting]
            heapq.heapify(heap)

    def push(self, item: T, video_id: str, cost_s: float) -> None:
        """Add an item; among equal costs the earlier one goes first."""
        number = next(self._numbers)
        entry = (-cost_s, number, item)
        self._waiting.add(number)
        heapq.heappush(self._all, entry)
        heapq.heappush(self._by_video[video_id], entry)

    def pop(self, video_id: str | None, open_s: float) -> T | None:
        """Take the costliest item; one of ``video_id`` counts as costlier by the ``open_s`` it saves."""
        entry = self._first(self._all)
        if entry is None:
            return None
        here = self._first(self._by_video[video_id]) if video_id in self._by_video else None
        if here is not None and here[0] - open_s <= entry[0]:
            entry = here
        self._waiting.remove(entry[1])
        return entry[2]

    def _first(self, heap: list[_Entry[T]]) -> _Entry[T] | None:
        """The head of a heap, past the entries that were taken through the other one."""
        while heap and heap[0][1] not in self._waiting:
            heapq.heappop(heap)
        return heap[0] if heap else None
