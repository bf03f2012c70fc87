import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samurai_batch.operations import ray_metrics
from samurai_batch.operations.ray_metrics import FAILURES, GAUGES, MetricsSink
from samurai_batch.runtime.progress import Snapshot
from tests.runtime.fakes import NoProgress

DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana.json"
AT_FIRST = Snapshot(
    elapsed_s=0.0,
    tracks=3,
    tracks_done=1,
    tracks_partial=0,
    tracks_failed=0,
    frames_encoded=0,
    track_frames=0,
    track_frames_left=100,
    replicas=0,
)


class FakeGauge:
    values: dict[str, list[tuple[float, dict[str, str]]]]

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        assert tag_keys == (("output", "kind") if name.endswith("failures") else ("output",))
        self._values = self.values.setdefault(name, [])

    def set(self, value: float, tags: dict[str, str]) -> None:
        self._values.append((value, tags))


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[float, dict[str, str]]]]:
    FakeGauge.values = {}
    monkeypatch.setattr(ray_metrics, "Gauge", FakeGauge)
    return FakeGauge.values


def test_the_gauges_follow_the_run_every_two_seconds(gauges: dict[str, Any]) -> None:
    inner = NoProgress()
    with MetricsSink(inner, "s3://bucket/out") as watch:
        watch.show(AT_FIRST)
        assert not gauges, "nothing is set before there is a replica, and with it a cluster"
        for elapsed_s in (1.0, 1.5, 2.9, 3.1):
            watch.show(
                replace(
                    AT_FIRST, elapsed_s=elapsed_s, replicas=2, track_frames=int(elapsed_s * 10), failures={"storage": 2}
                )
            )
    assert len(inner.snapshots) == 5
    assert gauges.keys() == {f"samurai_batch_{name}" for name in [*GAUGES, FAILURES]}
    tags = {"output": "s3://bucket/out"}
    assert gauges["samurai_batch_track_frames"] == [(10, tags), (31, tags)]
    assert (2, tags | {"kind": "storage"}) in gauges["samurai_batch_failures"]
    assert (0, tags | {"kind": "video"}) in gauges["samurai_batch_failures"]


def test_every_gauge_is_something_a_snapshot_says() -> None:
    assert all(isinstance(getattr(AT_FIRST, name), int | float) for name in GAUGES)


def test_the_dashboard_shows_metrics_that_exist() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for query in queries for name in re.findall(r"ray_samurai_batch_(\w+)", query)}
    assert names == {*GAUGES, FAILURES}
