"""Work in one background thread: `prefetch` makes items in advance, `BackgroundCalls` carries out calls in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Queue
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class _End(Generic[T]):
    """The last entry of the queue, with the error that ended the iteration, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield ``items``, of which a background thread makes up to ``depth`` in advance.

    An error of ``items`` is raised after the items before it. The thread starts with the first request. With depth 0
    there is no thread. Closing the generator early waits for the item in the making.
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
        except BaseException as error:  # raised again by the consumer
            end = _End(error)
        queue.put(end)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
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
                queue.get(timeout=0.01)  # unblocks a thread that waits for room in the queue
        thread.join()


class BackgroundCalls:
    """Carries out calls one after another in a background thread, with at most ``depth`` of them unfinished.

    An error of a call is raised by a later `call` or by `finish`. Leaving the context cancels the calls that have not
    begun and waits for the one that has. With depth 0 the caller's own thread carries out each call at once.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._unfinished: deque[Future[None]] = deque()

    def call(self, work: Callable[[], None]) -> None:
        """Queue one call; waits while ``depth`` calls are unfinished."""
        if self._depth == 0:
            work()
            return
        while len(self._unfinished) >= self._depth:
            self._unfinished.popleft().result()
        self._unfinished.append(self._executor.submit(work))

    def finish(self) -> None:
        """Wait until all calls are done."""
        while self._unfinished:
            self._unfinished.popleft().result()

    def __enter__(self) -> "BackgroundCalls":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)
