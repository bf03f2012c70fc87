"""How the cost of looking at finished work grows; `python -m tests.runtime.scale 1000000` measures more of it."""

import tracemalloc
from pathlib import Path

import pytest

from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.runtime import preparation
from tests.runtime.scale import TRACKS_PER_VIDEO, FinishedStore, finished_store, run_again, tracks_of


class StillClock:
    """No time passes, so that no sign of life is due: how many there are would depend on the machine."""

    def now_s(self) -> float:
        return 1e9

    def elapsed_s(self) -> float:
        return 0.0


def peak_bytes(num_tracks: int) -> tuple[int, FinishedStore]:
    store, tracks = finished_store(num_tracks), list(tracks_of(num_tracks))
    tracemalloc.start()
    summary = run_again(tracks, store, StillClock())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.totals.tracks_skipped == num_tracks
    return peak, store


def test_finished_tracks_cost_three_requests_a_video_and_next_to_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the tracks themselves, which are there before: their ledgers are read some at a time."""
    monkeypatch.setattr(preparation, "VIDEOS_AT_ONCE", 20)
    peak_bytes(100)  # what is loaded once
    small, _ = peak_bytes(1000)
    large, store = peak_bytes(4000)
    assert (large - small) / 3000 < 100
    num_videos = 4000 // TRACKS_PER_VIDEO
    assert store.requests["identity"] == num_videos
    assert store.requests["read"] <= num_videos + 5
    assert store.requests["list"] <= num_videos + 10
    assert store.requests["write"] + store.requests["delete"] <= 10


def test_a_track_of_a_table_is_kept_in_half_a_kilobyte(tmp_path: Path) -> None:
    table = str(tmp_path / "prompts.parquet")
    write_prompts(table, list(tracks_of(2000)))
    read_prompts(table)  # what is loaded once
    tracemalloc.start()
    tracks = read_prompts(table)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept / len(tracks) < 512
