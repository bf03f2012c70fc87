"""Submitting: what is sent, and the exit code from the ledger. The cluster is a stand-in; `test_cluster.py` has one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.schema import RunStatus, Totals
from samurai_batch.ledger.store import write_run
from samurai_batch.operations.submit import RayJobState, exit_code_of, submit_job, wait_for
from tests.runtime.records import run_record

NOTHING = Totals()


@dataclass
class FakeApi:
    """A cluster whose job ends at the third poll."""

    exit_code: int | None = 0
    sent: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    num_polls: int = 0
    codes: list[Path | None] = field(default_factory=list)

    def submit(self, entrypoint: str, folder: Path, code: Path | None, metadata: dict[str, str]) -> str:
        self.codes.append(code)
        self.sent.append((entrypoint, yaml.safe_load((folder / "job.yaml").read_text())))
        return "job-1"

    def state(self, job_id: str) -> RayJobState:
        self.num_polls += 1
        has_ended = self.num_polls == 3
        return RayJobState(has_ended, self.exit_code if has_ended else None)

    def log(self, job_id: str) -> str:
        return "".join(f"line {number}\n" for number in range(self.num_polls))


def a_job(tmp_path: Path, **changes: object) -> JobConfig:
    fields = {"prompts": str(tmp_path / "prompts.csv"), "output": str(tmp_path / "out"), "model": "nano"}
    return make_job({**fields, "weights": "untrained:0", **changes})


def write_record(output: str, name: str, status: RunStatus = "finished", totals: Totals = NOTHING) -> None:
    write_run(storage, output, run_record(name, status=status, totals=totals))


def test_a_job_is_sent_with_what_differs_from_the_defaults_and_its_exit_code_is_the_ledgers(tmp_path: Path) -> None:
    api, job = FakeApi(), a_job(tmp_path, chunk_frames=7)
    write_record(job.output, "before", totals=Totals(tracks_failed=1))
    submitted = submit_job(api, job, "reprocess", ["--prune"])
    [(entrypoint, sent)] = api.sent
    assert entrypoint == f"python -m samurai_batch reprocess job.yaml --run-id {submitted.run_id} --prune"
    assert sent == job.model_dump(exclude_defaults=True)
    write_record(job.output, submitted.run_id, totals=Totals(tracks=3, tracks_done=3))
    write_record(job.output, "of-another-user", totals=Totals(tracks_failed=1))
    told: list[str] = []
    assert wait_for(api, submitted, told.append, sleep=lambda _: None) == 0
    assert "".join(told) == "line 0\nline 1\nline 2\n"


@pytest.mark.parametrize(
    ("run", "driver_exit_code", "expected"),
    [
        (("finished", NOTHING), 0, 0),
        (("finished", Totals(tracks_failed=1)), 0, 3),
        (("finished", Totals(tracks_partial=1)), 0, 3),
        (("crashed", NOTHING), 0, 1),
        (("running", NOTHING), None, 1),
        (None, 2, 2),
        (None, 1, 1),
        (None, None, 1),
    ],
)
def test_the_exit_code_is_that_of_the_jobs_own_run(
    tmp_path: Path, run: tuple[RunStatus, Totals] | None, driver_exit_code: int | None, expected: int
) -> None:
    submitted = submit_job(FakeApi(), a_job(tmp_path))
    if run is not None:
        write_record(submitted.output, submitted.run_id, *run)
    assert exit_code_of(submitted, driver_exit_code) == expected


def test_a_job_that_cannot_run_there_is_refused_here(tmp_path: Path) -> None:
    api = FakeApi()
    with pytest.raises(ConfigError, match="pool is 'local'"):
        submit_job(api, a_job(tmp_path, pool="local"))
    with pytest.raises(ConfigError, match=r"--code .*nowhere\.whl: there is no such folder or wheel"):
        submit_job(api, a_job(tmp_path), code=tmp_path / "nowhere.whl")
    with pytest.raises(ConfigError, match="model 'huge' is not known"):
        submit_job(api, a_job(tmp_path, model="huge"))
    assert not api.sent


def test_files_that_a_job_names_by_relative_paths_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api, files = FakeApi(), {name: name for name in ("prompts", "output", "weights", "detections")}
    submit_job(api, make_job({**files, "cache_dir": "videos"}))
    [(_, sent)] = api.sent
    assert {name: sent[name] for name in files} == {name: str(tmp_path / name) for name in files}
    assert sent["cache_dir"] == "videos"  # a folder of each node


@pytest.mark.parametrize(
    ("uri", "is_relative"),
    [
        ("clip.mp4", True),
        ("cam/*.mp4", True),
        ("/data/clip.mp4", False),
        ("s3://b/clip.mp4", False),
        ("~/c.mp4", False),
    ],
)
def test_relative_paths_of_videos_are_refused_as_the_job_runs_in_another_folder(
    uri: str, is_relative: bool, tmp_path: Path
) -> None:
    api, job = FakeApi(), a_job(tmp_path)
    row = f'v,{uri},o,0,box,"[1, 2, 30, 40]"'
    Path(job.prompts).write_text(f"video_id,video_uri,object_id,frame_index,kind,box_xyxy\n{row}\n")
    for prompts in (job.prompts, str(tmp_path / "*.csv")):
        if is_relative:
            with pytest.raises(ConfigError, match=r"prompts\.csv: the path .* is relative to this folder"):
                submit_job(api, job.model_copy(update={"prompts": prompts}))
        else:
            submit_job(api, job.model_copy(update={"prompts": prompts}))
    assert len(api.sent) == (0 if is_relative else 2)


def test_only_the_package_itself_is_sent_as_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would send any folder under its own name, and the nodes would import what they have."""
    around, other = tmp_path / "repository", tmp_path / "other"
    for folder in (around / "samurai_batch", other):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    (tmp_path / "some.whl").touch()
    api, job = FakeApi(), a_job(tmp_path)
    for code, message in (
        (around, "this is the folder around the package; give .*repository/samurai_batch"),
        (other, "this is not the package"),
    ):
        with pytest.raises(ConfigError, match=f"--code .*: {message}"):
            submit_job(api, job, code=code)
    assert not api.sent
    monkeypatch.chdir(around / "samurai_batch")
    for code in (Path(), tmp_path / "some.whl", around / "samurai_batch"):
        submit_job(api, job, code=code)
    assert api.codes == [around / "samurai_batch", tmp_path / "some.whl", around / "samurai_batch"]


