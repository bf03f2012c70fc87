"""Detections tables, and the files of other programs, give the same detections; all mistakes are told at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from samurai_batch.errors import PromptsError
from samurai_batch.manifest import parse_detections, read_detections
from samurai_batch.manifest.detection_files import detections_from_bytes, detections_to_bytes
from samurai_batch.prompts import FrameDetection
from samurai_batch.rle import encode_mask, rle_to_coco

ROW: dict[str, Any] = {"video_id": "v", "frame_index": 3, "class": "car", "score": 0.9, "box_xyxy": [10, 20, 30, 60]}
SECOND = {**ROW, "frame_index": 10, "class": "person", "score": 0.5, "box_xyxy": [1, 2, 3.5, 4]}
CAR = FrameDetection(3, "car", 0.9, (10.0, 20.0, 30.0, 60.0))
PERSON = FrameDetection(10, "person", 0.5, (1.0, 2.0, 3.5, 4.0))


def detected(path: Path, *video_ids: str) -> list[FrameDetection]:
    (found,) = read_detections(str(path), video_ids).values()
    return list(found.on(range(100)))


def problems_of(*rows: dict[str, Any]) -> list[str]:
    with pytest.raises(PromptsError) as caught:
        parse_detections(pd.DataFrame(list(rows)))
    return caught.value.problems


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "tsv"])
def test_a_table_of_any_format_holds_the_same_detections(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"d.{ending}"
    frame = pd.DataFrame([SECOND, ROW])
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        texts = frame.assign(box_xyxy=[json.dumps(box) for box in frame["box_xyxy"]])
        texts.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    assert detected(path) == [CAR, PERSON]


def test_corners_may_be_columns_and_other_columns_are_ignored() -> None:
    row = {"x1": 10, "y1": 20, "x2": 30, "y2": 60, "colour": "red", **{k: v for k, v in ROW.items() if k != "box_xyxy"}}
    assert list(parse_detections(pd.DataFrame([row]))["v"].on(range(9))) == [CAR]


def test_a_mask_needs_no_box_and_gives_its_tight_one() -> None:
    pixels = np.zeros((50, 40), np.bool_)
    pixels[5:10, 20:30] = True
    mask = encode_mask(pixels)
    assert mask is not None
    frame = pd.DataFrame([{**ROW, "box_xyxy": None, "mask": rle_to_coco(mask)}])
    (found,) = parse_detections(frame)["v"].on(range(9))
    assert found.box_xyxy == (20.0, 5.0, 30.0, 10.0)
    assert found.mask == mask


def test_the_digest_depends_on_the_rows_alone() -> None:
    one, other = (parse_detections(pd.DataFrame(rows))["v"].digest for rows in ([ROW, SECOND], [SECOND, ROW]))
    assert one == other
    assert parse_detections(pd.DataFrame([ROW, {**SECOND, "score": 0.6}]))["v"].digest != one


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"video_id": None}, "row 1: video_id is missing"),
        ({"frame_index": -1}, "row 1: frame_index is -1: it should not be negative"),
        ({"frame_index": 1.5}, "row 1: frame_index is 1.5: it should be a whole number"),
        ({"frame_index": "x"}, "row 1: frame_index is 'x': it should be a number"),
        ({"frame_index": 2**31}, "it should be at most 2147483647"),
        ({"class": ""}, "row 1: class is missing"),
        ({"class": "c" * 90}, "it is too long to be part of an object_id"),
        ({"score": None}, "row 1: score is missing"),
        ({"score": 87}, "row 1: score is 87: it should be from 0 to 1; scale the detector's scores"),
        ({"score": True}, "row 1: score is True: it should be a number"),
        ({"box_xyxy": None}, "row 1: box_xyxy is missing: a detection needs a box or a mask"),
        ({"box_xyxy": [1, 2, 3]}, "row 1: box_xyxy is [1, 2, 3]: it should be four numbers"),
        ({"box_xyxy": [5, 2, 3, 4]}, "x2 should be greater than x1"),
        ({"box_xyxy": [0.1, 0.1, 0.5, 0.5]}, "give it in pixels of the video"),
        ({"mask": "mask.png"}, "it should be a COCO RLE; detections have no URIs of PNGs"),
        ({"mask": {"size": [4, 4], "counts": "zz"}}, "row 1: mask is "),
    ],
)
def test_a_wrong_cell_is_reported_with_its_row_and_reason(change: dict[str, Any], problem: str) -> None:
    (found,) = problems_of({**ROW, **change})
    assert problem in found


def test_all_mistakes_of_all_rows_are_reported_at_once() -> None:
    found = problems_of({**ROW, "score": 2}, ROW, {**SECOND, "frame_index": -4, "class": None})
    assert [text.partition(":")[0] for text in found] == ["row 1", "row 3", "row 3"]


@pytest.mark.parametrize("name", ["class", "score", "video_id", "frame_index"])
def test_a_missing_column_is_told(name: str) -> None:
    (found,) = problems_of({key: value for key, value in ROW.items() if key != name})
    assert found.startswith(f"column {name} is missing")


def supervision_rows() -> list[dict[str, Any]]:
    """As supervision's sinks write them: all values are texts in JSON, too."""
    keys = ("x_min", "y_min", "x_max", "y_max")
    rows = []
    for one in (CAR, PERSON):
        corners = dict(zip(keys, map(str, one.box_xyxy), strict=True))
        rows.append(
            {**corners, "class_id": "2", "confidence": str(one.score), "tracker_id": "", "class_name": one.class_name}
        )
        rows[-1]["frame_index"] = str(one.frame_index)
    return rows


