"""Pictures as videos of one frame: read whole or refused with a reason, and segmented as a job."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samurai_batch.errors import PromptsError, VideoError
from samurai_batch.job import JobConfig, load_job
from samurai_batch.manifest import tracks_of_pictures
from samurai_batch.manifest.pictures import SUFFIXES
from samurai_batch.masks import read_masks
from samurai_batch.modeling.configs import MODELS
from samurai_batch.runtime.driver import run_job
from samurai_batch.runtime.summary import exit_code
from samurai_batch.video import open_video, picture
from tests.deterministic import SMALL
from tests.images.small import picture as drawn

BAD = {
    "cut.jpg": "cannot be read as a picture",
    "empty.jpg": "is empty",
    "text.png": "cannot be read as a picture",
    "one.png": "1x1 pixels",
    "wide.jpg": "20000x4 pixels",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven good pictures and five bad ones, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(7):
        Image.fromarray(drawn(40 + 4 * index, 64, seed=index)).save(folder / f"good {index}.png")
    Image.fromarray(drawn(40, 64)).save(folder / "cut.jpg")
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    Image.fromarray(drawn(1, 1)).save(folder / "one.png")
    Image.fromarray(np.zeros((4, 20_000, 3), np.uint8)).save(folder / "wide.jpg")
    return folder


def test_the_same_names_are_pictures_everywhere() -> None:
    assert SUFFIXES == picture.SUFFIXES


def test_a_picture_is_a_video_of_one_frame(folder: Path) -> None:
    with open_video(folder / "good 3.png") as source:
        (frame,) = source.frames(range(1))
        assert source.info.num_frames == 1
        np.testing.assert_array_equal(frame.pixels, drawn(52, 64, seed=3))


def test_a_picture_taken_sideways_is_turned(tmp_path: Path) -> None:
    image = Image.fromarray(drawn(40, 64))
    exif = image.getexif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    with open_video(tmp_path / "turned.png") as source:
        assert (source.info.height, source.info.width) == (64, 40)


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_picture_is_refused_with_the_reason(folder: Path, name: str) -> None:
    with pytest.raises(VideoError, match=BAD[name]):
        open_video(folder / name)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match="holds no pictures"):
        tracks_of_pictures(str(tmp_path))


def test_a_folder_of_pictures_is_segmented_and_the_bad_ones_fail_with_reasons(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, SMALL.name, SMALL)
    config = JobConfig(
        prompts=str(folder),
        output=str(tmp_path / "out"),
        model=SMALL.name,
        weights="untrained:0",
        pool="local",
        everything={"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    )
    summary = run_job(config, tracks=tracks_of_pictures(str(folder)))
    assert {problem.video_id: problem.status for problem in summary.problems} == dict.fromkeys(BAD, "failed")
    for problem in summary.problems:
        assert BAD[problem.video_id] in problem.error
    assert exit_code(summary) == 3
    rows = read_masks(config.output)
    assert set(rows["video_id"]) == {f"good {index}.png" for index in range(7)}
    assert set(rows["frame_index"]) == {0}

    again = run_job(config, tracks=tracks_of_pictures(str(folder)))
    assert again.totals.tracks_done == again.totals.tracks_skipped == summary.totals.tracks_done
    assert len(again.problems) == len(BAD)


def test_settings_of_everything_mode_are_given_by_name_on_the_command_line() -> None:
    texts = {"prompts": "p", "output": "o", "everything.points_per_side": "16", "everything.pred_iou_thresh": "0.5"}
    assert load_job(None, texts).everything == {"points_per_side": 16, "pred_iou_thresh": 0.5}
