"""Corrections: only what differs from the exported masks becomes a prompt, of the track that it corrects."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from samurai_batch import cli
from samurai_batch.errors import ConfigError
from samurai_batch.exports import export_masks
from samurai_batch.imports import Videos, corrections, read_annotations, to_tracks
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.prompts import BoxPrompt, MaskPrompt, TextPrompt
from samurai_batch.tasks import Track, Video
from tests.exports.made_masks import HEIGHT, WIDTH, Masks, write_frames, write_output

CLIP = Video("clip", "clip.mp4")


def square(left: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[2:5, left : left + 3] = True
    return mask


MASKS: Masks = {(object_id, frame): square(frame) for object_id in ("cup", "2") for frame in range(4)}


@pytest.fixture
def output(tmp_path: Path) -> str:
    write_output(str(tmp_path / "out"), "clip", MASKS)
    return str(tmp_path / "out")


def base() -> list[Track]:
    return [
        Track(video=CLIP, object_id="cup", prompts=(BoxPrompt(0, (0.0, 2.0, 3.0, 5.0)),)),
        Track(video=CLIP, object_id="2", prompts=(BoxPrompt(0, (0.0, 2.0, 3.0, 5.0)),), end_frame=2),
    ]


def exported(output: str, folder: Path, name: str) -> Path:
    frames = folder / "frames"
    uri = str(frames) if frames.exists() else write_frames(frames)
    export_masks(output, str(folder / name), name, video_uri=lambda _: uri)
    return folder / name


@pytest.mark.parametrize(
    "name", ["cvat", "cvat-polygon", "cvat-mask", "cvat-images", "label-studio", "label-studio-brush"]
)
def test_what_was_not_touched_is_no_correction(output: str, tmp_path: Path, name: str) -> None:
    videos = Videos({"clip": "clip.mp4"})
    found = corrections(read_annotations(str(exported(output, tmp_path, name)), videos), output)
    assert found.prompts == []
    assert found.left_out["shapes as they were exported"] == len(MASKS)
    with pytest.raises(ConfigError, match=r"no prompts were found .*8 shapes as they were exported"):
        to_tracks(found, videos, base=base())


def test_one_moved_box_is_one_prompt_of_its_track_and_other_tracks_stay_as_they_are(
    output: str, tmp_path: Path
) -> None:
    file = exported(output, tmp_path, "cvat") / "clip.xml"
    text = file.read_text()
    at_2 = re.search(r'<track[^>]*label="cup".*?(<box frame="2"[^>]*>)', text, re.DOTALL)
    assert at_2 is not None
    moved = at_2[1].replace('xtl="2.00"', 'xtl="4.00"').replace('xbr="5.00"', 'xbr="8.50"')
    file.write_text(text.replace(at_2[0], at_2[0].replace(at_2[1], moved)))
    videos = Videos({"clip": "clip.mp4"})
    made = to_tracks(corrections(read_annotations(str(file), videos), output), videos, base=base())
    cup, other = made.tracks
    assert cup.prompts == (BoxPrompt(0, (0.0, 2.0, 3.0, 5.0)), BoxPrompt(2, (4.0, 2.0, 8.5, 5.0)))
    assert other == base()[1]
    assert (made.changed, made.num_prompts) == ((("clip", "cup"),), 1)


def test_a_correction_replaces_the_prompts_of_its_frame_and_stays_within_its_track() -> None:
    videos = Videos({"clip": "clip.mp4"})
    from samurai_batch.imports import ImportedPrompts

    found = ImportedPrompts()
    found.add_box(("clip", "cup"), 0, (1.0, 1.0, 4.0, 4.0))
    found.add_box(("clip", "2"), 3, (1.0, 1.0, 4.0, 4.0))
    found.add_box(("clip", "new"), 1, (1.0, 1.0, 4.0, 4.0))
    made = to_tracks(found, videos, base=base())
    assert [track.object_id for track in made.tracks] == ["cup", "2", "new"]
    assert made.tracks[0].prompts == (BoxPrompt(0, (1.0, 1.0, 4.0, 4.0)),)
    assert made.left_out == {"prompts on frames outside of their track": 1}


def test_what_a_table_of_prompts_cannot_hold_is_left_out() -> None:
    from samurai_batch.imports import ImportedPrompts

    found = ImportedPrompts()
    found.add_box(("clip", "x#0"), 0, (1.0, 1.0, 4.0, 4.0))
    found.add_box(("clip", "x#no. #1-0-0"), 0, (1.0, 1.0, 4.0, 4.0))  # a class of the name "no. #1"
    found.add_box(("clip", "cup"), 0, (-9.0, -9.0, -1.0, 4.0))
    found.add_points(("clip", "cup"), 0, [(-1.0, 5.0)])
    found.add_points(("clip", "cup"), 1, [(3.0, 5.0)])
    text = Track(video=CLIP, object_id="x", prompts=(TextPrompt(0, "a cup"),))
    made = to_tracks(found, Videos({"clip": "clip.mp4"}), base=[text])
    assert [track.object_id for track in made.tracks] == ["x", "cup"]
    assert sum(made.left_out.values()) == 4
    assert any("detected objects" in reason for reason in made.left_out)


def test_kinds_and_first_prompts_can_be_chosen(output: str) -> None:
    videos = Videos({"clip": "clip.mp4"})
    found = read_annotations(output, videos)
    (cup, _) = sorted(
        to_tracks(found, videos, first_only=True, kind="box").tracks, key=lambda track: -len(track.object_id)
    )
    assert cup.prompts == (BoxPrompt(0, (0.0, 2.0, 3.0, 5.0)),)
    masks = to_tracks(found, videos, kind="mask").tracks[0].prompts
    assert len(masks) == 4
    assert all(isinstance(prompt, MaskPrompt) for prompt in masks)


def test_it_is_said_which_video_is_missing(output: str) -> None:
    found = read_annotations(output, Videos({}))
    with pytest.raises(ConfigError, match=r"not known where video 'clip' is .*; add --video 'clip=URI'"):
        to_tracks(found, Videos({}))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["samurai-batch", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_writes_a_table_and_says_what_it_left_out(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = exported(output, tmp_path, "cvat") / "clip.xml"
    text = file.read_text().replace('<box frame="1" keyframe="1"', '<box frame="1" keyframe="0"')
    file.write_text(
        text.replace("</annotations>", '<track id="9" label="road"><polyline frame="0"/></track></annotations>')
    )
    table = str(tmp_path / "p.csv")
    assert call(monkeypatch, "prompts", "--from", str(file), "--video", "clip=clip.mp4", "-o", table) == 0
    said = capsys.readouterr()
    assert "6 prompt(s) of 2 track(s) taken, 2 track(s) in all" in said.out
    assert said.err.splitlines() == [
        "left out: 2 interpolated shapes (keyframes are taken)",
        "left out: 1 shapes of type polyline",
    ]
    assert [track.object_id for track in read_prompts(table)] == ["2", "cup"]
    write_prompts(table, base())
    assert call(monkeypatch, "prompts", "--from", str(file), "--onto", table, "--corrects", output, "-o", table) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert call(monkeypatch, "prompts", "--dataset", "davis16", "--root", ".", "--first") == 2
    assert "--first goes with --from; leave it out" in capsys.readouterr().err
    assert call(monkeypatch, "prompts", "-o", table) == 2
    assert "give either --from FILE, or --dataset NAME" in capsys.readouterr().err
