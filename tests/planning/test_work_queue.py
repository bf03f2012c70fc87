from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.planning.work_queue import WorkQueue


def test_the_costliest_goes_first_and_equals_in_turn() -> None:
    line: WorkQueue[str] = WorkQueue()
    for item, cost_s in [("a", 1.0), ("b", 3.0), ("c", 3.0), ("d", 2.0)]:
        line.push(item, "v", cost_s)
    assert [line.pop(None, 0.0) for _ in range(5)] == ["b", "c", "d", "a", None]


def test_what_saves_opening_a_video_counts_as_costlier_by_that() -> None:
    line: WorkQueue[str] = WorkQueue()
    line.push("far", "w", 10.0)
    line.push("near", "v", 8.0)
    line.push("nearest", "v", 7.0)
    assert line.pop("v", open_s=2.0) == "near"
    assert line.pop("v", open_s=2.0) == "far"
    assert line.pop("v", open_s=2.0) == "nearest"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100)), max_size=30), st.data())
def test_every_item_comes_out_once(items: list[tuple[str, float]], data: st.DataObject) -> None:
    line: WorkQueue[int] = WorkQueue()
    for number, (video_id, cost_s) in enumerate(items):
        line.push(number, video_id, cost_s)
    taken = [line.pop(data.draw(st.sampled_from("abcd")), open_s=5.0) for _ in items]
    assert sorted(number for number in taken if number is not None) == list(range(len(items)))
    assert len(line) == 0