def test_supervisions_sinks_are_read(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(supervision_rows()))
    pd.DataFrame(supervision_rows()).to_csv(tmp_path / "d.csv", index=False)
    assert detected(tmp_path / "d.json", "v") == detected(tmp_path / "d.csv", "v") == [CAR, PERSON]


def ultralytics_row(one: FrameDetection) -> dict[str, Any]:
    box = dict(zip(("x1", "y1", "x2", "y2"), one.box_xyxy, strict=True))
    return {"name": one.class_name, "class": 0, "confidence": one.score, "box": box}


def test_ultralytics_tables_are_read_once_they_say_the_frame(tmp_path: Path) -> None:
    rows = [{**ultralytics_row(one), "frame_index": one.frame_index} for one in (CAR, PERSON)]
    pd.DataFrame(rows).to_csv(tmp_path / "d.csv", index=False)
    pd.DataFrame(rows).to_parquet(tmp_path / "d.parquet")
    assert detected(tmp_path / "d.csv", "v") == detected(tmp_path / "d.parquet", "v") == [CAR, PERSON]
    pd.DataFrame(rows).drop(columns="frame_index").to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(PromptsError, match=r"no column says the frame of each row; add frame_index"):
        detected(tmp_path / "d.csv", "v")


def test_a_json_list_of_ultralytics_results_has_a_list_for_each_frame(tmp_path: Path) -> None:
    frames: list[list[dict[str, Any]]] = [[] for _ in range(11)]
    frames[3], frames[10] = [ultralytics_row(CAR)], [ultralytics_row(PERSON)]
    (tmp_path / "d.json").write_text(json.dumps(frames))
    assert detected(tmp_path / "d.json", "v") == [CAR, PERSON]


