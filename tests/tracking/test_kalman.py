"""The motion model, against the textbook's equations written out with explicit matrices."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch.prompts import Box
from samurai_batch.tracking.kalman import Form, KalmanState, box_of, initiate, measure, predict, update

FORMS: list[Form] = ["xyah", "xywh"]
Matrix = NDArray[np.float64]


def boxes_within(size: int) -> st.SearchStrategy[Box]:
    """Tight pixel boxes xyxy: the last pixel counts as the edge, so that a side may be 0."""
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(sorted)
    return st.tuples(pairs, pairs).map(lambda sides: tuple(float(sides[a][e]) for e in (0, 1) for a in (0, 1)))  # type: ignore[arg-type, return-value]


class Textbook:
    """x' = F x, P' = F P F^T + Q;  K = P H^T (H P H^T + R)^-1, x' = x + K (z - H x), P' = (I - K H) P.

    In the code: motion is F, seen is H, gain is K.
    """

    def __init__(self, box: Box, form: Form) -> None:
        self.form = form
        self.x = np.concatenate([self.measurement(box), np.zeros(4)])
        third, h = self.x[2:4]
        if form == "xyah":
            deviations = [2 * h / 20, 2 * h / 20, 1e-2, 2 * h / 20, 10 * h / 160, 10 * h / 160, 1e-5, 10 * h / 160]
        else:
            w = third
            deviations = [2 * w / 20, 2 * h / 20, 2 * w / 20, 2 * h / 20] + [10 * s / 160 for s in (w, h, w, h)]
        self.P = np.diag(np.square(deviations))

    def measurement(self, box: Box) -> Matrix:
        x1, y1, x2, y2 = box
        w, h = x2 - x1, y2 - y1
        h = 1.0 if h == 0 else h
        if self.form == "xyah":
            return np.array([(x1 + x2) / 2, (y1 + y2) / 2, w / h, h])
        return np.array([(x1 + x2) / 2, (y1 + y2) / 2, 1.0 if w == 0 else w, h])

    def predict(self) -> None:
        w, h = self.x[2], self.x[3]
        if self.form == "xyah":
            deviations = [h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]
        else:
            deviations = [w / 20, h / 20, w / 20, h / 20, w / 160, h / 160, w / 160, h / 160]
        motion = np.zeros((8, 8))
        for i in range(8):
            motion[i, i] = 1.0
        for i in range(4):
            motion[i, i + 4] = 1.0
        self.x = motion @ self.x
        self.P = motion @ self.P @ motion.T + np.diag(np.square(deviations))

    def update(self, box: Box) -> None:
        w, h = self.x[2], self.x[3]
        deviations = [h / 20, h / 20, 1e-1, h / 20] if self.form == "xyah" else [w / 20, h / 20, w / 20, h / 20]
        seen = np.zeros((4, 8))
        for i in range(4):
            seen[i, i] = 1.0
        gain = self.P @ seen.T @ np.linalg.inv(seen @ self.P @ seen.T + np.diag(np.square(deviations)))
        self.x = self.x + gain @ (self.measurement(box) - seen @ self.x)
        self.P = (np.eye(8) - gain @ seen) @ self.P


def smooth_path(start: Box, shifts: list[tuple[int, int, int]]) -> list[Box]:
    """Boxes that drift and grow by a few pixels a frame."""
    x1, y1, x2, y2 = start
    path = []
    for dx, dy, grow in shifts:
        x1, y1, x2, y2 = x1 + dx, y1 + dy, x2 + dx + grow, y2 + dy + grow
        path.append((x1, y1, max(x2, x1), max(y2, y1)))
    return path


small_shift = st.integers(-6, 6)
shifts = st.lists(st.tuples(small_shift, small_shift, st.integers(-2, 2)), min_size=1, max_size=15)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(shifts=shifts, missed=st.sets(st.integers(0, 14)))
def test_every_step_is_the_textbooks(form: Form, shifts: list[tuple[int, int, int]], missed: set[int]) -> None:
    start: Box = (100.0, 120.0, 180.0, 240.0)
    slow, state = Textbook(start, form), initiate(start, form)
    for index, box in enumerate(smooth_path(start, shifts)):
        slow.predict()
        state = predict(state, form)
        if index not in missed:
            slow.update(box)
            state = update(state, box, form)
        np.testing.assert_allclose(state.mean, slow.x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(state.covariance, slow.P, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=100, deadline=None)
@given(path=st.lists(boxes_within(256), min_size=1, max_size=25))
def test_covariance_stays_symmetric_and_positive_definite_however_boxes_jump(form: Form, path: list[Box]) -> None:
    state = initiate(path[0], form)
    for box in path:
        state = update(predict(state, form), box, form)
        assert np.isfinite(state.mean).all()
        scale = np.sqrt(np.outer(np.diag(state.covariance), np.diag(state.covariance)))
        correlation: Matrix = state.covariance / scale
        np.testing.assert_allclose(correlation, correlation.T, rtol=0, atol=1e-9)
        assert np.linalg.eigvalsh(correlation).min() > 0


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(box=boxes_within(512))
def test_the_first_state_rests_on_its_box(form: Form, box: Box) -> None:
    x1, y1, x2, y2 = box
    state = initiate(box, form)
    assert not state.mean[4:].any()
    if y2 > y1 and (x2 > x1 or form == "xyah"):
        np.testing.assert_allclose(box_of(state, form), box, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(predict(state, form).mean, state.mean)


def test_an_empty_box_counts_as_one_pixel_high() -> None:
    empty: Box = (0.0, 0.0, 0.0, 0.0)
    np.testing.assert_array_equal(measure(empty, "xyah"), [0, 0, 0, 1])
    np.testing.assert_array_equal(measure(empty, "xywh"), [0, 0, 1, 1])


@pytest.mark.parametrize("form", FORMS)
def test_steady_motion_is_learned(form: Form) -> None:
    path = smooth_path((10.0, 20.0, 50.0, 80.0), [(3, -1, 0)] * 40)
    state = initiate(path[0], form)
    for box in path[1:-1]:
        state = update(predict(state, form), box, form)
    np.testing.assert_allclose(box_of(predict(state, form), form), path[-1], rtol=0, atol=0.5)


def test_a_state_is_not_changed_by_what_is_made_of_it() -> None:
    state = initiate((1.0, 2.0, 30.0, 40.0), "xyah")
    before: dict[str, Any] = {"mean": state.mean.copy(), "covariance": state.covariance.copy()}
    update(predict(state, "xyah"), (5.0, 5.0, 30.0, 44.0), "xyah")
    np.testing.assert_equal(vars(KalmanState(**before)), vars(state))
