"""Logs how far a loop is that may take long: "12 of 300 videos exported"."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

T = TypeVar("T")

EVERY_S = 5.0


class Count:
    """Counts what is done, and logs the count every few seconds, first after these; a short loop logs nothing.

    ``what`` names what is counted in the plural, as in "videos exported"; ``total`` is None where it is not known.
    """

    def __init__(self, what: str, total: int | None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._what = what if total is None else f"of {total} {what}"
        self._clock_s = clock_s
        self._done = 0
        self._next_s = clock_s() + EVERY_S

    def add(self) -> None:
        """Count one more."""
        self._done += 1
        if (now_s := self._clock_s()) >= self._next_s:
            self._next_s = now_s + EVERY_S
            logger.info("%d %s", self._done, self._what)


def counted(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, one by one; each counts as done when the next is requested. ``total`` is their number, if known."""
    count = Count(what, len(items) if isinstance(items, Sized) else total)
    for item in items:
        yield item
        count.add()
