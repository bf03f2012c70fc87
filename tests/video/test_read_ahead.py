import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.video.read_ahead import read_ahead


def read_ahead_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@given(items=st.lists(st.integers()), depth=st.integers(0, 5))
def test_the_items_come_out_as_they_went_in(items: list[int], depth: int) -> None:
    assert list(read_ahead(items, depth)) == items


def test_no_more_items_are_made_than_may_wait() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = read_ahead(items(), depth=3)
    assert next(ahead) == 0
    for thread in read_ahead_threads():
        thread.join(timeout=0.1)
    assert len(made) <= 5  # one taken, three waiting, one in hand
    ahead.close()


def test_without_depth_the_caller_makes_each_item_when_it_asks() -> None:
    made: list[tuple[int, str]] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append((number, threading.current_thread().name))
            yield number

    ahead = read_ahead(items(), depth=0)
    assert [next(ahead), next(ahead)] == [0, 1]
    me = threading.current_thread().name
    assert made == [(0, me), (1, me)]


@pytest.mark.parametrize("depth", [0, 4])
def test_an_error_comes_after_the_items_before_it(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    ahead = read_ahead(items(), depth)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


@pytest.mark.parametrize("num_taken", [0, 1, 5])
def test_stopping_early_ends_the_thread(num_taken: int) -> None:
    ahead = read_ahead(iter(range(1000)), depth=2)
    for _ in range(num_taken):
        next(ahead)
    ahead.close()
    assert read_ahead_threads() == []
