"""The command line over real videos, real Ray and a real S3 server: what a user does, from the outside.

The network is the smallest image size of untrained weights: what the masks show is the golden tests' business.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.manifest import write_prompts
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track, Video
from tests.video.movies import FASTSTART, write_movie

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]

NUM_FRAMES = {"a": 70, "b": 45, "c": 31}
BOX_A, BOX_B = (5.0, 10.0, 40.0, 40.0), (20.0, 5.0, 60.0, 30.0)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "samurai_batch", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=600, check=False)


def job_arguments(prompts: str, output: str, *more: str) -> list[str]:
    model = ["--model", "nano", "--weights", "untrained:0", "--image-size", "64"]
    fields = ["--set", "chunk_frames=16", "--set", "num_cpus_per_replica=0.5"]
    fields += ["--set", "split_shards=false"]  # the same bits every time
    return ["run", "--prompts", prompts, "-o", output, "--replicas", "2", *model, *fields, *more]


def run_job(prompts: str, output: str, *more: str) -> subprocess.CompletedProcess[str]:
    return command(*job_arguments(prompts, output, *more))


def tracks_of(folder: str) -> list[Track]:
    """Two objects in each video; one is prompted late, one goes backward."""
    tracks = []
    for name in NUM_FRAMES:
        video = Video(name, f"{folder}/{name}.mp4")
        tracks.append(Track(video=video, object_id="one", prompts=(BoxPrompt(0, BOX_A),)))
        if name == "a":
            tracks.append(Track(video=video, object_id="two", prompts=(BoxPrompt(50, BOX_B),)))
        elif name == "b":
            late = (BoxPrompt(20, BOX_B),)
            tracks.append(Track(video=video, object_id="two", prompts=late, direction="backward"))
        else:
            tracks.append(Track(video=video, object_id="two", prompts=(BoxPrompt(10, BOX_B),), direction="both"))
    return tracks


EXPECTED_FRAMES = {
    ("a", "one"): range(70),
    ("a", "two"): range(50, 70),
    ("b", "one"): range(45),
    ("b", "two"): range(21),
    ("c", "one"): range(31),
    ("c", "two"): range(31),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, num_frames in NUM_FRAMES.items():
        write_movie(folder / f"{name}.mp4", num_frames=num_frames, container_options=FASTSTART)
    return folder


@pytest.fixture(scope="module")
def finished(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Prompts and output of a job that has run to its end."""
    folder = tmp_path_factory.mktemp("job")
    write_prompts(str(folder / "prompts.csv"), tracks_of(str(videos)))
    done = run_job(str(folder / "prompts.csv"), str(folder / "out"))
    assert done.returncode == 0, done.stderr
    assert "6 of 6 tracks done" in done.stdout
    return str(folder / "prompts.csv"), str(folder / "out")


def frames_in(table: pd.DataFrame) -> dict[tuple[str, str], list[int]]:
    groups = table.groupby(["video_id", "object_id"], observed=True)
    return {(str(key[0]), str(key[1])): group.frame_index.tolist() for key, group in groups}


def test_every_track_has_every_frame_in_order_once(finished: tuple[str, str]) -> None:
    table = pd.read_parquet(f"{finished[1]}/masks")
    assert frames_in(table) == {key: list(frames) for key, frames in EXPECTED_FRAMES.items()}
    assert (table.timestamp_s - table.frame_index / 25).abs().max() < 1e-3
    assert table[table.prompted].groupby(["video_id", "object_id"]).size().eq(1).all()


def test_the_same_command_again_computes_nothing(finished: tuple[str, str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(finished[1], "masks").rglob("*.parquet")}
    again = run_job(*finished)
    assert again.returncode == 0
    assert "6 of 6 tracks done (6 before this run), 0 rows written" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in Path(finished[1], "masks").rglob("*.parquet")} == before
    planned = command("plan", "--prompts", finished[0], "-o", finished[1], "--model", "nano", "--image-size", "64")
    assert "6 done already" in planned.stdout
    assert "6 done, 0 partial, 0 failed" in command("status", finished[1]).stdout
    assert json.loads(command("status", finished[1], "--json").stdout)["num_tracks"]["done"] == 6


