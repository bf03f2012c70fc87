"""Work behind its caller: in order, never far, and no error is lost."""

import threading
from functools import partial

import pytest

from samurai_batch.behind import Behind


def wait_for(gate: threading.Event) -> None:
    assert gate.wait(600)


def test_work_is_done_in_its_order() -> None:
    done: list[int] = []
    with Behind(3) as behind:
        for number in range(20):
            behind.call(partial(done.append, number))
        behind.finish()
    assert done == list(range(20))


def test_without_depth_the_caller_does_the_work_itself() -> None:
    done_by: list[str] = []
    with Behind(0) as behind:
        behind.call(lambda: done_by.append(threading.current_thread().name))
        assert done_by == [threading.current_thread().name]
        with pytest.raises(StopIteration):
            behind.call(partial(next, iter(())))
        behind.finish()


def test_no_more_than_its_depth_waits() -> None:
    gate, done = threading.Event(), threading.Event()
    with Behind(2) as behind:
        behind.call(partial(wait_for, gate))
        behind.call(done.set)
        assert not done.is_set()
        threading.Timer(0.01, gate.set).start()
        behind.call(lambda: None)  # waits until the first is done
        assert gate.is_set()
        behind.finish()
    assert done.is_set()


def test_an_error_comes_back_to_the_caller() -> None:
    def fail() -> None:
        raise ValueError("boom")

    with Behind(1) as behind:
        behind.call(fail)
        with pytest.raises(ValueError, match="boom"):
            behind.finish()
    with Behind(1) as behind:
        behind.call(fail)
        with pytest.raises(ValueError, match="boom"):
            behind.call(lambda: None)


def test_leaving_early_drops_what_has_not_begun() -> None:
    gate = threading.Event()
    begun: list[int] = []
    with Behind(9) as behind:
        behind.call(partial(wait_for, gate))
        for number in range(3):
            behind.call(partial(begun.append, number))
        threading.Timer(0.05, gate.set).start()
    assert not begun
