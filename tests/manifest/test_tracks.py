import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch import storage
from samurai_batch.manifest import parse_prompts, read_prompts, write_prompts
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from samurai_batch.rle import decode_mask, rle_to_coco
from samurai_batch.tasks import Track, Video
from tests.manifest.prompt_rows import BOX, MASK, POINTS, an_rle, png, tracks_of_a_job


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@settings(deadline=None, max_examples=60)
@given(tracks=tracks_of_a_job())
def test_tracks_come_back_from_every_format_as_they_were(ending: str, tracks: list[Track]) -> None:
    uri = f"memory://manifest/prompts.{ending}"
    write_prompts(uri, tracks)
    assert read_prompts(uri) == tracks


@pytest.mark.server
def test_a_table_on_s3_is_read(s3_uri: str) -> None:
    track = Track(video=Video("v", "s3://b/v.mp4"), object_id="1", prompts=(BoxPrompt(3, (1, 2, 3, 4)),))
    for ending in ("parquet", "csv", "jsonl"):
        write_prompts(f"{s3_uri}/prompts.{ending}", [track])
        assert read_prompts(f"{s3_uri}/prompts.{ending}") == [track]


def test_rows_of_a_track_are_put_together_wherever_they_stand() -> None:
    rows = [
        {**BOX, "frame_index": 9},
        {**BOX, "object_id": "other"},
        {**POINTS, "frame_index": 4, "end_frame": 20, "direction": "both"},
        {**POINTS, "frame_index": 9},
    ]
    first, second = parse_prompts(pd.DataFrame(rows))
    points = ((1.0, 2.0), (3.5, 4.0))
    assert first == Track(
        video=Video("v", "v.mp4"),
        object_id="o",
        prompts=(
            PointsPrompt(4, points, (1, 0)),
            BoxPrompt(9, (1, 2, 3, 4)),
            PointsPrompt(9, points, (1, 0)),
        ),
        end_frame=20,
        direction="both",
    )
    assert second.object_id == "other"
    assert (second.end_frame, second.direction) == (None, "forward")


@given(st.permutations([BOX, {**POINTS, "frame_index": 2}, {**MASK, "frame_index": 1}]))
def test_the_order_of_rows_does_not_change_a_track(rows: list[dict[str, Any]]) -> None:
    (track,) = parse_prompts(pd.DataFrame(rows))
    assert [type(prompt) for prompt in track.prompts] == [BoxPrompt, MaskPrompt, PointsPrompt]


def test_a_row_of_a_mask_table_serves_as_a_prompt(tmp_path: Path) -> None:
    table = pa.table({"segmentation": [rle_to_coco(an_rle())]})
    pq.write_table(table, tmp_path / "masks.parquet")
    segmentation = pd.read_parquet(tmp_path / "masks.parquet").segmentation[0]
    (track,) = parse_prompts(pd.DataFrame([{**MASK, "mask": segmentation}]))
    assert track.prompts == (MaskPrompt(0, an_rle()),)


def test_csv_takes_lists_as_json_text_and_empty_cells_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prompts.CSV"
    path.write_text(
        "\ufeffvideo_id,video_uri,object_id,frame_index,kind,box_xyxy,points_xy,labels,mask,start_frame,direction\n"
        'null,a.mp4,1,3.0,box,"[1, 2, 3.5, 4]",,,,0,backward\n'
        "\n"
        'null,a.mp4,2,3,points,,"[[1, 2]]",[1],,,\n'
        f'null,a.mp4,3,3,mask,,,,"{json.dumps(rle_to_coco(an_rle())).replace(chr(34), chr(34) * 2)}",,\n'
    )
    box, points, mask = read_prompts(str(path))
    assert box.video.video_id == "null"
    assert (box.prompts, box.start_frame, box.direction) == ((BoxPrompt(3, (1, 2, 3.5, 4)),), 0, "backward")
    assert points.prompts == (PointsPrompt(3, ((1, 2),), (1,)),)
    assert mask.prompts == (MaskPrompt(3, an_rle()),)


def test_parquet_that_pandas_wrote_is_read_with_whatever_index(tmp_path: Path) -> None:
    frame = pd.DataFrame([BOX, {**BOX, "object_id": "p", "start_frame": 0}])
    frame["kind"] = frame["kind"].astype("category")
    frame.index = pd.Index([7, 9])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_index(["video_id", "object_id"]).to_parquet(tmp_path / "b.parquet")
    first, second = read_prompts(str(tmp_path / "a.parquet")), read_prompts(str(tmp_path / "b.parquet"))
    assert first == second
    assert [(track.object_id, track.start_frame) for track in first] == [("o", None), ("p", 0)]


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (np.array([[0, 1], [0, 255]], np.uint8), None),
        (np.array([[0, 1], [0, 255]], np.uint8), "P"),
        (np.array([[0, 255], [0, 255]], np.uint8), "1"),
        (np.array([[0, 256], [0, 1]], np.uint16), None),
        (np.array([[[0, 0, 0], [0, 9, 0]], [[0, 0, 0], [1, 0, 0]]], np.uint8), None),
        (np.array([[[9, 9, 9, 0], [0, 9, 0, 255]], [[0, 0, 0, 255], [1, 0, 0, 9]]], np.uint8), None),
    ],
)
def test_a_png_is_the_mask_of_what_is_neither_zero_nor_transparent(
    tmp_path: Path, pixels: NDArray[Any], mode: str | None
) -> None:
    (tmp_path / "mask.png").write_bytes(png(pixels, mode))
    (track,) = parse_prompts(pd.DataFrame([{**MASK, "mask": str(tmp_path / "mask.png")}]))
    (prompt,) = track.prompts
    assert isinstance(prompt, MaskPrompt)
    np.testing.assert_array_equal(decode_mask(prompt.mask), [[False, True], [False, True]])


def test_a_png_that_many_rows_name_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "memory://manifest/mask.png"
    storage.write_bytes(uri, png(np.ones((2, 2), np.uint8)))
    uris_read = []
    read_bytes = storage.read_bytes

    def read_and_remember(uri: str) -> bytes:
        uris_read.append(uri)
        return read_bytes(uri)

    monkeypatch.setattr(storage, "read_bytes", read_and_remember)
    rows = [{**MASK, "mask": uri, "object_id": str(number)} for number in range(9)]
    assert len(parse_prompts(pd.DataFrame(rows))) == 9
    assert uris_read == [uri]


def test_a_table_without_rows_is_no_tracks(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("video_id,video_uri,object_id,frame_index,kind\n")
    assert read_prompts(str(path)) == []


# --- tables that are wrong ----------------------------------------------------------------------------------
