"""One value holds a run's measurements, and one table names the stages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from samurai_batch.stats import STAGES, WorkStats

PACKAGE = Path(__file__).parents[1] / "samurai_batch"

MEASURED_OR_INTERPRETED_IN = {
    "pipeline.py",  # measures propagating and writing
    "tracking/frame_batches.py",  # measures decoding and encoding
    "runtime/replica.py",  # adds the time that it waits for storage
    "planning/rates.py",  # tells what a frame, a track and a checkpoint cost
}
"""A fifth stage is a line in `samurai_batch.stats.STAGES`, a lap of the stopwatch in one of these files and, if it is
to be drawn, a query in `cluster/grafana.json`."""


def test_counts_and_seconds_add_up_and_memory_is_the_most() -> None:
    a = WorkStats(
        frames_encoded=1,
        track_frames=2,
        rescue_tests=3,
        rescues=1,
        device_memory_bytes=30,
        stage_s={"decode": 1.0, "encode": 2.0},
    )
    b = WorkStats(frames_encoded=4, track_frames=5, device_memory_bytes=6, stage_s={"encode": 0.5})
    assert a + b == WorkStats(
        frames_encoded=5,
        track_frames=7,
        rescue_tests=3,
        rescues=1,
        device_memory_bytes=30,
        stage_s={"decode": 1.0, "encode": 2.5},
    )
    assert a + WorkStats() == a


def test_seconds_are_rounded_to_milliseconds() -> None:
    assert WorkStats(track_frames=3, stage_s={"write": 0.12345}).rounded().flat() == {
        "frames_encoded": 0,
        "track_frames": 3,
        "rescue_tests": 0,
        "rescues": 0,
        "device_memory_bytes": 0,
        "decode_s": 0.0,
        "encode_s": 0.0,
        "propagate_s": 0.0,
        "write_s": 0.123,
    }


def test_an_undeclared_stage_is_refused() -> None:
    with pytest.raises(AssertionError, match="unknown stages"):
        WorkStats(stage_s={"sleep": 1.0})


def test_no_other_module_names_the_stages() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in MEASURED_OR_INTERPRETED_IN | {"stats.py"}:
            continue
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not texts & ({*STAGES} | {f"{stage}_s" for stage in STAGES}) - {"encode_s", "propagate_s"}, name


def test_a_fifth_stage_reaches_records_progress_and_metrics() -> None:
    code = """
from samurai_batch import stats
stats.STAGES["match"] = "matching"
from pydantic import TypeAdapter
from samurai_batch.operations.ray_metrics import GAUGES
from samurai_batch.ledger.schema import Totals
from samurai_batch.runtime.progress import RunProgress
totals = Totals(stats=stats.WorkStats(stage_s={"match": 2.0}))
adapter = TypeAdapter(Totals)
assert b'"match_s":2.0' in adapter.dump_json(totals)
assert adapter.validate_json(adapter.dump_json(totals)) == totals
assert RunProgress(totals=totals, track_frames_left=0).numbers()["match_s"] == 2.0
assert GAUGES["match_s"] == "seconds of matching, summed over replicas"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
