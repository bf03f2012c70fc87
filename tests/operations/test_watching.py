from dataclasses import replace

import pytest

from samurai_batch.operations.watching import STALE_AFTER_S, describe_status, has_ended, pace_of
from samurai_batch.runtime.ledger import RunRecord, Totals
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.status import OutputStatus

RUN = RunRecord(
    run_id="20261122T010000Z-0123abcd",
    status="running",
    host="head",
    pid=1,
    process_start="",
    started_at_s=1000.0,
    heartbeat_at_s=1600.0,
    config={},
    versions={},
    totals=Totals(tracks=10, tracks_skipped=2, tracks_done=5, tracks_failed=1, track_frames=9000, seconds=600.0),
)


def output(run: RunRecord | None) -> OutputStatus:
    return OutputStatus(2, {"done": 5, "partial": 0, "failed": 1}, 9000, (), run)


def test_a_runs_pace_is_that_of_what_it_did_itself() -> None:
    pace = pace_of(RUN, now_s=1603.0)
    assert (pace.num_waiting, pace.frames_per_s, pace.seconds_left, pace.silence_s) == (4, 15.0, 600.0, 3.0)
    assert pace.is_alive
    nothing_yet = replace(RUN, totals=Totals(tracks=3, tracks_skipped=3, tracks_done=3))
    assert pace_of(nothing_yet, 1603.0).seconds_left is None


def test_a_run_that_shows_no_life_is_dead() -> None:
    assert not has_ended(output(RUN), 1600.0 + STALE_AFTER_S)
    assert has_ended(output(RUN), 1600.0 + STALE_AFTER_S + 1)
    assert "dead" in describe_status(output(RUN), 1700.0)


def test_an_output_without_a_run_is_waited_for() -> None:
    assert not has_ended(output(None), 0.0)
    assert has_ended(output(replace(RUN, status="finished")), 1600.0)


def test_a_status_says_how_far_how_fast_and_how_lately() -> None:
    assert describe_status(output(RUN), 1603.0) == (
        "6 tracks of 2 videos: 5 done, 0 partial, 1 failed; 9000 rows\n"
        "newest run 20261122T010000Z-0123abcd: running, 4 of 10 tracks to go, 15.0 frames/s, about 10 min left, "
        "last sign of life 3 s ago"
    )


def test_a_run_is_taken_for_dead_when_another_may_take_over() -> None:
    fields = DriverSettings.__dataclass_fields__
    assert fields["stale_after_s"].default == pytest.approx(STALE_AFTER_S)
