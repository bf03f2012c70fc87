"""The correction loop by its commands: run, export the worst moment, correct it, take it back, run again, compare."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from samurai_batch import cli
from samurai_batch.geometry import mask_iou
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track, Video

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

SIZE, NUM_FRAMES, GONE = (160, 120), 14, 8
Box = tuple[float, float, float, float]
Call = Callable[..., str]


def red_box(frame: int) -> Box:
    """The red disc moves right; from frame `GONE` on it is gone."""
    return 20.0 + 2 * frame, 15.0, 50.0 + 2 * frame, 45.0


def blue_box(frame: int) -> Box:
    return 90.0 - 2 * frame, 70.0, 125.0 - 2 * frame, 105.0


def blue_mask(frame: int) -> np.ndarray:
    picture = Image.new("1", SIZE)
    ImageDraw.Draw(picture).ellipse(blue_box(frame), fill=1)
    return np.asarray(picture)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job with a right track and a wrong one, which was prompted on the red disc and is meant to be the blue one."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for frame in range(NUM_FRAMES):
        picture = Image.new("RGB", SIZE, (70, 90, 70))
        draw = ImageDraw.Draw(picture)
        draw.ellipse(blue_box(frame), fill=(40, 60, 230))
        if frame < GONE:
            draw.ellipse(red_box(frame), fill=(230, 40, 40))
        picture.save(folder / f"{frame:05d}.png")
    video = Video("clip", str(folder))
    tracks = [Track(video=video, object_id=name, prompts=(BoxPrompt(0, red_box(0)),)) for name in ("red", "blue")]
    write_prompts(str(tmp_path / "prompts.csv"), tracks)
    settings = {"prompts": str(tmp_path / "prompts.csv"), "output": str(tmp_path / "out"), "model": "nano",
                "pool": "local", "image_size": 128}  # fmt: skip
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["samurai-batch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == code, said.err
        return said.out

    return run


def run_ids(call: Call, output: Path) -> list[str]:
    return re.findall(r"^(\S+)  \d{4}-", call("history", output), re.MULTILINE)


def blue_iou(output: Path, frames: range) -> float:
    rows = read_masks(str(output), ["clip"], ["blue"], frames)
    return float(np.mean([mask_iou(mask, blue_mask(int(frame)))
                          for mask, frame in zip(rows.masks, rows["frame_index"], strict=True)]))  # fmt: skip


def correct_in_cvat(file: Path, frame: int) -> None:
    """What a person does in CVAT: the mask of "blue" is replaced by a box around the blue disc."""
    tree = ET.parse(file)  # noqa: S314
    image = tree.find(f"image[@name='clip/{frame:06d}.jpg']")
    assert image is not None
    for shape in image.findall("mask[@label='blue']"):
        image.remove(shape)
    corners = zip(("xtl", "ytl", "xbr", "ybr"), map(str, blue_box(frame)), strict=True)
    ET.SubElement(image, "box", {"label": "blue", "source": "manual", "occluded": "0", **dict(corners)})
    tree.write(file)


def correct_in_label_studio(file: Path, frame: int) -> None:
    """What a person does in Label Studio: an annotation from the prediction, with a rectangle for the brush."""
    tasks = json.loads(file.read_text())
    (task,) = [one for one in tasks if one["data"]["frame_index"] == frame]
    results = [one for one in task["predictions"][0]["result"] if one["value"]["brushlabels"] != ["blue"]]
    (x1, y1, x2, y2), (width, height) = blue_box(frame), SIZE
    place = {"x": 100 * x1 / width, "y": 100 * y1 / height, "rotation": 0}
    size = {"width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height}
    drawn = {"type": "rectanglelabels", "from_name": "box", "to_name": "image", "id": "x", "original_width": width,
             "original_height": height, "value": {**place, **size, "rectanglelabels": ["blue"]}}  # fmt: skip
    task["annotations"] = [{"was_cancelled": False, "result": [*results, drawn]}]
    file.write_text(json.dumps(tasks))


@pytest.mark.parametrize(
    ("name", "file", "correct"),
    [
        ("cvat-images", "annotations.xml", correct_in_cvat),
        ("label-studio-brush", "tasks.json", correct_in_label_studio),
    ],
)
def test_a_wrong_track_is_corrected_on_its_worst_frame_and_computed_alone(
    call: Call, job: Path, name: str, file: str, correct: Callable[[Path, int], None]
) -> None:
    output, prompts = job / "out", job / "prompts.csv"
    call("reprocess", job / "job.yaml")
    said = call("export", output, "--format", name, "--worst", 1, "--object", "blue", "-o", job / "fix")
    worst = re.match(r"\d\.\d\d  clip / blue: .*on frame (\d+)", said)
    assert worst is not None, said
    frame = int(worst[1])
    assert [path.name for path in (job / "fix/images/clip").iterdir()] == [f"{frame:06d}.jpg"]
    red_table = output / "masks/clip/red.parquet"
    before, red_before = blue_iou(output, range(frame, NUM_FRAMES)), red_table.read_bytes()

    correct(job / "fix" / file, frame)
    taken = call("prompts", "--from", job / "fix" / file, "--corrects", output, "--onto", prompts, "-o", prompts)
    assert "1 prompt(s) of 1 track(s) taken, 2 track(s) in all" in taken
    assert {track.object_id: len(track.prompts) for track in read_prompts(str(prompts))} == {"red": 1, "blue": 2}

    said = call("reprocess", job / "job.yaml")
    assert "2 tracks in the source, 1 to compute" in said
    assert "clip / blue: changed: prompts" in said
    assert "left the mask there as it was" not in said
    assert blue_iou(output, range(frame, frame + 1)) > 0.8
    assert blue_iou(output, range(frame, NUM_FRAMES)) > before
    assert red_table.read_bytes() == red_before

    first, second = run_ids(call, output)
    compared = call("diff", f"{output}@{first}", f"{output}@{second}")
    assert next(line for line in compared.splitlines() if "mean IoU" in line).startswith("clip / blue: mean IoU 0.")
    assert f"clip / red: only in {output}@{first}" in compared


def test_a_correction_that_changes_nothing_is_told_by_reprocess_and_by_diff(
    call: Call, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samurai_batch.operations.diff.SAME_MASK_IOU", 0.6)  # nano's masks move a little
    output, prompts, frame = job / "out", job / "prompts.csv", 4
    call("reprocess", job / "job.yaml")
    tracks = {track.object_id: track for track in read_prompts(str(prompts))}
    again = replace(tracks["red"], prompts=(*tracks["red"].prompts, BoxPrompt(frame, red_box(frame))))
    write_prompts(str(prompts), [again, tracks["blue"]])
    told = f"clip / red: the new prompt on frame {frame} left the mask there as it was; was another frame meant?"
    assert told in call("reprocess", job / "job.yaml").splitlines()
    first, second = run_ids(call, output)
    compared = call("diff", f"{output}@{first}", f"{output}@{second}")
    assert f"  the prompt on frame {frame}, which only the second has, left the mask there as it was" in compared
