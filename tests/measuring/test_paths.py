import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch.measuring.crossings import crossings_of
from samurai_batch.measuring.paths import Path, make_path, motion_of, stays_of

NAN = float("nan")


def path_of(points: list[tuple[float, float] | None], seconds: float = 0.1, max_gap_s: float = 0.5) -> Path:
    points_xy = np.array([(NAN, NAN) if one is None else one for one in points], np.float64).reshape(-1, 2)
    return make_path(np.arange(len(points)), np.arange(len(points), dtype=np.float64) * seconds, points_xy, max_gap_s)


def line(*points: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(points, np.float64)


numbers = st.integers(-50, 50).map(float)
some_points = st.lists(st.none() | st.tuples(numbers, numbers), max_size=30)


def test_a_path_is_the_sum_of_its_steps_and_speed_is_path_over_time() -> None:
    motion = motion_of(path_of([(0, 0), (3, 4), (3, 4), (0, 0)]))
    assert (motion.path_px, motion.displacement_px) == (10, 0)
    assert motion.mean_speed_px_s == pytest.approx(10 / 0.3)
    assert motion.max_speed_px_s == pytest.approx(50)


def test_a_short_absence_is_bridged_by_a_straight_line_and_a_long_one_is_not() -> None:
    short = path_of([(0, 0), None, None, None, (8, 0)])
    assert motion_of(short).path_px == 8
    np.testing.assert_allclose(short.points_xy[:, 0], [0, 2, 4, 6, 8])
    assert short.present.tolist() == [True, False, False, False, True]
    long = path_of([(0, 0), (1, 0), *[None] * 5, (8, 0), (9, 0)])
    assert motion_of(long).path_px == 2
    assert len(stays_of(long, long.is_known)) == 2


def test_absence_at_the_ends_is_never_bridged() -> None:
    path = path_of([None, (1, 1), None])
    (stay,) = stays_of(path, path.is_known)
    assert (stay.first, stay.last, stay.entered, stay.left) == (1, 1, True, True)


def test_neighbouring_frames_are_joined_however_slow_the_video_is() -> None:
    assert motion_of(path_of([(0, 0), (5, 0)], seconds=20)).mean_speed_px_s == pytest.approx(0.25)


def test_rows_that_are_missing_count_as_a_gap() -> None:
    points = np.array([(0, 0), (1, 0), (50, 0)], np.float64)
    path = make_path(np.array([0, 1, 50]), np.array([0.0, 0.1, 5.0]), points, max_gap_s=1)
    assert motion_of(path).path_px == 1
    np.testing.assert_allclose(path.duration_s, [0.1, 0.1, 0.1])


@pytest.mark.parametrize("points", [[], [None], [None, None]])
def test_a_track_without_points_has_no_speed(points: list[None]) -> None:
    path = path_of(list(points))
    assert vars(motion_of(path)) == {
        "path_px": 0, "displacement_px": None, "mean_speed_px_s": None, "max_speed_px_s": None
    }  # fmt: skip
    assert stays_of(path, path.is_known) == []


def test_one_row_has_a_point_and_no_time() -> None:
    path = path_of([(1, 2)])
    assert motion_of(path).mean_speed_px_s is None
    assert path.duration_s.tolist() == [0]


@given(some_points, st.floats(0, 3))
def test_stays_hold_every_row_inside_once(points: list[tuple[float, float] | None], max_gap_s: float) -> None:
    path = path_of(points, max_gap_s=max_gap_s)
    inside = path.points_xy[:, 0] >= 0
    rows = [row for stay in stays_of(path, inside) for row in range(stay.first, stay.last + 1)]
    assert rows == np.flatnonzero(inside).tolist()


def test_a_crossing_has_a_row_a_place_and_a_side() -> None:
    (found,) = crossings_of(path_of([(0, 5), (4, 5), (12, 5)]), line((8, 0), (8, 10)))
    assert (found.row, found.x, found.y, found.to_side) == (
        2,
        8,
        5,
        "left",
    )  # downwards, the left side is where x grows
    (back,) = crossings_of(path_of([(12, 5), (4, 5)]), line((8, 0), (8, 10)))
    assert back.to_side == "right"
    (reverse,) = crossings_of(path_of([(12, 5), (4, 5)]), line((8, 10), (8, 0)))
    assert reverse.to_side == "left"


def test_a_path_beside_the_line_or_with_a_break_does_not_cross_it() -> None:
    gate = line((8, 0), (8, 10))
    assert crossings_of(path_of([(0, 11), (12, 11)]), gate) == []
    assert crossings_of(path_of([(0, 5), *[None] * 9, (12, 5)]), gate) == []
    assert len(crossings_of(path_of([(0, 5), None, (12, 5)]), gate)) == 1


def test_a_stop_on_the_line_is_one_crossing_and_a_touch_changes_no_net_count() -> None:
    gate = line((8, 0), (8, 10))
    assert len(crossings_of(path_of([(0, 5), (8, 5), (8, 5), (12, 5)]), gate)) == 1
    touch = [one.to_side for one in crossings_of(path_of([(12, 5), (8, 5), (12, 5)]), gate)]
    assert touch.count("left") == touch.count("right")


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_the_net_count_of_an_endless_line_is_that_of_its_first_and_last_point(
    points: list[tuple[float, float]],
) -> None:
    sides = [one.to_side for one in crossings_of(path_of(list(points)), line((0, -1e6), (0, 1e6)))]
    was_left, is_left = points[0][0] > 0, points[-1][0] > 0
    assert sides.count("left") - sides.count("right") == int(is_left) - int(was_left)


def test_a_bent_line_is_crossed_once_at_its_corner() -> None:
    bent = line((0, 0), (10, 0), (10, 10))
    assert len(crossings_of(path_of([(12, -2), (8, 2)]), bent)) == 1
    assert len(crossings_of(path_of([(5, -5), (5, 5), (15, 5)]), bent)) == 2
