from fractions import Fraction

from samurai_batch.video.frame_index import best_times, rising_times, step_between_frames


def test_presentation_times_are_used_while_they_rise() -> None:
    assert list(best_times([(0, None), (2, 0), (4, 2)])) == [0, 2, 4]


def test_decoding_times_are_used_where_presentation_times_fall_back_more_often() -> None:
    assert list(best_times([(5, 0), (3, 1), (2, 2), (1, 3)])) == [5, 1, 2, 3]
    assert list(best_times([(None, 7), (None, 8), (None, None)])) == [7, 8, None]


def test_times_that_fall_back_continue_one_step_later() -> None:
    assert list(rising_times([10, 14, 18, 2, 6, 6, 0], step=4)) == [10, 14, 18, 22, 26, 26, 30]


def test_a_frame_without_a_time_is_one_step_after_the_frame_before() -> None:
    assert list(rising_times([None, None, 20, None], step=4)) == [0, 4, 20, 24]
    assert list(rising_times([-8, -4, None], step=4)) == [-8, -4, 0]


def test_frames_without_times_at_the_end_keep_the_distance_of_those_before() -> None:
    assert list(rising_times([8, 10, 12, None, None], step=1)) == [8, 10, 12, 14, 16]


def test_a_step_is_one_frame_at_the_streams_rate_or_at_25_per_second() -> None:
    assert step_between_frames(Fraction(50), Fraction(1, 1000)) == 20
    assert step_between_frames(None, Fraction(1, 1000)) == 40
