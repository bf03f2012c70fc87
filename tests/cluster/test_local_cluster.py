"""The whole way on a real cluster of two nodes: submit, watch from elsewhere, exit code, metrics, no secrets."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from samurai_batch import storage
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.operations.ray_metrics import FAILURES, GAUGES
from tests.cluster.ports import free_ports
from tests.operations.test_reprocess import NUM_FRAMES, Archive, boxed

pytestmark = [pytest.mark.ray, pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("ray")]

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-0f-th3-t3st"  # noqa: S105
TOKEN = secrets.token_hex(32)


VIDEOS = "abcdef"


@dataclass(frozen=True)
class LocalCluster:
    address: str
    metrics_url: str
    ray_address: str


def request(url: str) -> Any:
    with_token = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
    return urllib.request.urlopen(with_token, timeout=60)  # noqa: S310


def scrape_until(url: str, names: Set[str], limit_s: float) -> str:
    """What Prometheus would read, once all our metrics of these names are in it: Ray exports them gradually."""
    deadline = time.monotonic() + limit_s
    while True:
        with request(url) as answer:
            read = str(answer.read().decode())
        missing = names - metric_names(read)
        if not missing:
            return read
        assert time.monotonic() < deadline, f"no {missing} in {len(read)} characters of metrics"
        time.sleep(0.2)


def metric_names(read: str) -> set[str]:
    return set(re.findall(r"^ray_samurai_batch_(\w+)\{", read, re.MULTILINE))


def answers(url: str) -> bool:
    try:
        with request(url):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def samurai_batch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "samurai_batch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def cluster(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two nodes that find the S3 server, and a secret, in their environment."""
    port = free_ports(7)
    address = f"http://127.0.0.1:{port + 6}"
    command = [sys.executable, "cluster/local.py", f"--port={port}", f"--dashboard-port={port + 6}"]
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # `python` is this one there, too
        patch.setenv("RAY_metrics_report_interval_ms", "500")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        with (
            (tmp_path_factory.mktemp("cluster") / "log").open("w+") as log,
            subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT) as nodes,
        ):
            try:
                deadline = time.monotonic() + 600
                while not answers(f"{address}/api/version") or num_nodes(address) < 2:
                    assert nodes.poll() is None, f"a node ended:\n{printed(log)}"
                    assert time.monotonic() < deadline, f"the cluster did not come up:\n{printed(log)}"
                    time.sleep(0.5)
                yield LocalCluster(address, f"http://127.0.0.1:{port + 3}/metrics", f"127.0.0.1:{port}")
            finally:
                nodes.send_signal(signal.SIGINT)
                nodes.wait(600)


def printed(log: TextIO) -> str:
    log.seek(0)
    return log.read()


def num_nodes(address: str) -> int:
    try:
        with request(f"{address}/nodes?view=summary") as answer:
            return len(json.load(answer)["data"]["summary"])
    except (urllib.error.URLError, TimeoutError, ConnectionError, KeyError):
        return 0


def test_a_submitted_job_is_watched_from_elsewhere_and_leaves_no_secret(
    cluster: LocalCluster, s3_uri: str, tmp_path: Path
) -> None:
    archive = Archive(tmp_path)
    tracks = [boxed(archive.add_video(name, day=1)) for name in VIDEOS]
    write_prompts(f"{s3_uri}/prompts.csv", tracks)
    job = tmp_path / "job.yaml"
    job.write_text(f"prompts: {s3_uri}/prompts.csv\noutput: {s3_uri}/out\nmodel: nano\nweights: untrained:0\n")
    sizes = ("--set", "image_size=64", "--set", "num_cpus_per_replica=1", "--set", "replicas=2")
    watching = [sys.executable, "-m", "samurai_batch", "status", f"{s3_uri}/out", "--watch", "--every", "0.2"]
    with (
        subprocess.Popen(watching, stdout=subprocess.PIPE, text=True) as elsewhere,
        ThreadPoolExecutor(1) as scraper,
    ):
        metrics = scraper.submit(scrape_until, cluster.metrics_url, {*GAUGES, FAILURES}, limit_s=600)
        done = samurai_batch("submit", str(job), "--address", cluster.address, "--wait", *sizes)
        watched, _ = elsewhere.communicate(timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_masks(f"{s3_uri}/out")) == len(VIDEOS) * NUM_FRAMES

    assert re.search(r": running, [1-6] of 6 tracks to go", watched), watched
    assert ": finished, last heartbeat" in watched.splitlines()[-1]
    status = samurai_batch("status", f"{s3_uri}/out", "--json")
    found = json.loads(status.stdout)
    assert found["num_tracks"]["done"] == len(VIDEOS)
    assert found["newest_run"]["status"] == "finished"
    assert sorted(video["video_id"] for video in found["videos"]) == sorted(VIDEOS)
    assert found["newest_run"]["totals"]["replicas"]

    assert metric_names(metrics.result()) == {*GAUGES, FAILURES}
    assert f'output="{s3_uri}/out"' in metrics.result()

    printed = watched + done.stdout + done.stderr + status.stdout + status.stderr
    written = [storage.read_bytes(uri) for uri in all_files(f"{s3_uri}/out")]
    assert SECRET not in printed
    assert TOKEN not in printed
    assert not [data for data in written if SECRET.encode() in data or TOKEN.encode() in data]


def all_files(uri: str) -> Iterator[str]:
    for name in storage.list_names(uri):
        child = storage.join(uri, name)
        yield from all_files(child) if storage.is_directory(child) else [child]


def test_a_job_that_is_refused_there_exits_with_2(cluster: LocalCluster, s3_uri: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(f"prompts: {s3_uri}/missing.csv\noutput: {s3_uri}/out\nmodel: nano\nweights: untrained:0\n")
    done = samurai_batch("submit", str(job), "--address", cluster.address, "--follow")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "missing.csv" in done.stdout


@pytest.mark.parametrize("verb", ["run", "submit"])
def test_a_missing_token_is_reported_in_one_line(
    cluster: LocalCluster, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = Archive(tmp_path).add_video("a", day=1)
    write_prompts(f"{tmp_path}/prompts.csv", [boxed(video)])
    job = tmp_path / "job.yaml"
    job.write_text(f"prompts: {tmp_path}/prompts.csv\noutput: {tmp_path}/out\nmodel: nano\nweights: untrained:0\n")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray looks for a token
    where = ("--address", cluster.address) if verb == "submit" else ("--set", f"ray_address={cluster.ray_address}")
    done = samurai_batch(verb, str(job), *where)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_without_an_answer_is_one_clear_line(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(f"prompts: {tmp_path}/p.csv\noutput: {tmp_path}/out\nmodel: nano\nweights: untrained:0\n")
    done = samurai_batch("submit", str(job), "--address", f"http://127.0.0.1:{free_ports(1)}")
    assert done.returncode == 2
    assert "no Ray job API answers there" in done.stderr
    assert "Traceback" not in done.stderr
