"""Files as other programs write them, and files that are none of these."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.imports import ImportedPrompts, Videos, read_annotations, to_tracks
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from samurai_batch.tasks import Track, Video

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


MASKS_OF_CLASSES = """<annotations><meta><task><original_size><width>200</width><height>100</height></original_size>
</task></meta><track id="0" label="car"><mask frame="4" outside="0" keyframe="1" rle="1,3" left="1" top="1" width="2"
height="2"/><mask frame="5" outside="1" keyframe="1" rle="1,3" left="1" top="1" width="2" height="2"/></track>
<track id="1" label="car"><mask frame="{frame}" outside="0" keyframe="1" rle="0,4" left="9" top="1" width="2"
height="2"/></track></annotations>"""


def test_masks_of_cvat_are_one_object_unless_two_are_on_one_frame(tmp_path: Path) -> None:
    assert places(found_in(tmp_path / "a.xml", MASKS_OF_CLASSES.format(frame=5))) == [
        ("clip", "car", 4),
        ("clip", "car", 5),
    ]
    assert places(found_in(tmp_path / "a.xml", MASKS_OF_CLASSES.format(frame=4))) == [
        ("clip", "car-0", 4),
        ("clip", "car-1", 4),
    ]


PICTURES_OF_CLASSES = """<annotations>{}</annotations>""".format(
    "".join(
        f"""<image id="{frame}" name="frame_{frame:06d}" width="200" height="100">
        {"".join(f'<box label="car" xtl="{x}" ytl="2" xbr="{x + 5}" ybr="9"/>' for x in lefts)}
        <box label="bus" xtl="50" ytl="2" xbr="90" ybr="9"/></image>"""
        for frame, lefts in ((3, (1, 20)), (7, (30,)))
    )
)
YOLO_OF_CLASSES = {"data.yaml": "names: [car]", "labels/clip_3.txt": "0 .1 .1 .1 .1\n0 .5 .5 .1 .1\n"}


def test_a_name_with_several_shapes_on_one_frame_is_a_class_and_each_shape_an_object(tmp_path: Path) -> None:
    pictures = to_tracks(found_in(tmp_path / "a.xml", PICTURES_OF_CLASSES), ONE)
    assert [(track.object_id, len(track.prompts)) for track in pictures.tracks] == [
        ("car-3-0", 1),
        ("car-3-1", 1),
        ("bus", 2),
        ("car-7-0", 1),
    ]
    assert (pictures.classes, pictures.left_out) == ({"car": 3}, {})
    for name, text in YOLO_OF_CLASSES.items():
        (tmp_path / "yolo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "yolo" / name).write_text(text)
    of_yolo = to_tracks(read_annotations(str(tmp_path / "yolo"), ONE), ONE)
    assert [track.object_id for track in of_yolo.tracks] == ["car-3-0", "car-3-1"]
    unnumbered = to_tracks(found_in(tmp_path / "det.txt", "4,-1,1,2,5,5,0.9\n4,-1,30,2,5,5,0.8\n"), ONE)
    assert [track.object_id for track in unnumbered.tracks] == ["-1-3-0", "-1-3-1"]


def test_a_second_shape_of_a_known_object_is_left_out_and_an_equal_one_counts_once(tmp_path: Path) -> None:
    found = found_in(tmp_path / "a.xml", PICTURES_OF_CLASSES)
    known = Track(video=Video("clip", ONE.uris["clip"]), object_id="car", prompts=(BoxPrompt(0, (1.0, 2.0, 3.0, 4.0)),))
    made = to_tracks(found, ONE, base=[known])
    assert {track.object_id for track in made.tracks} == {"car", "bus"}
    assert made.left_out == {"further shapes of the same object on the same frame": 1}
    twice = PICTURES_OF_CLASSES.replace('xtl="20" ytl="2" xbr="25"', 'xtl="1" ytl="2" xbr="6"')
    assert [track.object_id for track in to_tracks(found_in(tmp_path / "a.xml", twice), ONE).tracks] == ["car", "bus"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip/000012.jpg", ("clip", 12)),
        ("frame_000012", ("clip", 12)),
        ("images/default/frame_000012.PNG", ("clip", 12)),
        ("/data/upload/3/4f5a-clip_00012.png", ("clip", 12)),
        ("clip-0012.jpg", ("clip", 12)),
        ("IMG_2034.jpg", ("photo", 0)),
        ("/data/local-files/?d=photos/IMG_2034.jpg", ("photo", 0)),
    ],
)
def test_a_picture_is_a_frame_by_its_name_or_a_picture_that_is_known(name: str, expected: tuple[str, int]) -> None:
    one = {"clip": "s3://bucket/clip.mp4"} if expected[0] == "clip" else {"photo": "s3://bucket/IMG_2034.jpg"}
    assert Videos(one).frame_of(name) == expected
    more = Videos({**one, "other": "s3://bucket/other.mp4"})
    if name.startswith(("clip", "IMG")):
        assert more.frame_of(name) == expected


def test_a_picture_of_nothing_that_is_known_is_named_by_its_file(tmp_path: Path) -> None:
    nothing = Videos({})
    assert nothing.frame_of("photos/garden.jpg") == ("garden.jpg", 0)
    assert nothing.frame_of("clip/frame_12.jpg") == ("clip", 12)
    assert nothing.frame_of("12.jpg") == ("12.jpg", 12)


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


MASK_OF_CVAT = """<annotations>
<meta><task><original_size><width>64</width><height>48</height></original_size></task></meta>
<track id="0" label="car">
<mask frame="0" outside="0" rle="{}" left="0" top="0" width="4" height="2"/>
</track></annotations>"""


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", {"height": 2**40}, "its size 1099511627776 x 64 is not that of a picture"),
        ("a.json", {"height": -48}, "its size -48 x 64 is not that of a picture"),
        ("a.json", [1, 1, 9e12, 1, 9, 9], "a corner of a polygon is farther than 100000 pixels from the picture"),
        ("a.json", [1, 1, float("nan"), 1, 9, 9], "or no number"),
        ("a.xml", MASK_OF_CVAT.format("3, 99999999999"), "a mask of 4 x 2 pixels has 100000000002, or is outside"),
        ("a.xml", MASK_OF_CVAT.format("9, -1"), "a mask of 4 x 2 pixels has 8, or is outside"),
        ("a.txt", "1e400,1,10,10,20,20,1,1,1\n", "cannot convert float infinity to integer"),
    ],
)
def test_sizes_and_numbers_of_no_picture_are_refused_before_memory_is_taken_for_them(
    tmp_path: Path, name: str, content: Any, reason: str
) -> None:
    path = tmp_path / name
    if name == "a.json":
        size = content if isinstance(content, dict) else {}
        polygon = content if isinstance(content, list) else [1, 1, 9, 1, 9, 9]
        image = {"id": 1, "file_name": "v/000000.jpg", "width": 64, "height": 48} | size
        annotations = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [polygon]}]
        content = json.dumps({"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "car"}]})
    path.write_text(content)
    formats = {"a.json": "coco", "a.xml": "cvat", "a.txt": "mot"}
    with pytest.raises(ConfigError, match=reason):
        read_annotations(str(path), Videos({"v": "v.mp4"}), formats[name])


def test_a_missing_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_annotations(str(tmp_path / "none.xml"), ONE)
    with pytest.raises(ConfigError, match="format 'voc' is not known; use one of cvat"):
        read_annotations(str(tmp_path / "none.xml"), ONE, "voc")
