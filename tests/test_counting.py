"""Loops that may take long say how far they are, and those that do not, nothing."""

import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from samurai_batch import counting
from samurai_batch.counting import EVERY_S, Count, counted
from samurai_batch.exports import export_masks
from samurai_batch.masks import compact_masks
from samurai_batch.measuring import measure_tracks
from samurai_batch.operations.diff import diff_results
from samurai_batch.rendering import render
from samurai_batch.report import write_report
from tests.report.finished_run import write_output


def test_the_count_is_logged_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    seconds = count(0, 2)  # the clock is read once at the start and once per item
    counted_so_far = Count("videos exported", 6, clock_s=lambda: float(next(seconds)))
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            counted_so_far.add()
    assert EVERY_S == 5
    assert caplog.messages == ["3 of 6 videos exported", "6 of 6 videos exported"]


def test_a_short_loop_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(counted("abc", "letters")) == ["a", "b", "c"]
    assert not caplog.messages


def test_without_a_total_the_count_stands_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(counting, "EVERY_S", 0.0)
    with caplog.at_level(logging.INFO):
        list(counted(iter("ab"), "letters"))
    assert caplog.messages == ["1 letters", "2 letters"]


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (lambda run, folder: export_masks(run, folder, "coco"), "2 of 2 videos exported"),
        (lambda run, folder: write_report(run), "2 of 2 videos read"),
        (lambda run, folder: write_report(run), "2 of 2 videos drawn"),
        (lambda run, folder: measure_tracks(run), "2 videos measured"),
        (lambda run, folder: compact_masks(run), "3 of 3 tables read"),
        (lambda run, folder: diff_results(run, run), "3 of 3 tracks compared"),
        (lambda run, folder: render(run, "clip <one>", f"{run}/../frames", f"{folder}.mp4"), "frames read"),
    ],
)
def test_every_verb_that_reads_an_archive_counts(
    work: Callable[[str, str], object],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(counting, "EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, logger="samurai_batch.counting"):
        work(write_output(tmp_path), str(tmp_path / "files"))
    assert any(line in message for message in caplog.messages)
