"""Work in background threads.

`prefetch` makes items in advance and `BackgroundCalls` carries out calls in order, each in one thread; `for_each`
makes several slow calls at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, Queue
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


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
        end = _End[T]()
        try:
            for item in items:
                queue.put(item)
                if is_stopping.is_set():
                    break
        except BaseException as error:  # raised again by the consumer
            end = _End(error)
        queue.put(end)
        del end  # its error refers to this frame, and would keep all that the frame holds

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        error, item.error = item.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it refers to this frame, and tensors that it keeps would stay on the device
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


def for_each(
    action: Callable[[T], R], items: Iterable[T], num_threads: int, *, on_progress: Callable[[], None] = lambda: None
) -> list[R]:
    """The results of ``action`` in the order of ``items``, up to ``num_threads`` calls at once.

    All calls end before the first error, in the order of the items, is raised. ``on_progress`` is called in this
    thread after every result; if it raises, calls that have not begun are dropped.
    """
    items = list(items)
    if num_threads == 1 or len(items) <= 1:
        results = []
        for item in items:
            results.append(action(item))
            on_progress()
        return results
    with ThreadPoolExecutor(min(num_threads, len(items))) as executor:
        futures = [executor.submit(action, item) for item in items]
        try:
            for future in futures:
                wait([future])
                on_progress()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
