from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation import evaluate
from samurai_batch.exports import export_masks
from samurai_batch.geometry import box_ious, to_xyxy
from samurai_batch.rle import encode_mask
from tests.evaluation import benchmark_folders as folders
from tests.evaluation.oracle import library, trackeval_scores

pytestmark = pytest.mark.filterwarnings("ignore")  # of TrackEval
Mask = NDArray[np.bool_]


def masks_at(row: int, shift: int = 0, frames: range = range(folders.NUM_FRAMES)) -> list[Mask]:
    return [np.roll(folders.disc(index, row), shift, axis=1) for index in frames]


def write_tracks(run: str, video_id: str) -> None:
    """One exact, one a little off which changes to another object, one on the distractor, one on nothing."""
    folders.write_track(run, video_id, "1", masks_at(8))
    second = masks_at(40, 2)
    second[4:] = masks_at(8, 3)[4:]
    folders.write_track(run, video_id, "2", second)
    folders.write_track(run, video_id, "3", masks_at(24))
    folders.write_track(run, video_id, "new", masks_at(44, -6))


def trackeval_of_folder(reader: str, export: str, run: str, truth: Path, name: str, tmp: Path, **more: str) -> Any:
    """TrackEval's scores of the exported result, read by its own reader from the benchmark's own folder."""
    export_masks(run, str(tmp / "tracker/data"), export)
    settings = {
        "GT_FOLDER": str(truth),
        "TRACKERS_FOLDER": str(tmp),
        "TRACKERS_TO_EVAL": ["tracker"],
        "SEQ_INFO": {name: None},
        "SKIP_SPLIT_FOL": True,
        "GT_LOC_FORMAT": "{gt_folder}/{seq}/gt/gt.txt",
        "PRINT_CONFIG": False,
        **more,
    }
    dataset = getattr(library().datasets, reader)(settings)
    data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("tracker", name), "pedestrian")
    return trackeval_scores([data])


@pytest.mark.parametrize(
    ("dataset", "benchmark"),
    [("mot15", "MOT15"), ("mot17", "MOT17"), ("mot20", "MOT20"), ("dancetrack", "MOT17")],
)
def test_boxes_of_a_motchallenge_folder_score_as_in_trackeval(
    dataset: str, benchmark: str, root: Path, run: str, tmp_path: Path
) -> None:
    folders.mot(root)
    write_tracks(run, "MOT17-01")
    args = ("MotChallenge2DBox", "mot", run, root / "train", "MOT17-01", tmp_path)
    expected = trackeval_of_folder(*args, BENCHMARK=benchmark)
    found = evaluate(run, dataset, root)
    assert found.overall.iloc[0][list(expected)].to_dict() == pytest.approx(expected, abs=1e-9, rel=0)
    assert found.sequences["video_id"].tolist() == ["MOT17-01"]


def test_a_track_on_a_distractor_does_not_count_and_one_on_nothing_does(root: Path, run: str) -> None:
    folders.mot(root)
    folders.write_track(run, "MOT17-01", "1", masks_at(8))
    folders.write_track(run, "MOT17-01", "2", masks_at(40))
    perfect = evaluate(run, "mot17", root).overall.iloc[0]
    # Object 2 is not annotated on the first frame, where its track is a false positive.
    assert (perfect["FP"], perfect["FN"], perfect["IDSW"]) == (1, 0, 0)
    folders.write_track(run, "MOT17-01", "reflection", masks_at(24))
    assert evaluate(run, "mot17", root).overall.iloc[0]["FP"] == 1
    folders.write_track(run, "MOT17-01", "nothing", masks_at(8, 30))
    assert evaluate(run, "mot17", root).overall.iloc[0]["FP"] > 1


def test_masks_of_a_mots_folder_score_as_in_trackeval_also_where_they_overlap(
    root: Path, run: str, tmp_path: Path
) -> None:
    folders.mots(root)
    write_tracks(run, "MOTS20-02")
    expected = trackeval_of_folder("MOTSChallenge", "mots", run, root, "MOTS20-02", tmp_path)
    found = evaluate(run, "mots", root, output=str(tmp_path / "scores")).overall.iloc[0]
    assert found[list(expected)].to_dict() == pytest.approx(expected, abs=1e-9, rel=0)
    assert 0 < found["HOTA"] < 1
    assert (tmp_path / "scores/hota.svg").read_text().startswith("<svg")