def test_bad_videos_fail_their_tracks_with_a_reason_and_all_else_is_finished(
    videos: Path, finished: tuple[str, str], tmp_path: Path
) -> None:
    shutil.copytree(videos, tmp_path / "videos")
    whole = (videos / "a.mp4").read_bytes()
    (tmp_path / "videos" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "videos" / "junk.mp4").write_bytes(bytes(range(256)) * 40)
    bad = [
        Track(video=Video(name, f"{tmp_path}/videos/{name}.mp4"), object_id="one", prompts=(BoxPrompt(0, BOX_A),))
        for name in ("cut", "junk", "missing")
    ]
    write_prompts(str(tmp_path / "prompts.parquet"), [*tracks_of(f"{tmp_path}/videos"), *bad])
    done = run_job(str(tmp_path / "prompts.parquet"), str(tmp_path / "out"))
    assert done.returncode == 3, done.stderr
    assert "6 of 9 tracks done" in done.stdout
    for name, reason in (("cut", "frame"), ("junk", "video"), ("missing", "does not exist")):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"failed: {name} / one")]
        assert reason in line
    columns = ["video_id", "object_id", "frame_index"]
    undisturbed = pd.read_parquet(f"{finished[1]}/masks").sort_values(columns, ignore_index=True)
    table = pd.read_parquet(tmp_path / "out" / "masks").sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(table, undisturbed)
    assert not storage.list_names(f"{tmp_path}/out/_work")


def descendants(pid: int) -> list[int]:
    """All processes below one, from the kernel's table."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def replicas_of(pid: int) -> list[int]:
    """The actor processes of the local Ray that a driver has started."""
    found = []
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            if b"ray::_Actor" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def wait_for_more_work(output: Path, driver: subprocess.Popen[bytes], than: int = 0) -> int:
    """Until more than so many chunks are saved; their number."""
    deadline = time.monotonic() + 600
    while (count := len(list(output.glob("_work/*/*")))) <= than:
        assert driver.poll() is None, "the run ended before it was disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return count


def test_a_killed_replica_and_a_killed_driver_change_no_row(
    videos: Path, finished: tuple[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-m", "samurai_batch", *job_arguments(finished[0], str(output))]) as driver:
        saved = wait_for_more_work(output, driver)
        os.kill(replicas_of(driver.pid)[0], signal.SIGKILL)
        wait_for_more_work(output, driver, than=saved)
        driver.kill()
    assert not (output / "masks").exists() or len(list(output.glob("masks/*/*"))) < len(EXPECTED_FRAMES)
    again = run_job(finished[0], str(output))
    assert again.returncode == 0, again.stderr
    columns = ["video_id", "object_id", "frame_index"]
    table = pd.read_parquet(output / "masks").sort_values(columns, ignore_index=True)
    undisturbed = pd.read_parquet(f"{finished[1]}/masks").sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(table, undisturbed)


def test_an_impossible_prompt_is_refused_before_any_work(videos: Path, tmp_path: Path) -> None:
    rows = [
        {"video_id": "a", "video_uri": f"{videos}/a.mp4", "object_id": "one", "frame_index": 0, "kind": "box",
         "box_xyxy": box}
        for box in ("[0, 0, 20, 20]", "[30, 10, 20, 40]")
    ]  # fmt: skip
    rows[1]["object_id"] = "two"
    pd.DataFrame(rows).to_csv(tmp_path / "prompts.csv", index=False)
    refused = run_job(str(tmp_path / "prompts.csv"), str(tmp_path / "out"))
    assert refused.returncode == 2
    assert "row 2" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.server
def test_prompts_videos_and_output_on_s3_give_the_same_rows(
    videos: Path, finished: tuple[str, str], s3_uri: str, tmp_path: Path
) -> None:
    bucket = s3_uri
    for path in videos.iterdir():
        storage.write_bytes(f"{bucket}/videos/{path.name}", path.read_bytes())
    write_prompts(f"{bucket}/prompts.parquet", tracks_of(f"{bucket}/videos"))
    cache = ["--set", f"cache_dir={tmp_path}/cache"]
    done = run_job(f"{bucket}/prompts.parquet", f"{bucket}/out", *cache)
    assert done.returncode == 0, done.stderr
    again = run_job(f"{bucket}/prompts.parquet", f"{bucket}/out", *cache)
    assert "(6 before this run), 0 rows written" in again.stdout
    columns = ["video_id", "object_id", "frame_index"]
    local = pd.read_parquet(f"{finished[1]}/masks").sort_values(columns, ignore_index=True)
    remote = pd.read_parquet(f"{bucket}/out/masks").sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(remote, local)


def test_one_video_is_tracked_without_ray(videos: Path, finished: tuple[str, str], tmp_path: Path) -> None:
    box = ",".join(str(value) for value in BOX_A)
    model = ["--model", "nano", "--weights", "untrained:0", "--image-size", "64"]
    done = command("track", f"{videos}/b.mp4", "--box", box, "-o", str(tmp_path / "out"), *model)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out" / "masks")
    assert table.frame_index.tolist() == list(range(45))
    assert "ray" not in done.stderr.lower()
