from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from samurai_batch.evaluation.boxes import BoxProtocol, BoxScores, box_errors, box_scores, overlaps
from samurai_batch.evaluation.datasets import GOT10K_PROTOCOL, LASOT_PROTOCOL, OTB_PROTOCOL, TRACKINGNET_PROTOCOL

Boxes = NDArray[np.float64]
SIZE = (480, 640)
TRUTH = np.tile([100.0, 100.0, 40.0, 20.0], (5, 1))
NOTHING = [np.nan] * 4


def scores(predicted: Boxes, truth: Boxes, protocol: BoxProtocol, visible: list[int] | None = None) -> BoxScores:
    shown = np.ones(len(truth), np.bool_) if visible is None else np.array(visible, np.bool_)
    return box_scores(box_errors(predicted, truth, shown, protocol, *SIZE), protocol)


def test_overlap_of_boxes_worked_out_by_hand() -> None:
    a = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 0, 0]])
    b = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [10, 10, 5, 5], [0, 0, 0, 0]])
    assert overlaps(a, b).tolist() == [1.0, 50 / 150, 0.0, 0.0]


def test_a_perfect_track_has_the_highest_scores_its_benchmark_gives() -> None:
    for protocol in (LASOT_PROTOCOL, OTB_PROTOCOL, GOT10K_PROTOCOL):
        found = scores(TRUTH, TRUTH, protocol)
        assert found.success_auc == pytest.approx(20 / 21)  # an overlap of 1 is not above the last threshold, 1
        assert (found.precision, found.normalised_precision) == (1, 1)
        assert (found.average_overlap, found.success_rate_50, found.success_rate_75) == (1, 1, 1)
    assert scores(TRUTH, TRUTH, TRACKINGNET_PROTOCOL).success_auc == pytest.approx(0.975)  # 19.5 of 20 trapezoids


def test_a_track_of_nothing_counts_as_empty_boxes_or_as_the_last_box() -> None:
    predicted = np.tile(NOTHING, (5, 1))
    got = scores(predicted, TRUTH, GOT10K_PROTOCOL)
    assert (got.average_overlap, got.success_rate_50, got.success_auc) == (0, 0, 0)
    # LaSOT repeats the first box, which is the truth's own: here it never moves.
    assert scores(predicted, TRUTH, LASOT_PROTOCOL).average_overlap == 1
    moved = TRUTH.copy()
    moved[1:, 0] += 200
    found = scores(predicted, moved, LASOT_PROTOCOL)
    assert found.average_overlap == pytest.approx(1 / 5)
    assert found.precision == pytest.approx(1 / 5)


def test_a_shifted_box_worked_out_by_hand() -> None:
    predicted = TRUTH.copy()
    predicted[1:, 0] += 10  # 30 x 20 of 50 x 20 shared: overlap 0.6; 10 px away, 10 / 40 = 0.25 of its width
    found = scores(predicted, TRUTH, OTB_PROTOCOL)
    assert found.average_overlap == pytest.approx((1 + 4 * 0.6) / 5)
    assert found.success_rate_50 == 1
    assert found.success_rate_75 == pytest.approx(1 / 5)
    assert found.precision == 1
    assert found.precision_curve[9] == pytest.approx(1 / 5)
    assert found.precision_curve[10] == 1
    assert found.normalised_precision == pytest.approx(1 / 5)
    assert found.normalised_precision_curve[24:26].tolist() == pytest.approx([1 / 5, 1])
    # 12 of 21 thresholds (0 to 0.55) lie below 0.6 for the four frames, 20 for the first.
    assert found.success_auc == pytest.approx((4 * 12 + 20) / 21 / 5)


def test_trackingnet_rounds_boxes_and_integrates_its_curves() -> None:
    predicted = TRUTH.copy()
    predicted[1:, 0] += 10.4
    found = scores(predicted, TRUTH, TRACKINGNET_PROTOCOL)
    assert found.average_overlap == pytest.approx((1 + 4 * 0.6) / 5)
    # distances 0 and 10 over thresholds 0, 2.5, ..., 50: 1/5 up to 7.5, then 1.
    assert found.precision == pytest.approx((3 * 0.2 + 0.6 + 16 * 1) / 20)
    # 0.25 over thresholds 0, 0.025, ..., 0.5: 1/5 up to 0.225, then 1.
    assert found.normalised_precision == pytest.approx((9 * 0.2 + 0.6 + 10 * 1) / 20)


def test_frames_without_the_target_are_failures_in_lasot_and_left_out_elsewhere() -> None:
    visible = [1, 1, 0, 0, 1]
    lasot = scores(TRUTH, TRUTH, LASOT_PROTOCOL, visible)
    assert lasot.precision == pytest.approx(3 / 5)
    assert lasot.success_auc == pytest.approx(3 / 5 * 20 / 21)
    assert lasot.average_overlap == 1
    assert scores(TRUTH, TRUTH, OTB_PROTOCOL, visible).precision == 1
    out_of_view = TRUTH.copy()
    out_of_view[3] = 0  # a truth without size is not visible either
    assert scores(TRUTH, out_of_view, LASOT_PROTOCOL).precision == pytest.approx(4 / 5)


def test_got10k_leaves_out_the_first_frame_and_cuts_boxes_at_the_border() -> None:
    truth = np.tile([600.0, 400.0, 40.0, 80.0], (2, 1))
    predicted = np.array([[0.0, 0, 1, 1], [600, 400, 80, 80]])
    assert scores(predicted, truth, GOT10K_PROTOCOL).average_overlap == pytest.approx(1)
    assert scores(predicted, truth, replace(GOT10K_PROTOCOL, clipped=False)).average_overlap == pytest.approx(0.5)


def test_a_target_that_is_never_visible_has_no_scores() -> None:
    found = scores(TRUTH, TRUTH, OTB_PROTOCOL, [0] * 5)
    assert np.isnan([found.success_auc, found.precision, found.average_overlap, found.success_rate_50]).all()
