"""Whole jobs on every kind of store: killed in the middle and run again, and two drivers on one output."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.errors import OutputLockedError, StoreError
from samurai_batch.job import JobConfig
from samurai_batch.ledger.status import exit_code, read_status
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.masks.compact import compact_masks
from samurai_batch.runtime.run import run_job
from samurai_batch.storage import retry
from samurai_batch.tasks import Video
from tests.runtime.fakes import NoProgress, box_track
from tests.runtime.test_jobs import make_config, make_tracks, rows_of
from tests.storage.web_server import Answer, WebServer, web_server
from tests.video.movies import write_movie

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.usefixtures("one_thread")]

ROOT = Path(__file__).parents[2]
STORES = ["s3", "gcs", "azure"]


@pytest.fixture(params=STORES)
def root(request: pytest.FixtureRequest) -> str:
    """A folder on each kind of store."""
    return str(request.getfixturevalue(f"{request.param}_uri"))


def start(root: str, folder: Path, mode: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runtime.store_driver", root, "out", str(folder / "cache"), mode]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def rows_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], pd.DataFrame]:
    """The rows of the same job with everything on disk."""

    @cache
    def rows() -> pd.DataFrame:
        folder = str(tmp_path_factory.mktemp("disk"))
        config = make_config(folder, "out")
        assert exit_code(run_job(config, tracks=make_tracks(folder), progress=NoProgress())) == 0
        return rows_of(config)

    return rows


def test_a_killed_job_is_resumed_and_leaves_the_tables_that_it_leaves_on_disk(
    root: str, tmp_path: Path, rows_on_disk: Callable[[], pd.DataFrame]
) -> None:
    write_prompts(f"{root}/prompts.parquet", make_tracks(root))
    with start(root, tmp_path, "kill") as driver:
        assert driver.wait(timeout=600) == -signal.SIGKILL
    config = make_config(root, "out", cache_dir=str(tmp_path / "cache"))
    assert storage.list_names(f"{config.output}/_work")
    assert exit_code(run_job(config, progress=NoProgress())) == 0
    pd.testing.assert_frame_equal(rows_of(config), rows_on_disk())
    assert not storage.list_names(f"{config.output}/_work")
    assert run_job(config, progress=NoProgress()).totals.tracks_skipped == 4
    assert read_status(storage, config.output).num_tracks["done"] == 4
    compacted = read_masks(compact_masks(config.output))
    assert len(compacted) == len(rows_on_disk())


def test_of_two_drivers_on_one_output_one_is_refused(root: str, tmp_path: Path) -> None:
    write_prompts(f"{root}/prompts.parquet", make_tracks(root))
    with start(root, tmp_path, "hold") as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == b"running\n"
            with pytest.raises(OutputLockedError, match=r"is writing here"):
                run_job(make_config(root, "out", cache_dir=str(tmp_path / "other")), progress=NoProgress())
        finally:
            driver.kill()


def test_of_two_that_create_one_object_at_once_one_succeeds(root: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def create(number: int) -> bool:
        return storage.create_bytes(f"{root}/lease", f"{number}".encode())

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, range(16)))
    assert sum(created) == 1
    assert storage.read_bytes(f"{root}/lease") == f"{created.index(True)}".encode()


@pytest.mark.parametrize("store", STORES)
def test_an_output_in_a_bucket_that_does_not_exist_is_refused(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    scheme = str(request.getfixturevalue(f"{store}_uri")).partition("://")[0]
    config = make_config(str(tmp_path), "out").model_copy(update={"output": f"{scheme}://no-such-bucket/out"})
    with pytest.raises(StoreError, match=rf"the (bucket|container) {scheme}://no-such-bucket does not exist"):
        run_job(config, tracks=make_tracks(str(tmp_path))[:1], progress=NoProgress())


# -- videos on a web server


def job_over(server: WebServer, folder: Path, names: list[str]) -> tuple[JobConfig, list[Video]]:
    movie = write_movie(folder / "movie.mp4", num_frames=6).read_bytes()
    for name in names:
        server.files[f"/{name}.mp4"] = movie
    videos = [Video(name, f"{server.url}/{name}.mp4?sig={name}-secret") for name in names]
    return make_config(str(folder), "out", cache_dir=str(folder / "cache")), videos


def test_a_track_is_done_although_its_server_is_busy_at_first_and_cuts_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_server() as server:
        config, videos = job_over(server, tmp_path, ["a"])
        busy, cut = Answer(status=503), Answer(is_cut=True)
        server.answers["/a.mp4"] = [busy, busy, Answer(), Answer(), busy, busy, cut]
        summary = run_job(config, tracks=[box_track(videos[0], "x")], progress=NoProgress())
        assert not server.answers["/a.mp4"]
    assert exit_code(summary) == 0
    assert len(read_masks(config.output)) == 6


def test_one_video_that_is_forbidden_fails_its_track_and_no_other(tmp_path: Path) -> None:
    with web_server() as server:
        config, videos = job_over(server, tmp_path, ["a", "b"])
        server.answers["/b.mp4"] = [Answer(status=403)] * 50
        summary = run_job(config, tracks=[box_track(video, "x") for video in videos], progress=NoProgress())
    assert exit_code(summary) == 3
    (problem,) = summary.problems
    assert problem.video_id == "b"
    assert "HTTP 403, forbidden" in problem.error
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_a_server_that_is_down_for_a_while_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.01)
    with web_server() as server:
        config, videos = job_over(server, tmp_path, ["a"])
        server.num_dropped = 5
        summary = run_job(config, tracks=[box_track(videos[0], "x")], progress=NoProgress())
        assert server.num_dropped == 0
    assert exit_code(summary) == 0
