import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console

from samurai_batch.ledger.schema import Totals
from samurai_batch.runtime.progress import ProgressBar, ProgressLog, RunProgress, describe, open_progress
from samurai_batch.stats import WorkStats


def at(elapsed_s: float, track_frames: int, *, failed: int = 0) -> RunProgress:
    stats = WorkStats(frames_encoded=track_frames // 2, track_frames=track_frames)
    totals = Totals(tracks=10, tracks_done=3, tracks_partial=1, tracks_failed=failed, stats=stats, seconds=elapsed_s)
    return RunProgress(totals=totals, track_frames_left=7200)


def test_the_line_beside_the_bar_says_how_fast_how_far_and_how_long() -> None:
    assert describe(at(10.0, 20)) == "4/10 tracks, 2.0 frames/s, 1:00:00 left"
    assert describe(at(10.0, 0, failed=2)) == "4/10 tracks, 2 failed, 0.0 frames/s"


def test_without_tracks_the_bar_counts_pictures() -> None:
    assert at(10.0, 20).share_done == (20, 7220)
    assert replace(at(10.0, 0, failed=2), track_frames_left=0).share_done == (6, 10)


def test_the_log_has_a_line_every_few_seconds_and_one_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), ProgressLog(every_s=5.0) as watch:
        for tenth in range(120):
            watch.show(at(tenth / 10, tenth))
    assert [record.getMessage() for record in caplog.records] == [
        "progress: 0%, 4/10 tracks, 0.0 frames/s",
        "progress: 1%, 4/10 tracks, 10.0 frames/s, 0:12:00 left",
        "progress: 1%, 4/10 tracks, 10.0 frames/s, 0:12:00 left",
        "progress: 2%, 4/10 tracks, 10.0 frames/s, 0:12:00 left",
    ]


def test_the_last_line_of_the_log_is_not_written_twice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), ProgressLog(every_s=5.0) as watch:
        watch.show(at(0.0, 0))
    assert len(caplog.records) == 1


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    assert isinstance(open_progress(Console(file=io.StringIO(), force_terminal=True)), ProgressBar)
    assert isinstance(open_progress(Console(file=io.StringIO())), ProgressLog)


def test_the_bar_shows_what_was_last_told() -> None:
    screen = io.StringIO()
    with ProgressBar(Console(file=screen, force_terminal=True, width=100)) as watch:
        watch.show(at(10.0, 800))
    assert "10%" in screen.getvalue()
    assert "4/10 tracks, 80.0 frames/s, 0:01:30 left" in screen.getvalue()
