from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation import DATASETS, read_sequences, sequence_tracks, write_dataset_prompts
from samurai_batch.evaluation.truth import BoxTruth, MaskTruth
from samurai_batch.manifest import read_prompts
from samurai_batch.prompts import BoxPrompt, MaskPrompt
from samurai_batch.rle import decode_mask
from samurai_batch.video import open_video
from tests.evaluation import benchmark_folders as folders

WRITERS: dict[str, Callable[[Path], None]] = {
    "davis16": folders.davis16,
    "davis17": folders.davis17,
    "sav": folders.sav,
    "lasot": folders.lasot,
    "lasot-ext": folders.lasot,
    "got10k": folders.got10k,
    "trackingnet": folders.trackingnet,
    "otb": folders.otb,
    "nfs": folders.nfs,
    "mot15": folders.mot,
    "mot17": folders.mot,
    "mot20": folders.mot,
    "dancetrack": folders.mot,
    "mots": folders.mots,
    "youtube-vis": folders.youtube_vis,
}
TRACKS = {
    "davis16": ["bear/1", "swan/1"],
    "davis17": ["pair/1", "pair/2"],
    "sav": ["sav_1/000", "sav_1/001"],
    "lasot": ["cat-1/1"],
    "lasot-ext": ["cat-1/1"],
    "got10k": ["GOT-10k_Val_000001/1"],
    "trackingnet": ["abc/1"],
    "otb": ["David/1", "Jogging/1", "Jogging/2"],
    "nfs": ["bird/1"],
    "mot15": ["MOT17-01/1", "MOT17-01/2"],
    "mot17": ["MOT17-01/1", "MOT17-01/2"],
    "mot20": ["MOT17-01/1", "MOT17-01/2"],
    "dancetrack": ["MOT17-01/1", "MOT17-01/2"],
    "mots": ["MOTS20-02/2001", "MOTS20-02/2002"],
    "youtube-vis": ["zoo/11", "zoo/12"],
}


def test_every_benchmark_is_tried_here() -> None:
    assert set(DATASETS) == set(WRITERS) == set(TRACKS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_benchmark_becomes_a_prompts_table_whose_videos_can_be_opened(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "root")
    prompts = str(tmp_path / "prompts.parquet")
    count = write_dataset_prompts(name, tmp_path / "root", prompts)
    tracks = read_prompts(prompts)
    assert [f"{track.video.video_id}/{track.object_id}" for track in tracks] == TRACKS[name]
    assert count == len(tracks)
    for track in tracks:
        with open_video(track.video.uri) as video:
            last = video.info.num_frames - 1
        (prompt,) = track.prompts
        assert isinstance(prompt, BoxPrompt)
        assert prompt.frame_index <= (last if track.end_frame is None else track.end_frame) <= last


@pytest.mark.parametrize("name", ["lasot", "got10k", "nfs", "otb"])
def test_boxes_and_visibility_are_read_frame_by_frame(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    truth = list(read_sequences(name, tmp_path))[-1].objects["1"]
    assert isinstance(truth, BoxTruth)
    assert np.array_equal(truth.boxes_xywh, np.array(folders.boxes()))
    gone = [index != folders.GONE for index in range(folders.NUM_FRAMES)]
    assert truth.visible.tolist() == (gone if name != "otb" else [True] * folders.NUM_FRAMES)


def test_the_sequence_of_otb_that_begins_late_does_so_here(tmp_path: Path) -> None:
    folders.otb(tmp_path)
    (david,) = read_sequences("otb", tmp_path, only=["David"])
    (track,) = sequence_tracks(david)
    assert (track.prompts[0].frame_index, track.end_frame) == (299, 304)


def test_masks_are_read_by_label_without_the_void(tmp_path: Path) -> None:
    folders.davis17(tmp_path)
    (pair,) = read_sequences("davis17", tmp_path)
    truth = pair.objects["2"]
    assert isinstance(truth, MaskTruth)
    mask, void = truth.read(1)
    assert np.array_equal(mask, folders.disc(1, row=36))
    assert void is not None
    assert void[:, -4:].all()
    assert not void[:, :-4].any()


def test_a_prompt_by_mask_is_the_first_annotation_itself(tmp_path: Path) -> None:
    folders.davis16(tmp_path)
    (bear,) = read_sequences("davis16", tmp_path, only=["bear"])
    (track,) = sequence_tracks(bear, kind="mask")
    (prompt,) = track.prompts
    assert isinstance(prompt, MaskPrompt)
    assert np.array_equal(decode_mask(prompt.mask), folders.disc(0))


def test_what_a_benchmark_does_not_have_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folders.lasot(tmp_path)
    with pytest.raises(ConfigError, match="dataset 'imagenet' is not known; use one of davis16"):
        list(read_sequences("imagenet", tmp_path))
    with pytest.raises(ConfigError, match="no sequence cat-9 in this copy of lasot"):
        list(read_sequences("lasot", tmp_path, only=["cat-9"]))
    with pytest.raises(ConfigError, match="has only boxes; use prompts of kind box"):
        write_dataset_prompts("lasot", tmp_path, str(tmp_path / "p.csv"), kind="mask")
    with pytest.raises(ConfigError, match="give the root folder of the data set"):
        list(read_sequences("davis16", tmp_path))


def test_damaged_annotations_are_refused_with_their_file(tmp_path: Path) -> None:
    folders.lasot(tmp_path)
    truth = tmp_path / "cat/cat-1/groundtruth.txt"
    truth.write_text("1,2,3,4\n1,2,3\n")
    with pytest.raises(ConfigError, match=r"groundtruth\.txt: cannot be read as numbers"):
        list(read_sequences("lasot", tmp_path))
    truth.write_text("1,2,3,4\n")
    with pytest.raises(ConfigError, match=r"full_occlusion\.txt: 6 marks for 1 boxes"):
        list(read_sequences("lasot", tmp_path))
