"""Background threads keep the order of items and calls, stay within their depth, and lose no error."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.background import BackgroundCalls, for_each, prefetch
from samurai_batch.errors import OutputLockedError
from tests.waiting import LIMIT_S, wait_for


def pass_through(gate: threading.Event) -> None:
    assert gate.wait(LIMIT_S)


def test_calls_are_carried_out_in_their_order() -> None:
    done: list[int] = []
    with BackgroundCalls(3) as background:
        for number in range(20):
            background.call(partial(done.append, number))
        background.finish()
    assert done == list(range(20))


def test_with_depth_0_the_callers_thread_carries_out_each_call() -> None:
    done_by: list[str] = []
    with BackgroundCalls(0) as background:
        background.call(lambda: done_by.append(threading.current_thread().name))
        assert done_by == [threading.current_thread().name]
        with pytest.raises(StopIteration):
            background.call(partial(next, iter(())))
        background.finish()


def test_a_call_waits_while_depth_calls_are_unfinished() -> None:
    gate, done = threading.Event(), threading.Event()
    with BackgroundCalls(2) as background:
        background.call(partial(pass_through, gate))
        background.call(done.set)
        assert not done.is_set()
        threading.Timer(0.01, gate.set).start()
        background.call(lambda: None)  # waits until the first is done
        assert gate.is_set()
        background.finish()
    assert done.is_set()


def test_an_error_is_raised_by_a_later_call_or_by_finish() -> None:
    def fail() -> None:
        raise ValueError("boom")

    with BackgroundCalls(1) as background:
        background.call(fail)
        with pytest.raises(ValueError, match="boom"):
            background.finish()
    with BackgroundCalls(1) as background:
        background.call(fail)
        with pytest.raises(ValueError, match="boom"):
            background.call(lambda: None)


def test_leaving_the_context_cancels_calls_that_have_not_begun() -> None:
    begun: list[int] = []
    all_queued = threading.Event()

    def still_at_work_when_the_others_are_cancelled() -> None:
        pass_through(all_queued)
        wait_for(lambda: all(one.cancelled() for one in islice(background._unfinished, 1, None)), "their end")

    with BackgroundCalls(9) as background:
        background.call(still_at_work_when_the_others_are_cancelled)
        for number in range(3):
            background.call(partial(begun.append, number))
        all_queued.set()
    assert not begun


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@given(items=st.lists(st.integers()), depth=st.integers(0, 5))
def test_prefetched_items_keep_their_order(items: list[int], depth: int) -> None:
    assert list(prefetch(items, depth)) == items


def test_at_most_depth_items_wait_for_the_consumer() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = prefetch(items(), depth=3)
    for taken in range(1, 90):
        next(ahead)
        full = taken + 3 + 1  # three waiting, one in hand
        wait_for(lambda full=full: len(made) >= full, "the thread to have made all it may")  # type: ignore[misc]
        assert len(made) == full
    ahead.close()


def test_with_depth_0_the_consumers_thread_makes_each_item() -> None:
    made: list[tuple[int, str]] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append((number, threading.current_thread().name))
            yield number

    ahead = prefetch(items(), depth=0)
    assert [next(ahead), next(ahead)] == [0, 1]
    me = threading.current_thread().name
    assert made == [(0, me), (1, me)]


@pytest.mark.parametrize("depth", [0, 4])
def test_an_error_is_raised_after_the_items_before_it(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    ahead = prefetch(items(), depth)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


@pytest.mark.parametrize("num_taken", [0, 1, 5])
def test_closing_early_ends_the_prefetch_thread(num_taken: int) -> None:
    ahead = prefetch(iter(range(1000)), depth=2)
    for _ in range(num_taken):
        next(ahead)
    ahead.close()
    assert prefetch_threads() == []


def test_for_each_drops_what_has_not_begun_when_progress_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that finds its lease lost must not go on with the writes that it has queued."""
    begun, may_end, shutdown = [], threading.Event(), ThreadPoolExecutor.shutdown

    def then_let_end(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        shutdown(self, wait=False, cancel_futures=cancel_futures)
        may_end.set()
        shutdown(self, wait=wait)

    def action(number: int) -> None:
        begun.append(number)
        assert number == 0 or may_end.wait(LIMIT_S)

    def lose() -> None:
        raise OutputLockedError("taken over")

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", then_let_end)
    with pytest.raises(OutputLockedError):
        for_each(action, range(100), 2, on_progress=lose)
    assert len(begun) <= 3
