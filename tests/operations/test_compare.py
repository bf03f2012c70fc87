"""Trackers compared end to end: a job for each, then tables, a plot and one sentence; the same command resumes."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from samurai_batch import cli, storage
from samurai_batch.errors import ConfigError, SamuraiBatchError
from samurai_batch.job.variants import load_variants
from samurai_batch.ledger.store import list_runs, read_run
from samurai_batch.operations.compare import GroundTruth, compare
from samurai_batch.runtime.run import run_job
from samurai_batch.synthetic import SUITES
from samurai_batch.synthetic.clip import generate_clip

NUM_VIDEOS, NUM_FRAMES, SIZE = 3, 5, 64
FAST = {"model": "nano", "image_size": "64", "pool": "local", "replicas": "1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated clips in the layout of DAVIS 2016."""
    folder = tmp_path_factory.mktemp("davis")
    scene = replace(SUITES["mix"].scene, leave=0.0, hiding=0.0)
    names = [f"clip{number}" for number in range(NUM_VIDEOS)]
    for number, name in enumerate(names):
        clip = generate_clip((7, number), scene, NUM_FRAMES, SIZE)
        for kind in ("JPEGImages", "Annotations"):
            (folder / kind / "480p" / name).mkdir(parents=True)
        for index, frame in enumerate(clip.frames):
            mask = (clip.masks[index, 0] * 255).astype(np.uint8)
            Image.fromarray(frame).save(folder / f"JPEGImages/480p/{name}/{index:05d}.jpg", quality=95)
            Image.fromarray(mask).save(folder / f"Annotations/480p/{name}/{index:05d}.png")
    listed = folder / "ImageSets/480p/val.txt"
    listed.parent.mkdir(parents=True)
    lines = "/JPEGImages/480p/{0}/00000.jpg /Annotations/480p/{0}/00000.png\n"
    listed.write_text("".join(lines.format(name) for name in names))
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    options = [part for name, value in FAST.items() if name != "model" for part in ("--set", f"{name}={value}")]
    monkeypatch.setattr(sys, "argv", ["samurai-batch", "compare", *arguments, *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_modes_are_compared_with_the_truth_of_a_benchmark_and_the_same_command_resumes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out")
    command = ("--mode", "samurai", "--mode", "sam2", "--dataset", "davis16", "--root", str(root), "-o", output)
    assert call(monkeypatch, *command) == 0
    printed = capsys.readouterr().out
    assert "J&F" in printed
    assert "3 video(s)" in printed
    assert "No difference beyond chance between" in printed or "Use s" in printed

    summary, pairs = (pd.read_csv(f"{output}/{name}.csv") for name in ("comparison", "pairs"))
    videos = pd.read_parquet(f"{output}/videos.parquet")
    assert set(summary["variant"]) == {"samurai", "sam2"}
    for row in summary.to_dict("records"):
        own = videos[videos["variant"] == row["variant"]]
        assert row["mean"] == pytest.approx(own["J&F"].mean())
        assert row["standard_error"] == pytest.approx(own["J&F"].std() / NUM_VIDEOS**0.5)
        assert row["ms_per_track_frame"] > 0
    best, second = summary["mean"]
    assert pairs["mean"].tolist() == pytest.approx([best - second])
    svg = (tmp_path / "out/comparison.svg").read_text()
    assert "samurai" in svg
    assert "95 % intervals" in svg

    before = {name: frames_encoded(f"{output}/{name}") for name in ("samurai", "sam2")}
    assert call(monkeypatch, *command) == 0
    assert {name: frames_encoded(f"{output}/{name}") for name in before} == before
    assert capsys.readouterr().out == printed


def write_boxes(folder: Path, videos: dict[str, str]) -> str:
    """A prompts table with one box in each video."""
    rows = [
        {
            "video_id": name,
            "video_uri": uri,
            "object_id": "1",
            "frame_index": 0,
            "kind": "box",
            "box_xyxy": [8, 8, 40, 40],
        }
        for name, uri in videos.items()
    ]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def frames_encoded(output: str) -> int:
    """By all runs that wrote to an output."""
    records = [read_run(storage, output, run_id) for run_id in list_runs(storage, output)]
    return sum(record.totals.stats.frames_encoded for record in records if record is not None)


def test_without_truth_masks_are_compared_with_each_other(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = write_boxes(tmp_path, {f"clip{n}": f"{root}/JPEGImages/480p/clip{n}" for n in range(2)})
    job = tmp_path / "job.yaml"
    job.write_text(
        f"prompts: {prompts}\noutput: {tmp_path}/out\nvariants:\n- {{mode: samurai}}\n- {{mode: sam2}}\n"
        "- {name: holes, tracker: {fill_hole_area: 0, binarize_mask_from_pts_for_mem_enc: false}}\n"
    )
    assert call(monkeypatch, str(job)) == 0
    assert "Without ground truth none can be recommended" in capsys.readouterr().out
    pairs, tracks = (pd.read_csv(tmp_path / f"out/{name}.csv") for name in ("pairs", "disagreements"))
    assert len(pairs) == 3
    assert len(tracks) == 6
    assert tracks["mean_iou"].is_monotonic_increasing
    of_pair = tracks[(tracks["a"] == "samurai") & (tracks["b"] == "sam2")]["mean_iou"]
    assert pairs["mean"].iloc[0] == pytest.approx(of_pair.mean())
    assert pairs["mean"].between(0, 1).all()


def test_a_video_that_fails_in_a_variant_is_left_out_and_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {f"clip{n}": f"{root}/JPEGImages/480p/clip{n}" for n in range(2)}
    prompts = write_boxes(tmp_path, folders | {"clip2": f"{root}/nowhere"})
    truth = ("--dataset", "davis16", "--root", str(root))
    shared = ("--prompts", prompts, "-o", f"{tmp_path}/out", "--mode", "samurai", "--mode", "sam2")
    assert call(monkeypatch, *shared, *truth) == 3
    printed = capsys.readouterr().out
    assert "left out, because a track of them failed: clip2" in printed
    assert "2 video(s)" in printed
    assert pd.read_csv(tmp_path / "out/videos.csv")["video_id"].unique().tolist() == ["clip0", "clip1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mode", "sam2"], "there is nothing to compare; give --mode, --rescue or --model at least twice"),
        (["--mode", "samurai", "--mode", "sam2", "--dataset", "davis16"], "--dataset and --root go together"),
        (["--mode", "samurai", "--mode", "sam2", "--sequence", "a"], "give --dataset and --root as well"),
        (["--mode", "samurai", "--mode", "sam3"], "mode is 'sam3'"),
        (["--mode", "samurai", "--mode", "sam2", "--dataset", "x", "--root", "y"], "dataset 'x' is not known"),
        (["--mode", "samurai", "--mode", "sam2", "--kind", "x"], "--kind x: it should be box or mask"),
    ],
)
def test_a_wrong_option_is_said_in_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, "--prompts", "p.csv", "-o", str(tmp_path / "out"), *options) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_ends_the_comparison_and_says_how_to_continue(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = load_variants(
        None, {"output": str(tmp_path), **FAST}, modes=["samurai", "sam2"], default_prompts="prompts.parquet"
    )
    monkeypatch.setattr(
        "samurai_batch.operations.compare.run_job",
        lambda *args, **options: replace(run_job(*args, **options), status="interrupted"),
    )
    with pytest.raises(
        SamuraiBatchError, match="the run of variant samurai was interrupted; the same command continues"
    ):
        compare(jobs, str(tmp_path), GroundTruth(dataset="davis16", root=str(root), sequences=("clip0",)))
    assert not (tmp_path / "comparison.csv").exists()


def test_jobs_that_segment_pictures_are_not_compared(tmp_path: Path) -> None:
    shared = {"prompts": "p.csv", "output": str(tmp_path), "task": "segment"}
    jobs = load_variants(None, shared, models=["nano", "edgetam"], weights=["untrained:0"])
    with pytest.raises(ConfigError, match="task segment: only jobs that track"):
        compare(jobs, str(tmp_path))
