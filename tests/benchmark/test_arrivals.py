"""What `jobs/measure_arrivals.py` measures: the baseline and the scores."""

import numpy as np
import pytest

from samurai_batch.benchmark.arrivals import EVERY, MEASURES, associated, clip_scores, comparison_table
from samurai_batch.synthetic.arrivals import DetectedBox

NUM_FRAMES = 41
STILL = (10.0, 10.0, 30.0, 30.0)


def moving(frame: int) -> tuple[float, float, float, float]:
    return 60.0 + frame / 2, 50.0, 90.0 + frame / 2, 80.0


def truth() -> np.ndarray:
    boxes = np.full((NUM_FRAMES, 3, 4), np.nan)  # the third thing is never there
    for frame in range(NUM_FRAMES):
        boxes[frame, :2] = STILL, moving(frame)
    return boxes


def detections(*missed: int) -> list[DetectedBox]:
    frames = range(0, NUM_FRAMES, EVERY)
    return [DetectedBox(frame, STILL) for frame in frames if frame not in missed] + [
        DetectedBox(frame, moving(frame)) for frame in frames
    ]


def test_perfect_detections_of_slow_things_are_associated_perfectly() -> None:
    scores = clip_scores(truth(), associated(detections(), NUM_FRAMES))
    assert scores == pytest.approx({"HOTA": 1, "DetA": 1, "AssA": 1, "IDF1": 1, "IDSW": 0})


def test_a_box_that_is_missed_for_a_while_is_interpolated_and_for_long_is_another_track() -> None:
    assert len(associated(detections(10), NUM_FRAMES)) == 2
    assert sorted(associated(detections(10), NUM_FRAMES)["0-0"]) == list(range(NUM_FRAMES))
    assert len(associated(detections(10, 20, 30), NUM_FRAMES)) == 3


def test_a_track_that_changes_its_thing_is_a_switch() -> None:
    boxes = truth()
    swapped = {
        name: {frame: boxes[frame, thing if frame < 20 else 1 - thing] for frame in range(NUM_FRAMES)}
        for thing, name in enumerate("ab")
    }
    scores = clip_scores(boxes, swapped)
    assert scores["IDSW"] == 2
    assert scores["DetA"] == pytest.approx(1)
    assert scores["IDF1"] == pytest.approx(21 / 41)


def test_the_table_has_means_errors_and_the_difference_clip_by_clip() -> None:
    one, other = dict.fromkeys(MEASURES, 0.5), dict.fromkeys(MEASURES, 0.7)
    table = comparison_table([one, other], [one, one])
    assert "| HOTA | 0.600 ± 0.100 | 0.500 ± 0.000 | +0.100 ± 0.100 |" in table
