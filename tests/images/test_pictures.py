"""Pictures as videos of one frame: found in folders and lists, read whole or refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samurai_batch.errors import PromptsError, VideoError
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.job import load_job
from samurai_batch.manifest import read_pictures
from samurai_batch.manifest.files import PICTURE_SUFFIXES
from samurai_batch.video import open_video, picture_files
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
    assert PICTURE_SUFFIXES == picture_files.SUFFIXES


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
    with pytest.raises(PromptsError, match="contains no pictures"):
        read_pictures(str(tmp_path))


def test_a_list_names_pictures_anywhere(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "pictures.txt"
    uris = [str(folder / "good 0.png"), "s3://bucket/other.jpg"]
    listed.write_text("\n".join(["", *uris, ""]))
    assert [(track.video.video_id, track.video.uri) for track in read_pictures(str(listed))] == [
        ("good 0.png", uris[0]),
        ("other.jpg", uris[1]),
    ]


def test_pictures_of_one_name_are_refused_with_the_remedy(tmp_path: Path) -> None:
    listed = tmp_path / "pictures.txt"
    listed.write_text("a/1.jpg\nb/1.jpg\n")
    with pytest.raises(PromptsError, match=r"a/1\.jpg and b/1\.jpg have the same name; give a table"):
        read_pictures(str(listed))


def test_settings_of_everything_mode_are_given_by_name_on_the_command_line() -> None:
    texts = {"prompts": "p", "output": "o", "everything.points_per_side": "16", "everything.pred_iou_thresh": "0.5"}
    assert load_job(None, texts).everything == EverythingSettings(points_per_side=16, pred_iou_thresh=0.5)
