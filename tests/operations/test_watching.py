from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from samurai_batch import storage
from samurai_batch.cli import app
from samurai_batch.ledger.lease import STALE_AFTER_S
from samurai_batch.ledger.schema import ReplicaWork, RunRecord, Totals
from samurai_batch.ledger.status import OutputStatus, VideoStatus
from samurai_batch.ledger.store import write_run
from samurai_batch.operations.watching import (
    describe_details,
    describe_status,
    has_ended,
    is_alive,
    seconds_left,
    state_of,
)
from samurai_batch.stats import WorkStats
from tests.runtime.records import run_record

RUN = run_record(
    "20261122T010000Z-0123abcd",
    status="running",
    started_at_s=1000.0,
    heartbeat_at_s=1600.0,
    totals=Totals(
        tracks=10, tracks_skipped=2, tracks_done=5, tracks_failed=1, stats=WorkStats(track_frames=9000), seconds=600.0
    ),
)


def output(run: RunRecord | None) -> OutputStatus:
    return OutputStatus(2, {"done": 5, "partial": 0, "failed": 1}, 9000, (), run)


def test_a_runs_pace_is_that_of_what_it_did_itself() -> None:
    assert (RUN.totals.tracks_waiting, RUN.totals.frames_per_s, seconds_left(RUN.totals)) == (4, 15.0, 600.0)
    assert is_alive(RUN, now_s=1603.0)
    assert seconds_left(Totals(tracks=3, tracks_skipped=3, tracks_done=3)) is None


def test_a_run_that_shows_no_life_is_dead() -> None:
    assert not has_ended(output(RUN), 1600.0 + STALE_AFTER_S)
    assert has_ended(output(RUN), 1600.0 + STALE_AFTER_S + 1)
    assert "dead" in describe_status(output(RUN), 1700.0)


def test_every_list_of_runs_says_which_are_dead(tmp_path: Path) -> None:
    write_run(storage, str(tmp_path), RUN)
    write_run(storage, str(tmp_path), replace(RUN, run_id="20261122T020000Z-0123abcd", status="finished"))
    lines = CliRunner().invoke(app, ["history", str(tmp_path)]).output.splitlines()
    assert [line.split()[-1] for line in lines] == ["dead", "finished"]
    assert [state_of(RUN, now_s) for now_s in (1603.0, 1700.0)] == ["running", "dead"]


def test_an_output_without_a_run_is_waited_for() -> None:
    assert not has_ended(output(None), 0.0)
    assert has_ended(output(replace(RUN, status="finished")), 1600.0)


def test_a_status_says_how_far_how_fast_and_how_lately() -> None:
    assert describe_status(output(RUN), 1603.0) == (
        "6 tracks of 2 videos: 5 done, 0 partial, 1 failed; 9000 rows\n"
        "newest run 20261122T010000Z-0123abcd: running, 4 of 10 tracks to go, 15.0 frames/s, about 10 min left, "
        "last heartbeat 3 s ago"
    )


def test_details_are_a_line_for_every_replica_and_every_video() -> None:
    busy = ReplicaWork(heard_at_s=1598.0, video_id="clip", chunks=3, stats=WorkStats(track_frames=900), busy_s=60.0)
    idle = ReplicaWork(heard_at_s=1601.0, stats=WorkStats(device_memory_bytes=2_500_000_000))
    run = replace(RUN, totals=replace(RUN.totals, replicas={"r2": idle, "r1": busy}))
    video = VideoStatus("clip", {"done": 2, "partial": 0, "failed": 1}, 300, 12.25)
    assert describe_details(replace(output(run), videos=(video,)), 1603.0).splitlines() == [
        "replica r1: on clip; 3 chunks, 900 frames propagated, 60.0 s at work, last answer 5 s ago",
        "replica r2: waiting; 0 chunks, 0 frames propagated, 0.0 s at work, 2.5 GB of GPU memory, last answer 2 s ago",
        "video clip: 2 done, 0 partial, 1 failed; 300 rows, 12.2 s of replicas",
    ]
    assert describe_details(output(None), 1603.0) == ""