@dataclass
class FarApi(FakeApi):
    """A cluster that does not answer at some polls; ``on_progress`` is called whenever it does not."""

    silent_polls: range = range(0)
    on_progress: Callable[[], None] = lambda: None

    def state(self, job_id: str) -> RayJobState:
        if self.num_polls + 1 in self.silent_polls:
            self.num_polls += 1
            self.on_progress()
            raise ConnectionError("Connection refused")
        return super().state(job_id)


def test_a_tunnel_that_is_down_for_a_while_changes_nothing(tmp_path: Path) -> None:
    api = FarApi(silent_polls=range(2, 3))
    submitted = submit_job(api, a_job(tmp_path))
    told: list[str] = []

    def sleep(seconds: float) -> None:
        if api.num_polls == 2:
            write_record(submitted.output, submitted.run_id, totals=Totals(tracks=3, tracks_failed=1))

    assert wait_for(api, submitted, told.append, sleep=sleep) == 3
    assert "".join(told) == "line 0\nline 1\nline 2\n"


def test_where_the_head_is_gone_the_ledger_says_how_the_job_ended(tmp_path: Path) -> None:
    api = FarApi(silent_polls=range(2, 10_000))
    submitted = submit_job(api, a_job(tmp_path))
    beats = iter(range(1, 1000))

    def work_on() -> None:
        number = next(beats)
        totals = Totals(tracks=3, tracks_done=3)
        changes: dict[str, object] = {"heartbeat_at_s": float(number)}
        status: RunStatus = "running" if number < 900 else "finished"
        record = run_record(submitted.run_id, status=status, totals=totals, **changes)
        write_run(storage, submitted.output, record)

    api.on_progress = work_on
    assert wait_for(api, submitted, sleep=lambda _: None, patience_s=100.0) == 0
    assert api.num_polls == 901  # of two seconds each: longer than patience, as it has shown life all the time


def test_waiting_ends_without_news_from_cluster_and_ledger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    api = FarApi(silent_polls=range(1, 10_000))
    submitted = submit_job(api, a_job(tmp_path))
    write_record(submitted.output, submitted.run_id, "running")
    assert wait_for(api, submitted, sleep=lambda _: None, patience_s=600.0) == 1
    assert api.num_polls == 301
    assert "the cluster has not answered, and the run of job job-1 has had no heartbeat, for 10 minutes" in caplog.text
    assert caplog.text.count("trying again") == 1
