"""Work done ahead of its consumer, in one background thread; or when it is asked for."""

import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import Generic, TypeVar

T = TypeVar("T")


class _End(Generic[T]):
    """The last thing in the queue: what ended the work, if it was an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def read_ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """The items, up to ``depth`` of them made before they are asked for; then whatever error ended them.

    With depth 0 the caller makes each item when it asks, and there is no thread. Nothing runs before the first item is
    asked for. Closing the generator early waits for the item being made.
    """
    if depth == 0:
        yield from items
        return
    queue: Queue[T | _End[T]] = Queue(maxsize=depth)
    is_stopping = threading.Event()

    def work() -> None:
        end: _End[T] = _End()
        try:
            for item in items:
                queue.put(item)
                if is_stopping.is_set():
                    break
        except BaseException as error:  # carried to the consumer, who raises it
            end = _End(error)
        queue.put(end)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        is_stopping.set()
        while thread.is_alive():
            with suppress(Empty):
                queue.get(timeout=0.01)  # makes room for what the thread is waiting to put
        thread.join()
