"""The ranking of the frames that a person should correct first."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes
from samurai_batch.operations.worst import MIN_GAP_FRAMES, moments_of_track, worst_moments

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


def write_track(output: str, video_id: str, scores: dict[int, float], shift: int = 0) -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:10, 5 + shift : 10 + shift] = True
    made = [
        MaskRow(
            video_id=video_id,
            object_id="o",
            frame_index=index,
            timestamp_s=index / 10,
            height=20,
            width=30,
            segmentation=encode_mask(mask),
            mask_score=scores.get(index, 0.9),
            object_score=1.0,
            motion_score=None,
            mask_index=0,
            prompted=index == 0,
        )
        for index in range(15)
    ]
    storage.write_bytes(mask_table_uri(output, video_id, "o"), table_to_bytes(rows_to_table(made), {}))


def test_the_worst_of_all_videos_come_first_and_another_output_shows_disagreement(tmp_path: Path) -> None:
    output, other = str(tmp_path / "a"), str(tmp_path / "b")
    write_track(output, "v/1", {12: 0.5})
    write_track(output, "v/2", {3: 0.1})
    write_track(other, "v/1", {}, shift=5)
    write_track(other, "v/2", {})
    ranked = [(one.video_id, one.frame_index, one.kind) for one in worst_moments(output, 5)]
    assert ranked == [("v/2", 3, "score drop"), ("v/1", 12, "score drop")]
    assert [one.video_id for one in worst_moments(output, 1)] == ["v/2"]
    assert [one.video_id for one in worst_moments(output, 9, videos=["v/1", "none"])] == ["v/1"]
    first, *_ = worst_moments(output, 9, other=other)
    assert (first.video_id, first.kind, first.severity) == ("v/1", "disagreement", 1.0)
    with pytest.raises(ConfigError, match="there are no mask tables to rank"):
        worst_moments(str(tmp_path / "none"), 1)
    with pytest.raises(ConfigError, match="the number of worst moments is 0"):
        worst_moments(output, 0)
