"""Files as other programs write them, and files that are none of these."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.imports import ImportedPrompts, Videos, read_annotations
from samurai_batch.tasks import BoxPrompt, MaskPrompt, PointsPrompt

ONE = Videos({"clip": "s3://bucket/clip.mp4"}, size_of=lambda uri: (100, 200))


def found_in(
    path: Path, content: str | bytes | list[Any] | dict[str, Any], format_name: str | None = None
) -> ImportedPrompts:
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_annotations(str(path), ONE, format_name)


def places(found: ImportedPrompts) -> list[tuple[str, str, int]]:
    return [(one.video_id, one.object_id, one.prompt.frame_index) for one in found.prompts]


CLASSES = """<?xml version="1.0"?><annotations><version>1.1</version><meta><job><id>3</id><original_size>
<width>200</width><height>100</height></original_size></job><source>clip.mp4</source></meta>
<track id="0" label="car"><box frame="4" outside="0" keyframe="1" xtl="1" ytl="2" xbr="9" ybr="9"/>
<box frame="5" outside="1" keyframe="1" xtl="1" ytl="2" xbr="9" ybr="9"/></track>
<track id="7" label="car"><box frame="4" outside="0" keyframe="1" rotation="30.0" xtl="1" ytl="2" xbr="9" ybr="9"/>
<points frame="6" outside="0" keyframe="1" points="3.00,4.00;5.00,6.00"/></track></annotations>"""


def test_cvat_projects_with_classes_have_an_object_for_each_track(tmp_path: Path) -> None:
    found = found_in(tmp_path / "a.xml", CLASSES)
    assert places(found) == [("clip", "car-0", 4), ("clip", "car-7", 6)]
    assert found.prompts[0].prompt == BoxPrompt(4, (1.0, 2.0, 9.0, 9.0))
    assert found.prompts[1].prompt == PointsPrompt(6, ((3.0, 4.0), (5.0, 6.0)), (1, 1))
    assert found.left_out == {"keyframes on which an object is outside (no prompt says that)": 1, "rotated boxes": 1}


def test_a_zip_of_cvat_is_read(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("annotations.xml", CLASSES)
        archive.writestr("images/frame_000000.PNG", b"not read")
    assert len(found_in(tmp_path / "job.zip", sink.getvalue()).prompts) == 2


def coco(**changes: Any) -> dict[str, Any]:
    image = {"id": 5, "file_name": "frame_000012.PNG", "height": 100, "width": 200}
    annotation = {"id": 1, "image_id": 5, "category_id": 1, "bbox": [10, 20, 30, 40], "segmentation": []}
    return {"images": [image], "annotations": [{**annotation, **changes}], "categories": [{"id": 1, "name": "car"}]}


def test_coco_of_cvat_has_its_tracks_in_attributes_and_frames_in_file_names(tmp_path: Path) -> None:
    found = found_in(tmp_path / "a.json", coco(attributes={"track_id": 3, "keyframe": True}))
    assert places(found) == [("clip", "3", 12)]
    assert found.prompts[0].prompt == BoxPrompt(12, (10.0, 20.0, 40.0, 60.0))
    polygon = found_in(tmp_path / "a.json", coco(segmentation=[[10, 10, 20, 10, 20, 20, 10, 20]])).prompts[0].prompt
    assert isinstance(polygon, MaskPrompt)
    refused: dict[str, dict[str, Any]] = {
        "interpolated shapes (keyframes are taken)": {"attributes": {"keyframe": False}},
        "annotations whose image is not in the file": {"image_id": 6},
        "boxes outside of the picture, without an area, or on no frame": {"bbox": [10, 20, 0, 4]},
        "annotations with neither a mask nor a box": {"bbox": []},
    }
    for reason, changes in refused.items():
        assert found_in(tmp_path / "a.json", coco(**changes)).left_out == {reason: 1}


def test_label_studio_exports_have_annotations_that_replace_predictions(tmp_path: Path) -> None:
    value = {
        "x": 10.0,
        "y": 20.0,
        "width": 5.0,
        "height": 10.0,
        "rotation": 0,
        "frame": 8,
        "time": 0.3,
        "enabled": True,
    }
    region = {"id": "r1", "type": "videorectangle", "value": {"sequence": [value], "labels": ["car"]}}
    prediction = {"result": [{**region, "value": {"sequence": [{**value, "x": 0.0}], "labels": ["car"]}}]}
    task = {
        "id": 1,
        "data": {"video": "/data/upload/1/abc-clip.mp4"},
        "annotations": [{"was_cancelled": False, "result": [region, {"type": "relation", "from_id": "r1"}]}],
        "predictions": [prediction],
    }
    found = found_in(tmp_path / "export.json", [task])
    assert places(found) == [("clip", "car", 7)]
    assert found.prompts[0].prompt == BoxPrompt(7, (20.0, 20.0, 30.0, 30.0))
    assert found.left_out == {"regions without a value, such as relations": 1}


def test_mot_ground_truth_is_of_its_sequence_without_what_is_not_measured(tmp_path: Path) -> None:
    text = "1,3,11,21,5,6,1,1,0.9\n1,4,1,1,5,6,0,7,1\n2,3,12,21,5,6,1,1,0.9\n"
    (tmp_path / "x").mkdir()
    path = tmp_path / "MOT17-02/gt/gt.txt"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = read_annotations(str(path), Videos({}))
    assert places(found) == [("MOT17-02", "3", 0), ("MOT17-02", "3", 1)]
    assert found.prompts[0].prompt == BoxPrompt(0, (10.0, 20.0, 15.0, 26.0))
    assert found.left_out == {"boxes that are not measured (confidence 0)": 1}


def test_yolo_tracks_of_ultralytics_are_read_with_and_without_scores(tmp_path: Path) -> None:
    files = {"labels/clip_3.txt": "0 0.5 0.5 0.1 0.2 7\n0 0.2 0.2 0.1 0.2 0.91 9\n", "labels/clip_4.txt": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = read_annotations(str(tmp_path), ONE)
    assert places(found) == [("clip", "7", 3), ("clip", "9", 3)]
    assert found.prompts[0].prompt == BoxPrompt(3, (90.0, 40.0, 110.0, 60.0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xml", "<html></html>", "no format that is known"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations></annotations>', "a document type"),
        ("a.xml", "<annotations><track>", "it is not XML"),
        ("a.json", "{}", "no format that is known"),
        ("a.json", "[1", "cannot be read"),
        ("a.txt", "hello world", "no format that is known"),
        ("a.txt", "1,2,3,4,5,6\n1,2,x,4,5,6", "line 2 is not MOT's"),
        ("clip_1.txt", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "has 7 numbers"),
        ("a.zip", b"PK\x03\x04damaged", "cannot be read"),
    ],
)
def test_what_is_none_of_these_gets_one_clear_sentence(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        found_in(tmp_path / name, content)
    assert "give CVAT XML, Label Studio JSON, COCO" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_annotations(str(tmp_path / "none.xml"), ONE)
    with pytest.raises(ConfigError, match="format 'voc' is not known; use one of cvat"):
        read_annotations(str(tmp_path / "none.xml"), ONE, "voc")
