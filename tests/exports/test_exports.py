import configparser
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.exports import FORMATS, export_masks
from samurai_batch.exports.png_formats import davis_palette
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, read_masks, rows_to_table, table_to_bytes
from samurai_batch.rle import decode_mask, rle_from_coco
from tests.exports.made_masks import write_frames

HEIGHT, WIDTH, NUM_FRAMES = 30, 40, 6
VIDEOS = {"clip": ["1", "2", "10"], "a/b": ["left hand", "cup"]}
Mask = NDArray[np.bool_]


def mask_of(object_number: int, frame_index: int) -> Mask:
    """Squares that move and overlap their neighbours a little; each is gone on one frame."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    if frame_index != object_number + 2:
        left = 2 + 7 * object_number + frame_index
        mask[5 + object_number : 15 + object_number, left : left + 9] = True
    return mask


@pytest.fixture
def run(tmp_path: Path) -> str:
    output = str(tmp_path / "run")
    for video_id, object_ids in VIDEOS.items():
        for number, object_id in enumerate(object_ids):
            rows = [
                MaskRow(
                    video_id=video_id,
                    object_id=object_id,
                    frame_index=index,
                    timestamp_s=index / 10,
                    height=HEIGHT,
                    width=WIDTH,
                    segmentation=encode_mask(mask_of(number, index)),
                    mask_score=0.9 - number / 10,
                    object_score=1.0,
                    motion_score=None,
                    mask_index=0,
                    prompted=index == 0,
                )
                for index in range(NUM_FRAMES)
            ]
            data = table_to_bytes(rows_to_table(rows), {})
            storage.write_bytes(mask_table_uri(output, video_id, object_id), data)
    return output


def each_mask() -> Iterator[tuple[str, str, int, Mask]]:
    for video_id, object_ids in VIDEOS.items():
        for number, object_id in enumerate(object_ids):
            for index in range(NUM_FRAMES):
                yield video_id, object_id, index, mask_of(number, index)


def labelled(video_id: str, frame_index: int) -> NDArray[np.int64]:
    """What a picture of labels has to show: the object of the higher score, here the earlier one, on top."""
    labels = np.zeros((HEIGHT, WIDTH), np.int64)
    for number in reversed(range(len(VIDEOS[video_id]))):
        labels[mask_of(number, frame_index)] = number + 1
    return labels


def test_every_format_is_tried_here(run: str, tmp_path: Path) -> None:
    assert list(FORMATS) == [
        "coco", "youtube-vis", "sav", "davis", "png", "mot", "mots", "got10k", "trackingnet",
        "cvat", "cvat-polygon", "cvat-mask", "cvat-images", "label-studio", "label-studio-brush",
        "yolo-seg", "yolo-track", "huggingface", "fiftyone", "prores4444", "vp9-alpha",
    ]  # fmt: skip
    frames = write_frames(tmp_path / "frames", (HEIGHT, WIDTH), NUM_FRAMES)
    for name in FORMATS:
        objects = ["2"] if name in ("got10k", "trackingnet") else None
        written = export_masks(run, str(tmp_path / name), name, objects=objects, video_uri=lambda _: frames)
        assert written == sum(path.is_file() for path in (tmp_path / name).rglob("*"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2
def test_coco_json_is_read_by_pycocotools(run: str, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    export_masks(run, str(tmp_path), "coco")
    reader = COCO(str(tmp_path / "annotations.json"))
    found = {}
    for annotation in reader.loadAnns(reader.getAnnIds()):
        image = reader.imgs[annotation["image_id"]]
        place = image["video_id"], annotation["object_id"], image["frame_index"]
        found[place] = reader.annToMask(annotation).astype(bool)
    assert len(found) == sum(mask.any() for *_, mask in each_mask())
    for video_id, object_id, index, mask in each_mask():
        if mask.any():
            np.testing.assert_array_equal(found[video_id, object_id, index], mask)


def test_youtube_vis_json_round_trips(run: str, tmp_path: Path) -> None:
    export_masks(run, str(tmp_path), "youtube-vis")
    data = json.loads((tmp_path / "instances.json").read_text())
    videos = {video["id"]: video for video in data["videos"]}
    assert [len(video["file_names"]) for video in videos.values()] == [NUM_FRAMES] * 2
    tracks = {(videos[one["video_id"]]["video_id"], one["object_id"]): one for one in data["annotations"]}
    for video_id, object_id, index, mask in each_mask():
        track = tracks[video_id, object_id]
        if mask.any():
            np.testing.assert_array_equal(decode_mask(rle_from_coco(track["segmentations"][index])), mask)
            assert track["areas"][index] == mask.sum()
        else:
            assert track["segmentations"][index] is track["bboxes"][index] is track["areas"][index] is None


def test_sa_v_json_round_trips_and_counts_as_its_authors_do(run: str, tmp_path: Path) -> None:
    export_masks(run, str(tmp_path), "sav")
    for video_id, object_ids in VIDEOS.items():
        data = json.loads((tmp_path / f"{storage.quote_id(video_id)}_auto.json").read_text())
        assert (data["masklet_num"], data["masklet_id"]) == (len(object_ids), list(range(len(object_ids))))
        assert data["video_duration"] == pytest.approx(NUM_FRAMES / 10)
        assert data["masklet_visibility_changes"] == [2] * len(object_ids)
        assert data["masklet_size_abs"] == [90.0] * len(object_ids)
        assert data["masklet_size_bucket"] == ["small"] * len(object_ids)
        for number, object_id in enumerate(object_ids):
            column = data["masklet_object_id"].index(object_id)
            for index in range(NUM_FRAMES):
                decoded = decode_mask(rle_from_coco(data["masklet"][index][column]))
                np.testing.assert_array_equal(decoded, mask_of(number, index))


def test_davis_pictures_have_one_label_per_pixel_and_overlaps_are_kept_besides(run: str, tmp_path: Path) -> None:
    export_masks(run, str(tmp_path), "davis")
    labels = json.loads((tmp_path / "objects.json").read_text())
    assert labels == {"a/b": {"cup": 1, "left hand": 2}, "clip": {"1": 1, "2": 2, "10": 10}}
    for video_id, object_ids in VIDEOS.items():
        folder = storage.quote_id(video_id)
        for index in range(NUM_FRAMES):
            with Image.open(tmp_path / f"Annotations/{folder}/{index:05d}.png") as image:
                assert image.mode == "P"
                values = np.array(image)
                assert image.getpalette() == davis_palette().reshape(-1).tolist()
            number_of = {labels[video_id][object_id]: number + 1 for number, object_id in enumerate(object_ids)}
            shown = np.vectorize({0: 0, **number_of}.__getitem__)(values)
            np.testing.assert_array_equal(shown, labelled(video_id, index))
    for video_id, object_id, index, mask in each_mask():
        path = tmp_path / f"PerObject/{storage.quote_id(video_id)}/{storage.quote_id(object_id)}/{index:05d}.png"
        np.testing.assert_array_equal(np.array(Image.open(path)) > 0, mask)


def test_the_palette_is_the_one_of_pascal_voc() -> None:
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert davis_palette()[:7].tolist() == first
    assert davis_palette()[[8, 255]].tolist() == [[64, 0, 0], [224, 224, 192]]


def test_pictures_of_each_track_round_trip(run: str, tmp_path: Path) -> None:
    assert export_masks(run, str(tmp_path), "png", videos=["clip"], objects=["2"]) == NUM_FRAMES
    for index in range(NUM_FRAMES):
        with Image.open(tmp_path / f"clip/2/{index:05d}.png") as image:
            np.testing.assert_array_equal(np.array(image), mask_of(1, index) * np.uint8(255))


def test_mot_lines_give_boxes_back(run: str, tmp_path: Path) -> None:
    export_masks(run, str(tmp_path), "mot")
    names = ["frame", "id", "left", "top", "width", "height", "score", "x", "y", "z"]
    found = pd.read_csv(tmp_path / "clip.txt", names=names)
    expected = read_masks(run, videos=["clip"]).query("area > 0")
    expected = expected.assign(id=expected.object_id.astype(int)).sort_values(["frame_index", "id"])
    assert (found.frame - 1).tolist() == expected.frame_index.tolist()
    found = found.sort_values(["frame", "id"])
    assert found.id.tolist() == expected.id.tolist()
    assert (found[["left", "top"]] - 1).to_numpy().tolist() == expected[["bbox_x", "bbox_y"]].to_numpy().tolist()
    assert found[["width", "height"]].to_numpy().tolist() == expected[["bbox_w", "bbox_h"]].to_numpy().tolist()


def test_mots_lines_give_masks_back_and_never_two_on_one_pixel(run: str, tmp_path: Path) -> None:
    export_masks(run, str(tmp_path), "mots")
    shown = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), np.int64)
    number_of = {1: 1, 2: 2, 10: 3}
    for line in (tmp_path / "clip.txt").read_text().splitlines():
        frame, number, kind, height, width, counts = line.split(" ")
        assert kind == "2"
        mask = decode_mask(rle_from_coco({"size": [int(height), int(width)], "counts": counts}))
        assert not shown[int(frame) - 1][mask].any()
        shown[int(frame) - 1][mask] = number_of[int(number) - 2000]
    np.testing.assert_array_equal(shown, [labelled("clip", index) for index in range(NUM_FRAMES)])


@pytest.mark.parametrize(("name", "file"), [("got10k", "clip/clip_001.txt"), ("trackingnet", "clip.txt")])
def test_a_server_gets_one_box_on_every_frame(run: str, tmp_path: Path, name: str, file: str) -> None:
    export_masks(run, str(tmp_path), name, videos=["clip"], objects=["2"])
    found = np.loadtxt(tmp_path / file, delimiter=",")
    rows = read_masks(run, videos=["clip"], objects=["2"])
    expected = rows[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].fillna(0).to_numpy()
    np.testing.assert_array_equal(found, expected)
    assert not expected[3].any(), "on one frame the object is gone"
    with pytest.raises(ConfigError, match="clip: has 3 objects, the server takes one"):
        export_masks(run, str(tmp_path), name, videos=["clip"])


def write_seqinfo(folder: Path) -> None:
    folder.mkdir(parents=True)
    info = configparser.ConfigParser()
    info.optionxform = str  # type: ignore[assignment]
    size = {"imWidth": str(WIDTH), "imHeight": str(HEIGHT)}
    info["Sequence"] = {"name": "clip", "seqLength": str(NUM_FRAMES), "frameRate": "10", **size}
    with (folder / "seqinfo.ini").open("w") as file:
        info.write(file)


@pytest.mark.parametrize(("name", "reader"), [("mot", "MotChallenge2DBox"), ("mots", "MOTSChallenge")])
@pytest.mark.filterwarnings("ignore")
def test_trackeval_finds_a_result_perfect_against_itself(run: str, tmp_path: Path, name: str, reader: str) -> None:
    trackeval: Any = pytest.importorskip("trackeval", reason="TrackEval is not installed")
    export_masks(run, str(tmp_path / "tracker/data"), name, videos=["clip"])
    truth = tmp_path / "truth/clip"
    write_seqinfo(truth)
    text = (tmp_path / "tracker/data/clip.txt").read_text()
    if name == "mot":  # as truth: confidence 1, class 1 (pedestrian), all visible
        lines = [line.split(",")[:6] for line in text.splitlines()]
        text = "".join(",".join([*line, "1", "1", "1"]) + "\n" for line in lines)
    (truth / "gt").mkdir()
    (truth / "gt/gt.txt").write_text(text)
    settings = {
        "GT_FOLDER": str(tmp_path / "truth"),
        "TRACKERS_FOLDER": str(tmp_path),
        "TRACKERS_TO_EVAL": ["tracker"],
        "SEQ_INFO": {"clip": None},
        "SKIP_SPLIT_FOL": True,
        "GT_LOC_FORMAT": "{gt_folder}/{seq}/gt/gt.txt",
        "PRINT_CONFIG": False,
    }
    dataset = getattr(trackeval.datasets, reader)(settings)
    data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("tracker", "clip"), "pedestrian")
    hota = trackeval.metrics.HOTA({"PRINT_CONFIG": False}).eval_sequence(data)
    assert hota["HOTA"].tolist() == [pytest.approx(1.0)] * len(hota["HOTA"])
    assert data["num_tracker_dets"] == sum(mask_of(n, i).any() for n in range(3) for i in range(NUM_FRAMES))


def test_single_rows_are_exported_alone(run: str, tmp_path: Path) -> None:
    places = {("clip", "2", 4), ("clip", "1", 4), ("clip", "2", 0)}
    export_masks(run, str(tmp_path / "cvat"), "cvat", places=places)
    assert [path.name for path in (tmp_path / "cvat").iterdir()] == ["clip.xml"]
    root = ET.parse(tmp_path / "cvat/clip.xml").getroot()  # noqa: S314
    tracks = {track.get("label"): track for track in root.iter("track")}
    shown = {label: [(box.get("frame"), box.get("outside")) for box in track] for label, track in tracks.items()}
    assert shown == {"1": [("4", "0"), ("5", "1")], "2": [("0", "0"), ("1", "1"), ("4", "0"), ("5", "1")]}


def test_what_cannot_be_exported_is_refused(run: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format 'voc' is not known; use one of coco, youtube-vis"):
        export_masks(run, str(tmp_path), "voc")
    with pytest.raises(ConfigError, match="there are no mask rows to export; check the ids of videos and objects"):
        export_masks(run, str(tmp_path), "coco", videos=["unknown"])
    with pytest.raises(ConfigError, match="clip: this format has pictures, and it is not known where the video is"):
        export_masks(run, str(tmp_path), "cvat-images", videos=["clip"])
