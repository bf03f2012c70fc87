"""Ctrl-C and SIGTERM as a question the driver asks between two events."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within the block, the first SIGINT or SIGTERM only sets a flag; a second one acts as it did before.

    Outside the main thread Python takes no signal handlers: there the flag stays down.
    """
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping.is_set
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request_stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        restore()
        logger.warning("%s: stopping; the same command goes on from here", signal.Signals(number).name)

    for number in _SIGNALS:
        signal.signal(number, request_stop)
    try:
        yield stopping.is_set
    finally:
        restore()
