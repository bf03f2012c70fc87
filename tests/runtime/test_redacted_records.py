"""What is kept of a run holds no secret, whoever made it, and what an older version left is read without."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import make_job
from samurai_batch.ledger.schema import Cut, TrackEntry, VideoLedger
from samurai_batch.ledger.store import (
    read_run,
    read_video_ledger,
    run_uri,
    video_ledger_uri,
    write_run,
    write_video_ledger,
)
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.runtime.assembly import ReplicaPlan, make_pool
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.video_states import read_video_states
from samurai_batch.tasks import Video
from tests.runtime.records import run_record

URI = "https://user:hunter2@host/a.mp4?X-Amz-Signature=hunter2"
CLEAN = "https://***@host/a.mp4?***"


def ledger() -> VideoLedger:
    entry = TrackEntry(
        fingerprint="f", status="failed", rows=0, seconds=0.0, attempts=1, weights_digest="d", run_id="r",
        video=VideoIdentity(URI, 3, "e"), error=f"{URI}: no",
    )  # fmt: skip
    identity, cut = VideoIdentity(URI, 3, "e"), Cut(7, f"{URI}: ends before frame 7")
    return VideoLedger(video_id="v", video_uri=URI, identity=identity, cut=cut, tracks={"o": entry})


def test_a_ledger_and_a_run_are_written_without_secrets(tmp_path: Path) -> None:
    write_video_ledger(storage, str(tmp_path), ledger())
    record = run_record("20261122T010000.000Z-0123abcd", config={"prompts": URI, "tracker": {"x": URI}})
    write_run(storage, str(tmp_path), record)
    written = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert len(written) == 2
    assert all("hunter2" not in text and CLEAN in text for text in written)


def test_a_ledger_with_secrets_that_an_older_version_left_is_read_without(tmp_path: Path) -> None:
    write_video_ledger(storage, str(tmp_path), ledger())
    path = storage.local_path(video_ledger_uri(str(tmp_path), "v"))
    path.write_text(path.read_text().replace(CLEAN, URI))
    assert "hunter2" in path.read_text()
    read = read_video_ledger(storage, str(tmp_path), "v")
    assert read == ledger()
    assert "hunter2" not in repr(read)
    record = run_record("20261122T010000.000Z-0123abcd", config={"prompts": "p.csv"})
    write_run(storage, str(tmp_path), record)
    path = storage.local_path(run_uri(str(tmp_path), record.run_id))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": {"prompts": URI}}))
    run = read_run(storage, str(tmp_path), record.run_id)
    assert run is not None
    assert run.config == {"prompts": CLEAN}


def test_a_failure_is_without_secrets() -> None:
    assert Failure(FailureKind.INTERNAL, f"ValueError: {URI}").message == f"ValueError: {CLEAN}"


def test_the_error_for_a_missing_video_mentions_spaces_around_its_uri(tmp_path: Path) -> None:
    config = make_job({"prompts": "p.csv", "output": str(tmp_path), "model": "nano"})
    videos = [Video("blank", f"{tmp_path}/a.mp4 "), Video("plain", f"{tmp_path}/a.mp4")]
    found = read_video_states(videos, storage, DriverSettings.of(config), lambda: None)
    blank, plain = found["blank"].failure, found["plain"].failure
    assert blank is not None
    assert plain is not None
    assert blank.message == f"{tmp_path}/a.mp4  does not exist; its URI begins or ends with blanks, remove them"
    assert plain.message == f"{tmp_path}/a.mp4 does not exist"


def test_ray_is_not_started_where_warnings_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = make_job({"prompts": "p.csv", "output": "out", "model": "nano"})
    with pytest.raises(ConfigError, match="PYTHONWARNINGS makes errors of warnings"):
        make_pool(ReplicaPlan(config, cast(Any, None), {}))
