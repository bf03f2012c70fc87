import json
from dataclasses import replace
from pathlib import Path

import pytest

from samurai_batch import storage
from samurai_batch.errors import LedgerError
from samurai_batch.ledger.schema import ReplicaWork, RunRecord, Totals, TrackEntry, VideoLedger
from samurai_batch.ledger.store import (
    list_runs,
    list_videos,
    read_run,
    read_video_ledger,
    read_video_ledgers,
    run_uri,
    video_ledger_uri,
    write_run,
    write_video_ledger,
)
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.stats import WorkStats

ENTRY = TrackEntry(
    fingerprint="f" * 64,
    status="partial",
    rows=12,
    seconds=3.25,
    attempts=2,
    weights_digest="d",
    run_id="r",
    error="the video ends at frame 12",
    error_kind=FailureKind.TRUNCATED,
    frame_reached=12,
)
LEDGER = VideoLedger(
    video_id="a/b ü",
    video_uri="s3://bucket/a.mp4",
    identity=VideoIdentity("s3://bucket/a.mp4", 17, "etag"),
    facts=VideoFacts(20, 48, 64),
    tracks={"x": ENTRY},
)
RUN = RunRecord(
    run_id="20260101T000000Z-0",
    status="running",
    host="h",
    pid=1,
    process_start="2",
    started_at_s=3.5,
    heartbeat_at_s=4.5,
    config={"tracker": {"mode": "sam2"}, "replicas": None},
    versions={"torch": "2"},
    totals=Totals(tracks=3),
    rates=Rates(0.1, 0.2, 0.3),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    output = str(tmp_path)
    write_video_ledger(storage, output, LEDGER)
    assert read_video_ledger(storage, output, LEDGER.video_id) == LEDGER
    write_run(storage, output, RUN)
    assert read_run(storage, output, RUN.run_id) == RUN


def test_measurements_stand_beside_the_other_values_by_one_name_each(tmp_path: Path) -> None:
    stats = WorkStats(frames_encoded=5, track_frames=7, device_memory_bytes=9, stage_s={"encode": 2.5})
    replicas = {"r1": ReplicaWork(heard_at_s=3.0, stats=stats)}
    record = replace(RUN, totals=Totals(tracks=3, stats=stats, replicas=replicas))
    write_run(storage, str(tmp_path), record)
    uri = run_uri(str(tmp_path), RUN.run_id)
    assert read_run(storage, str(tmp_path), RUN.run_id) == record
    totals = json.loads(storage.read_bytes(uri))["totals"]
    measured = {"frames_encoded": 5, "track_frames": 7, "device_memory_bytes": 9, "encode_s": 2.5, "propagate_s": 0.0}
    assert measured.items() <= totals.items()
    assert measured.items() <= totals["replicas"]["r1"].items()


def test_a_record_of_version_0_1_0_is_read_to_the_same_values(tmp_path: Path) -> None:
    uri = run_uri(str(tmp_path), RUN.run_id)
    write_run(storage, str(tmp_path), RUN)
    record = json.loads(storage.read_bytes(uri))
    record["totals"] = {"tracks": 3, "frames_encoded": 5, "track_frames": 7, "encode_s": 1.5, "follow_s": 2.5}
    record["rates"] = {"encode_s": 0.1, "follow_s": 0.2, "open_s": 0.3}
    storage.write_bytes(uri, json.dumps(record).encode())
    stats = WorkStats(frames_encoded=5, track_frames=7, stage_s={"encode": 1.5, "propagate": 2.5})
    assert read_run(storage, str(tmp_path), RUN.run_id) == replace(RUN, totals=Totals(tracks=3, stats=stats))


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_video_ledger(storage, str(tmp_path), "x") is None
    assert read_run(storage, str(tmp_path), "x") is None
    assert read_video_ledgers(storage, str(tmp_path), ["x"]) == []
    assert (list_videos(storage, str(tmp_path)), list_runs(storage, str(tmp_path))) == ([], [])


def test_videos_are_listed_by_id_and_runs_by_age(tmp_path: Path) -> None:
    output, other = str(tmp_path), replace(LEDGER, video_id="_")
    for ledger in (LEDGER, other):
        write_video_ledger(storage, output, ledger)
    for run_id in ("20260102T000000Z-0", RUN.run_id):
        write_run(storage, output, replace(RUN, run_id=run_id))
    assert set(list_videos(storage, output)) == {"_", LEDGER.video_id}
    assert read_video_ledgers(storage, output) == [other, LEDGER]
    assert read_video_ledgers(storage, output, [LEDGER.video_id, "missing"]) == [LEDGER]
    assert list_runs(storage, output) == [RUN.run_id, "20260102T000000Z-0"]


def test_a_ledger_is_json_with_the_names_of_the_design(tmp_path: Path) -> None:
    write_video_ledger(storage, str(tmp_path), LEDGER)
    (path,) = (tmp_path / "_ledger").iterdir()
    assert path.name == "a%2Fb%20%C3%BC.json"
    entry = json.loads(path.read_text())["tracks"]["x"]
    assert {"fingerprint", "status", "rows", "seconds", "attempts", "error"} <= entry.keys()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"video_id": "a"}',
        b'{"video_id": "a", "video_uri": "b", "tracks": {"x": {"status": "great"}}}',
        b'{"video_id": "a", "video_uri": "b", "tracks": {}',
        b'{"video_id": "", "video_uri": "b", "tracks": {}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_ledger_says_what_to_do(tmp_path: Path, data: bytes) -> None:
    storage.write_bytes(video_ledger_uri(str(tmp_path), "a"), data)
    with pytest.raises(LedgerError, match=r"a\.json: damaged ledger .*restore it from a backup, or delete it"):
        read_video_ledger(storage, str(tmp_path), "a")


def test_a_ledger_of_another_version_is_left_alone(tmp_path: Path) -> None:
    newer = b'{"video_id": "a", "video_uri": "b", "version": 2}'
    storage.write_bytes(video_ledger_uri(str(tmp_path), "a"), newer)
    with pytest.raises(LedgerError, match="version 2, this program reads version 1; use the program that wrote it"):
        read_video_ledger(storage, str(tmp_path), "a")