def test_yolo_label_folders_are_read_in_shares_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "clip_4.txt").write_text("2 0.5 0.5 0.2 0.4 0.9\n")
    (tmp_path / "labels" / "clip_11.txt").write_text("0 0.1 0.1 0.3 0.1 0.3 0.2 0.5\n\n")
    box, polygon = detected(tmp_path / "labels", "v")
    assert (box.frame_index, box.class_name, box.score, box.is_relative) == (3, "2", 0.9, True)
    assert box.box_xyxy == pytest.approx((0.4, 0.3, 0.6, 0.7))
    assert polygon.box_xyxy == pytest.approx((0.1, 0.1, 0.3, 0.2))
    (tmp_path / "labels" / "clip_12.txt").write_text("2 0.5 0.5 0.2 0.4\n")
    with pytest.raises(
        PromptsError, match=r"clip_12\.txt has 4 numbers after the class; predict with save_txt and save_c"
    ):
        detected(tmp_path / "labels", "v")


def test_coco_results_are_read_with_image_id_as_the_frame(tmp_path: Path) -> None:
    rows = [
        {"image_id": 3, "category_id": 1, "bbox": [10, 20, 20, 40], "score": 0.9},
        {"image_id": 10, "category_id": 2, "bbox": [1, 2, 2.5, 2], "score": 0.5},
    ]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    assert [one.class_name for one in detected(tmp_path / "d.json", "v")] == ["1", "2"]
    document = {
        "annotations": rows,
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}],
        "images": [{"id": 3, "frame_index": 3}, {"id": 10, "frame_index": 10}],
    }
    (tmp_path / "d.json").write_text(json.dumps(document))
    assert detected(tmp_path / "d.json", "v") == [CAR, PERSON]
    named = [{"id": 3, "file_name": "v/frame_000003.png"}, {"id": 10, "file_name": "v/frame_000010.png"}]
    by_number = {**document, "annotations": [{**row, "image_id": 7 + at} for at, row in enumerate(rows)]}
    by_number["images"] = [{**image, "id": 7 + at} for at, image in enumerate(named)]
    (tmp_path / "d.json").write_text(json.dumps(by_number))
    assert detected(tmp_path / "d.json", "v") == [CAR, PERSON]


def test_det_txt_of_mot_counts_frames_and_pixels_from_1(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("4,-1,11,21,20,40,0.9,-1,-1,-1\n\n11,-1,2,3,2.5,2,0.5\n")
    found = detected(tmp_path / "det.txt", "v")
    assert [(one.frame_index, one.box_xyxy) for one in found] == [(3, CAR.box_xyxy), (10, PERSON.box_xyxy)]
    (tmp_path / "det.txt").write_text("4,-1,10,20,20,40,0.9\n4,5\n0,-1,1,2,3,4,0.5\n")
    with pytest.raises(PromptsError) as caught:
        detected(tmp_path / "det.txt", "v")
    assert [text.partition(":")[0] for text in caught.value.problems] == ["row 2", "row 3"]


def test_a_file_for_each_video_is_read_by_the_videos_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("4,-1,10,20,20,40,0.9\n")
    found = read_detections(f"{tmp_path}/{{video_id}}.txt", ["a", "b"])
    assert {name: len(one) for name, one in found.items()} == {"a": 1, "b": 1}
    with pytest.raises(PromptsError, match="there is no such file"):
        read_detections(f"{tmp_path}/{{video_id}}.txt", ["a", "c"])


def test_rows_without_a_video_need_one_by_name(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("4,-1,10,20,20,40,0.9\n")
    with pytest.raises(PromptsError, match=r"no column says the video of each row.*\{video_id\}"):
        read_detections(str(tmp_path / "det.txt"), ["a", "b"])


def test_a_long_table_is_read_column_by_column() -> None:
    count = 50_000
    rng = np.random.default_rng(0)
    left, top = rng.uniform(0, 1000, (2, count))
    frame = pd.DataFrame({"video_id": "v", "frame_index": np.arange(count) // 10, "class": "car", "score": 0.5})
    frame = frame.assign(x1=left, y1=top, x2=left + 9, y2=top + 9)
    assert len(parse_detections(frame)["v"]) == count


def test_written_detections_are_read_back() -> None:
    assert list(detections_from_bytes(detections_to_bytes("v", [CAR, PERSON]))) == [CAR, PERSON]
