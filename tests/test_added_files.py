"""Files added at the end of a video: its tracks go on where they had ended, with the rows of one run over all files."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import samurai_batch
from samurai_batch.ledger.status import RunSummary, exit_code
from samurai_batch.masks import bytes_to_table
from samurai_batch.modeling.configs import MAX_OBJ_PTRS
from samurai_batch.operations.reprocess import Choice, plan_reprocess, reprocess
from samurai_batch.planning.continuation import LEAST_STEPS
from samurai_batch.runtime.dry_run import plan_job
from tests.killed_at import run_until
from tests.runtime.fakes import NoProgress
from tests.video.movies import write_movie

pytestmark = pytest.mark.usefixtures("one_thread")

BOX = (10, 8, 34, 30)
SMALL: dict[str, Any] = {"weights": "untrained:0", "image_size": 64, "pool": "local", "chunk_frames": 4}
LENGTHS = (6, 8, 7)
NUM_FRAMES, BORDER, NUM_ADDED = 21, 20, 5
"""Frames of the first files, the last chunk border that they pass, and the frames of the file that is added."""


class Camera:
    """A folder of files, a job over all of them, and its output."""

    def __init__(self, folder: Path, lengths: tuple[int, ...] = LENGTHS, **prompt: Any) -> None:
        self.folder, self.output = folder, folder / "out"
        (folder / "in").mkdir()
        self.files = [self.add(length) for length in lengths]
        row = {"video_id": "cam", "video_uri": str(folder / "in/*.mp4"), "frame_index": 0, "kind": "box"}
        rows = [{**row, "object_id": name, "box_xyxy": BOX, **prompt} for name in ("1", "2")]
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add(self, num_frames: int, **options: Any) -> Path:
        name = f"cam_{len(list((self.folder / 'in').iterdir())) + 1}.mp4"
        return write_movie(self.folder / "in" / name, num_frames=num_frames, **options)

    def job(self, output: Path | None = None, **fields: Any) -> samurai_batch.JobConfig:
        prompts = str(self.folder / "prompts.jsonl")
        return samurai_batch.make_job({"prompts": prompts, "output": str(output or self.output), **SMALL, **fields})

    def run(self, output: Path | None = None, **fields: Any) -> RunSummary:
        return samurai_batch.run_job(self.job(output, **fields), progress=NoProgress())

    def frames_of_run(self, **fields: Any) -> int:
        """The track-frames that a run propagates; it ends well."""
        summary = self.run(**fields)
        assert exit_code(summary) == 0
        return summary.totals.stats.track_frames

    def check_as_undisturbed(self, **fields: Any) -> None:
        """Tables and boundary states are those of one run over all files, bit for bit."""
        other = self.folder / "undisturbed"
        self.run(other, **fields)
        assert table(self.output).equals(table(other))
        assert table(self.output, "2").equals(table(other, "2"))
        assert states(self.output) == states(other)


def table(output: Path, object_id: str = "1") -> pa.Table:
    return bytes_to_table((output / "masks/cam" / f"{object_id}.parquet").read_bytes())


def states(output: Path) -> dict[str, bytes]:
    """The boundary states by the end of their path."""
    folder = output / "_states"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.state")}


@pytest.mark.parametrize("fields", [{}, {"mode": "dam4sam", "max_tracks_per_shard": 1}])
def test_only_frames_from_the_last_chunk_border_are_propagated(tmp_path: Path, fields: dict[str, Any]) -> None:
    camera = Camera(tmp_path)
    assert camera.frames_of_run(**fields) == 2 * NUM_FRAMES
    assert len(states(camera.output)) == 2, "one for each track"
    camera.add(NUM_ADDED)
    assert camera.frames_of_run(**fields) == 2 * (NUM_FRAMES + NUM_ADDED - BORDER)
    assert len(states(camera.output)) == 2, "those of the first files are gone"
    camera.check_as_undisturbed(**fields)
    assert camera.frames_of_run(**fields) == 0
    camera.add(1)
    camera.add(9)
    assert camera.frames_of_run(**fields) == 2 * (NUM_FRAMES + NUM_ADDED + 10 - 24)


def test_with_a_frame_step_only_tracked_frames_count_and_boxes_between_are_made_anew(tmp_path: Path) -> None:
    fields = {"frame_step": 2, "interpolate_boxes": True}
    camera = Camera(tmp_path, (20, 8, 7))  # tracked up to frame 34, and frame 32 begins a chunk of 4 tracked frames
    assert camera.frames_of_run(**fields) == 2 * 18
    camera.add(6)
    assert camera.frames_of_run(**fields) == 2 * 5
    camera.check_as_undisturbed(**fields)
    assert table(camera.output)["frame_index"].to_pylist() == list(range(41))


def test_other_first_files_make_the_tracks_stale_as_a_whole(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.run()
    first, second, third = camera.files
    camera.add(NUM_ADDED)
    write_movie(second, num_frames=9)
    assert camera.frames_of_run() == 2 * (NUM_FRAMES + 1 + NUM_ADDED), "a file has changed"
    third.rename(tmp_path / "third.mp4")
    assert camera.frames_of_run() == 2 * (6 + 9 + NUM_ADDED), "a file is gone"
    second.rename(tmp_path / "second.mp4")
    first.rename(second)
    (tmp_path / "second.mp4").rename(first)
    camera.add(NUM_ADDED)
    assert camera.frames_of_run() == 2 * (6 + 9 + NUM_ADDED), "files have changed places"


@pytest.mark.parametrize("prompt", [{"direction": "both", "frame_index": 3}, {"end_frame": 19}])
def test_tracks_that_do_not_go_forward_to_the_end_start_again(tmp_path: Path, prompt: dict[str, Any]) -> None:
    camera = Camera(tmp_path, **prompt)
    camera.run()
    assert not states(camera.output)
    camera.add(NUM_ADDED)
    assert camera.frames_of_run() >= 2 * 19
    camera.check_as_undisturbed()


def test_tracks_of_few_frames_and_those_with_several_paths_start_again(tmp_path: Path) -> None:
    assert LEAST_STEPS == MAX_OBJ_PTRS, "up to so many frames, a track's length decides its masks"
    camera = Camera(tmp_path, (5, LEAST_STEPS - 6))
    camera.run()
    assert not states(camera.output)
    camera.add(NUM_ADDED)
    assert camera.frames_of_run() == 2 * (LEAST_STEPS - 1 + NUM_ADDED)
    assert states(camera.output), "now it is long enough"
    camera.run(mode="sam2long")
    assert not states(camera.output), "the table that they belong to is replaced"


def test_reprocess_says_from_where_it_goes_on_and_prune_removes_what_is_kept(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    reprocess(camera.job(), progress=NoProgress())
    camera.add(NUM_ADDED)
    reasons = [one.reason for one in plan_reprocess(camera.job()).decisions]
    assert reasons == [f"1 file added to its video: continues from frame {BORDER}"] * 2
    (shard,) = plan_job(camera.job()).shards
    assert 0 < shard.num_frames < BORDER, "the frames before the border are not planned"
    done = reprocess(camera.job(), progress=NoProgress())
    assert done.summary.totals.stats.track_frames == 2 * (NUM_FRAMES + NUM_ADDED - BORDER)
    camera.check_as_undisturbed()
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(prompts.read_text().splitlines()[0] + "\n")
    reprocess(camera.job(), Choice(prune=True), progress=NoProgress())
    assert [name.partition("/")[0] for name in states(camera.output)] == ["cam"]
    assert [name.split("/")[1] for name in states(camera.output)] == ["1"]


def test_an_added_file_that_is_not_complete_fails_the_tracks_and_its_successor_continues_them(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.run()
    added = camera.add(NUM_ADDED, width=96)  # of another size
    assert exit_code(camera.run()) == 3
    write_movie(added, num_frames=NUM_ADDED)
    assert camera.frames_of_run() == 2 * (NUM_FRAMES + NUM_ADDED - BORDER)
    camera.check_as_undisturbed()


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_added_file_goes_on_there_with_the_same_rows(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.run()
    camera.add(NUM_ADDED + 20)
    command = ["run", "--prompts", str(tmp_path / "prompts.jsonl")]
    command += ["-o", str(camera.output), "--set", "replicas=1", "--set", "threads_per_replica=1"]
    command += [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    run_until("*/_work/*/forward-4x7.state", command)
    num_saved = len(list(camera.output.glob("_work/*/*.parquet")))
    assert num_saved >= 4, "chunks 5 to 7 of two tracks"
    assert camera.frames_of_run() <= 2 * (NUM_FRAMES + NUM_ADDED + 20 - BORDER) - 4 * (num_saved - 2)
    camera.check_as_undisturbed()
