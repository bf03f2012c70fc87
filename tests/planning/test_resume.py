from samurai_batch.planning.resume import NOTHING_SAVED, SavedWork, aligned, next_chunk
from samurai_batch.tasks import Leg
from tests.planning.builders import track

FORWARD = Leg(track=track(), reverse=False, start_frame=12, end_frame=None, first_row=12)
BACKWARD = Leg(track=track(), reverse=True, start_frame=35, end_frame=0, first_row=35)


def saved(parts: list[int], states: list[int], *, reverse: bool = False) -> SavedWork:
    return SavedWork(frozenset((reverse, k) for k in parts), frozenset((reverse, k) for k in states))


def test_nothing_saved_begins_at_the_chunk_of_the_first_frame() -> None:
    assert next_chunk(FORWARD, NOTHING_SAVED, 10) == 1
    assert next_chunk(BACKWARD, NOTHING_SAVED, 10) == 3


def test_a_chunk_without_its_state_is_not_done() -> None:
    assert next_chunk(FORWARD, saved([1, 2], [1]), 10) == 2
    assert next_chunk(BACKWARD, saved([3, 2], [3], reverse=True), 10) == 2


def test_a_missing_part_sends_the_leg_back_to_before_it() -> None:
    assert next_chunk(FORWARD, saved([1, 3], [2, 3]), 10) == 1
    assert next_chunk(FORWARD, saved([1, 3], [1, 3]), 10) == 2


def test_one_direction_says_nothing_of_the_other() -> None:
    assert next_chunk(BACKWARD, saved([3, 2, 1], [1]), 10) == 3


def test_a_leg_that_was_saved_before_a_crash_goes_back_to_its_batch() -> None:
    assert aligned([(FORWARD, saved([1, 2], [1, 2])), (FORWARD, saved([1], [1]))], 10) == [2, 2]
    assert aligned([(FORWARD, saved([1], [1])), (FORWARD, NOTHING_SAVED)], 10) == [1, 1]


def test_a_leg_without_the_state_before_stays_ahead() -> None:
    assert aligned([(FORWARD, saved([1, 2], [2])), (FORWARD, saved([1], [1]))], 10) == [3, 2]


def test_a_leg_far_ahead_is_not_set_back_by_one_that_begins() -> None:
    assert aligned([(FORWARD, saved([1, 2, 3], [2, 3])), (FORWARD, NOTHING_SAVED)], 10) == [4, 1]


def test_a_finished_leg_sets_no_other_leg_back() -> None:
    short = Leg(track=track(), reverse=False, start_frame=12, end_frame=19, first_row=12)
    assert aligned([(short, saved([1], [1])), (FORWARD, saved([1, 2], [1, 2]))], 10) == [2, 3]
