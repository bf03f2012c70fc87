"""Work done behind its caller: in the order it was given, by one thread, with little of it waiting."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Behind:
    """Carries out calls in their order in a thread of its own; the caller waits once ``depth`` of them are open.

    What a call raises is raised by a later `call`, or by `finish`. Leaving the context drops what has not begun and
    waits for what has. With depth 0 the caller carries out each call itself, at once.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._open: deque[Future[None]] = deque()

    def call(self, work: Callable[[], None]) -> None:
        """Have ``work`` done after all that was given before."""
        if self._depth == 0:
            work()
            return
        while len(self._open) >= self._depth:
            self._open.popleft().result()
        self._open.append(self._executor.submit(work))

    def finish(self) -> None:
        """Wait until everything is done."""
        while self._open:
            self._open.popleft().result()

    def __enter__(self) -> "Behind":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)