def test_youtube_vis_is_scored_on_its_annotated_pictures_alone(root: Path, run: str) -> None:
    folders.youtube_vis(root)
    block = np.zeros((folders.HEIGHT, folders.WIDTH), np.bool_)
    block[30:44, 4:20] = True
    exact = [folders.disc(index, 8) if index % 2 == 0 else ~block for index in range(folders.NUM_FRAMES)]
    folders.write_track(run, "zoo", "a", exact)
    folders.write_track(run, "zoo", "b", [block] * folders.NUM_FRAMES)
    found = evaluate(run, "youtube-vis", root)
    assert found.overall.iloc[0][["HOTA", "IDF1", "MOTA", "LocA"]].tolist() == [pytest.approx(1.0)] * 4
    assert found.objects[["object_id", "num_frames", "tracked", "IDSW"]].to_numpy().tolist() == [
        ["11", 3, 1.0, 0],
        ["12", 3, 1.0, 0],
    ]


BOXES = st.lists(st.tuples(*[st.integers(-5, 30)] * 2, *[st.integers(0, 30)] * 2), max_size=5)


@given(BOXES, BOXES)
def test_overlaps_of_boxes_are_trackevals(some: list[tuple[int, ...]], others: list[tuple[int, ...]]) -> None:
    ours = [np.array(boxes, np.float64).reshape(-1, 4) for boxes in (some, others)]
    expected = library().datasets._base_dataset._BaseDataset._calculate_box_ious(*ours)
    np.testing.assert_array_equal(box_ious(*map(to_xyxy, ours)), expected)


def test_a_video_without_tracks_is_refused_or_counts_as_missed(root: Path, run: str) -> None:
    folders.mot(root)
    folders.write_track(run, "other", "1", masks_at(8))
    with pytest.raises(ConfigError, match="there is no track of video MOT17-01; run it"):
        evaluate(run, "mot17", root)
    found = evaluate(run, "mot17", root, missing_is_absent=True).overall.iloc[0]
    assert (found["HOTA"], found["FN"], found["ML"]) == (0, 9, 2)


@pytest.mark.parametrize(
    ("dataset", "path", "text", "message"),
    [
        ("mot17", "train/MOT17-01/seqinfo.ini", "", r"seqinfo.ini: cannot be read .* it should say seqLength"),
        ("mot17", "train/MOT17-01/gt/gt.txt", "1,1,2,3,4,5\n", "gt.txt: not every line has 8 numbers"),
        ("mot17", "train/MOT17-01/gt/gt.txt", "9,1,2,3,4,5,1,1,1\n", "gt.txt: has frames outside 1 to 6"),
        ("mot17", "train/MOT17-01/gt/gt.txt", "1,1,2,3,4,5,1,1\n" * 2, "gt.txt: an object stands twice on frame 1"),
        ("mots", "MOTS20-02/gt/gt.txt", "1 2001 2 48 64\n", "gt.txt:1: cannot be read as a MOTS line"),
        ("mots", "MOTS20-02/gt/gt.txt", "1 2001 2 48 64 abc\n", "gt.txt:1: cannot be read as a MOTS line"),
        ("youtube-vis", "instances.json", "[]", "instances.json: cannot be read as YouTube-VIS annotations"),
        ("youtube-vis", "second.json", "{}", "should have one JSON file, the annotations; there are: instances.json"),
    ],
)
def test_damaged_annotations_are_named(dataset: str, path: str, text: str, message: str, root: Path, run: str) -> None:
    {"mot17": folders.mot, "mots": folders.mots, "youtube-vis": folders.youtube_vis}[dataset](root)
    folders.write_text(root / path, text)
    with pytest.raises(ConfigError, match=message):
        evaluate(run, dataset, root)


def test_masks_of_another_size_are_refused(root: Path, run: str) -> None:
    folders.mots(root)
    folders.write_track(run, "MOTS20-02", "1", masks_at(8))
    small = encode_mask(np.ones((24, 32), np.bool_))
    assert small is not None
    folders.write_text(root / "MOTS20-02/gt/gt.txt", f"1 2001 2 24 32 {small.counts}\n")
    with pytest.raises(ConfigError, match="MOTS20-02, frame 0: masks are of 32x24 and 64x48 pixels"):
        evaluate(run, "mots", root)
