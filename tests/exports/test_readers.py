"""Files of exports, read by the libraries of the tools that they are for. Those that are not installed are left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samurai_batch import storage
from samurai_batch.exports import FORMATS
from samurai_batch.masks import decode_mask
from samurai_batch.rle import rle_from_coco
from tests.exports.made_masks import HEIGHT, WIDTH, Mask, Masks, box_of, mask_rows, present, video_masks, write_frames

pytestmark = pytest.mark.filterwarnings("ignore")  # these libraries warn of themselves
VIDEO_ID = "clip"
Export = Callable[[str], Path]


def square(left: int, top: int, hole: bool = False) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top : top + 4, left : left + 3] = True
    if hole:
        mask[top + 1, left + 1] = False
    return mask


NOTHING = np.zeros((HEIGHT, WIDTH), np.bool_)
MASKS: Masks = {
    ("cup", 0): square(1, 1),
    ("cup", 1): square(2, 1, hole=True),
    ("cup", 2): NOTHING,
    ("cup", 3): square(4, 2),
    ("2", 1): square(5, 0),
    ("2", 2): square(5, 1),
    ("2", 3): square(0, 3) | square(6, 3),
}


@pytest.fixture
def export(tmp_path: Path) -> Export:
    uri = write_frames(tmp_path / "clip")

    def write(name: str) -> Path:
        for path, data in FORMATS[name]([video_masks(VIDEO_ID, MASKS, uri)]):
            storage.write_bytes(str(tmp_path / name / path), data)
        return tmp_path / name

    return write


def datumaro_items(path: Path, format_name: str) -> list[Any]:
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    return list(datumaro.Dataset.import_from(str(path), format_name))


def visible(items: list[Any]) -> dict[tuple[int, int], Any]:
    """The annotation of each track and frame of CVAT's files, where it is not "outside"."""
    return {
        (annotation.attributes["track_id"], item.attributes["frame"]): annotation
        for item in items
        for annotation in item.annotations
        if not annotation.attributes["outside"]
    }


def test_datumaro_reads_the_tracks_of_cvat(export: Export) -> None:
    items = datumaro_items(export("cvat") / "clip.xml", "cvat")
    boxes = {place: annotation.get_bbox() for place, annotation in visible(items).items()}
    number_of = {"2": 0, "cup": 1}
    expected = {(number_of[object_id], frame): box_of(mask) for (object_id, frame), mask in present(MASKS).items()}
    assert boxes.keys() == expected.keys()
    for place, (x, y, width, height) in boxes.items():
        assert (x, y, x + width, y + height) == expected[place]


def test_datumaro_reads_the_polygons_of_cvat(export: Export) -> None:
    from samurai_batch.exports.outlines import polygon_mask

    items = datumaro_items(export("cvat-polygon") / "clip.xml", "cvat")
    polygons = {place: annotation.points for place, annotation in visible(items).items()}
    for (object_id, frame), mask in present(MASKS).items():
        rle = polygon_mask([polygons.pop(({"2": 0, "cup": 1}[object_id], frame))], HEIGHT, WIDTH)
        assert rle is not None
        np.testing.assert_array_equal(decode_mask(rle), mask)
    assert not polygons


def test_datumaro_reads_the_masks_of_cvat_for_pictures(export: Export) -> None:
    items = datumaro_items(export("cvat-images"), "cvat")
    assert sorted(item.id for item in items) == [f"clip/{frame:06d}" for frame in range(4)]
    masks = {}
    for item in items:
        assert item.media.data.shape == (HEIGHT, WIDTH, 3)
        for annotation in item.annotations:
            masks[annotation.label, int(item.id.rpartition("/")[2])] = annotation.image.astype(bool)
    for (object_id, frame), mask in present(MASKS).items():
        np.testing.assert_array_equal(masks.pop((["2", "cup"].index(object_id), frame)), mask)
    assert not masks


