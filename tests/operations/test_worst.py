"""The worst moments over all tracks of an output."""

from pathlib import Path

import numpy as np
import pytest

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes
from samurai_batch.operations.worst import worst_moments


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
