"""The moments of a track that a person should check."""

import numpy as np
import pandas as pd

from samurai_batch.evaluation.moments import MIN_GAP_FRAMES, Moment, moments_of_track, worst_of

NUM_FRAMES = 60


def rows(**changes: dict[int, float]) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "frame_index": np.arange(NUM_FRAMES),
            "area": 100,
            "mask_score": 0.9,
            "motion_score": 0.8,
            "prompted": np.arange(NUM_FRAMES) == 0,
        }
    )
    for column, values in changes.items():
        for frame, value in values.items():
            table.loc[frame, column] = value
    return table


def found(table: pd.DataFrame, ious: dict[int, float] | None = None) -> list[tuple[int, str, float]]:
    return [(one.frame_index, one.kind, round(one.severity, 3)) for one in moments_of_track(("v", "o"), table, ious)]


def test_a_steady_track_has_no_moments() -> None:
    assert found(rows()) == []


def test_each_kind_is_found_where_it_is_worst_and_prompted_frames_are_left_out() -> None:
    table = rows(mask_score={0: 0.0, 20: 0.6, 21: 0.3, 22: 0.6}, motion_score={40: 0.1})
    assert found(table) == [(21, "score drop", 0.6), (40, "off the motion", 0.7)]
    assert found(rows(), {5: 0.25, 0: 0.0}) == [(5, "disagreement", 0.75)]


def test_a_longer_absence_is_worse_and_stands_where_the_object_was_lost() -> None:
    short, long = rows(area={30: 0}), rows(area=dict.fromkeys(range(30, NUM_FRAMES), 0))
    assert found(short) == [(30, "absent", round(0.5 + 0.5 / 30, 3))]
    assert found(long) == [(30, "absent", 1.0)]


def test_neighbouring_frames_are_one_moment() -> None:
    near = rows(mask_score={30: 0.4, 30 + MIN_GAP_FRAMES: 0.3})
    assert [frame for frame, *_ in found(near)] == [30 + MIN_GAP_FRAMES]
    far = rows(mask_score={30: 0.4, 31 + MIN_GAP_FRAMES: 0.3})
    assert [frame for frame, *_ in found(far)] == [30, 31 + MIN_GAP_FRAMES]


def test_an_object_that_came_back_and_an_area_that_jumps_are_moments() -> None:
    back = rows(area=dict.fromkeys(range(20, 40), 0))
    assert found(back) == [(20, "absent", 0.75), (40, "found again", 0.375)]
    assert found(rows(area=dict.fromkeys(range(30, NUM_FRAMES), 200))) == [(30, "area jump", 0.25)]
    assert found(rows(area=dict.fromkeys(range(30, NUM_FRAMES), 199))) == []


def test_an_empty_track_and_one_that_is_never_there_have_no_moments() -> None:
    assert moments_of_track(("v", "o"), rows().iloc[:0]) == []
    assert found(rows(area=dict.fromkeys(range(NUM_FRAMES), 0))) == []


def test_each_moment_says_in_words_what_happened() -> None:
    table = rows(area=dict.fromkeys(range(20, 32), 0.0) | {45: 30.0}, mask_score={5: 0.25}, motion_score={56: 0.1})
    texts = [one.text for one in moments_of_track(("v", "o"), table)]
    assert texts == [
        "mask score down to 0.25 on frame 5",
        "lost on frame 20, for 12 frame(s)",
        "found again on frame 32",
        "area 100 to 30 pixels on frame 45",
        "IoU with the motion model down to 0.10 on frame 56",
    ]
    assert moments_of_track(("v", "o"), rows(area={59: 0}))[0].text == "lost on frame 59, to the end"
    assert moments_of_track(("v", "o"), rows(), {7: 0.5})[0].text == "IoU with the other output 0.50 on frame 7"


def test_the_worst_come_first_and_equal_ones_by_video_object_and_frame() -> None:
    def moment(video_id: str, frame: int, severity: float) -> Moment:
        return Moment(
            video_id=video_id, object_id="o", frame_index=frame, kind="absent", severity=severity, text="lost"
        )

    made = [moment("b", 1, 0.5), moment("a", 9, 0.5), moment("c", 3, 0.9), moment("a", 2, 0.5)]
    assert [(one.video_id, one.frame_index) for one in worst_of(made, 3)] == [("c", 3), ("a", 2), ("a", 9)]
    assert len(worst_of(made, None)) == 4