def test_label_studio_converts_brushes_to_the_same_masks(export: Export) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    tasks = json.loads((export("label-studio-brush") / "tasks.json").read_text())
    masks = {}
    for task in tasks:
        for result in task["predictions"][0]["result"]:
            result = {**result, **result["value"]}
            ((_, alpha),) = brush.decode_from_annotation("brush", [result]).items()
            masks[result["brushlabels"][0], task["data"]["frame_index"]] = alpha > 0
    for place, mask in present(MASKS).items():
        np.testing.assert_array_equal(masks.pop(place), mask)
    assert not masks


def test_label_studio_accepts_tasks_and_labeling_interfaces(export: Export) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    for name in ("label-studio", "label-studio-brush"):
        folder = export(name)
        config = interface.LabelInterface((folder / "label_config.xml").read_text())
        config.validate()
        for task in json.loads((folder / "tasks.json").read_text()):
            for prediction in task["predictions"]:
                assert config.validate_prediction(prediction), prediction


def test_label_studio_converts_videos_to_the_same_boxes(export: Export) -> None:
    converter = pytest.importorskip("label_studio_sdk.converter.utils", reason="label-studio-sdk is not installed")
    assert converter
    (task,) = json.loads((export("label-studio") / "tasks.json").read_text())
    boxes = {}
    for result in task["predictions"][0]["result"]:
        for keyframe in result["value"]["sequence"]:
            left, top = keyframe["x"] * WIDTH / 100, keyframe["y"] * HEIGHT / 100
            right = left + keyframe["width"] * WIDTH / 100
            box = left, top, right, top + keyframe["height"] * HEIGHT / 100
            boxes[result["value"]["labels"][0], keyframe["frame"] - 1] = box
    for place, mask in present(MASKS).items():
        np.testing.assert_allclose(boxes.pop(place), box_of(mask))
    assert not boxes


def test_the_library_datasets_loads_every_row_with_its_type(export: Export, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder = export("huggingface")
    loaded = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["frame_index"].dtype == "int32"
    assert loaded.features["segmentation"]["counts"].dtype == "string"
    rows = {(row["object_id"], row["frame_index"]): row for row in loaded}
    assert len(rows) == len(MASKS)
    for row in mask_rows(VIDEO_ID, MASKS):
        found = rows[row.object_id, row.frame_index]
        assert found["mask_score"] == pytest.approx(row.mask_score)
        if row.segmentation is None:
            assert found["segmentation"] is None
        else:
            assert rle_from_coco(found["segmentation"]) == row.segmentation


def test_supervision_reads_the_polygons_of_yolo(export: Export) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    folder = export("yolo-seg")
    (folder / "images").mkdir()
    for frame, picture in enumerate(sorted((folder.parent / "clip").iterdir())):
        (folder / f"images/clip_{frame:06d}.png").write_bytes(picture.read_bytes())
    try:
        data = supervision.DetectionDataset.from_yolo(
            str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"), force_masks=True
        )
    except ImportError as error:
        pytest.skip(f"supervision has no {error.name}")
    for path, _, detections in data:
        frame = int(Path(path).stem.rpartition("_")[2])
        names = {data.classes[number] for number in detections.class_id}
        assert names == {object_id for object_id, index in present(MASKS) if index == frame}


def test_fiftyone_reads_the_masks_of_each_frame(export: Export) -> None:
    importers = pytest.importorskip("fiftyone.utils.data.importers", reason="fiftyone is not installed")
    importer = importers.FiftyOneVideoLabelsDatasetImporter(dataset_dir=str(export("fiftyone")))
    importer.setup()
    ((video, _, label, frames),) = list(importer)
    assert Path(video).name == "clip"
    assert Path(video).exists()
    assert label is None
    assert list(frames) == [1, 2, 3, 4]
    expected = present(MASKS)
    for number, fields in frames.items():
        for detection in fields["tracks"].detections if fields else []:
            mask = expected.pop((detection.label, number - 1))
            left, top, right, bottom = map(int, box_of(mask))
            np.testing.assert_array_equal(detection.mask, mask[top:bottom, left:right])
            relative = [left / WIDTH, top / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT]
            np.testing.assert_allclose(detection.bounding_box, relative)
            assert detection.index == {"2": 1, "cup": 2}[detection.label]
            assert detection.confidence == pytest.approx(0.5 + (number - 1) / 100)
    assert not expected
