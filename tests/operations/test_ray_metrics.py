import json
import re
from pathlib import Path
from typing import Any

import pytest

from samurai_batch.ledger.schema import ReplicaWork, Totals
from samurai_batch.operations import ray_metrics
from samurai_batch.operations.ray_metrics import FAILURES, GAUGES, MetricsSink
from samurai_batch.runtime.progress import RunProgress
from samurai_batch.stats import WorkStats
from tests.runtime.fakes import NoProgress

DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana.json"
REPLICAS = {name: ReplicaWork(heard_at_s=0.0) for name in ("r1", "r2")}


def at(elapsed_s: float, *, replicas: dict[str, ReplicaWork] = REPLICAS) -> RunProgress:
    totals = Totals(
        tracks=3,
        tracks_done=1,
        seconds=elapsed_s,
        stats=WorkStats(track_frames=int(elapsed_s * 10)),
        failures={"storage": 2},
        replicas=replicas,
    )
    return RunProgress(totals=totals, track_frames_left=100)


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


def test_the_gauges_are_updated_every_two_seconds(gauges: dict[str, Any]) -> None:
    inner = NoProgress()
    with MetricsSink(inner, "s3://bucket/out") as watch:
        watch.show(at(0.0, replicas={}))
        assert not gauges, "nothing is set before there is a replica, and with it a cluster"
        for elapsed_s in (1.0, 1.5, 2.9, 3.1):
            watch.show(at(elapsed_s))
    assert len(inner.snapshots) == 5
    assert gauges.keys() == {f"samurai_batch_{name}" for name in [*GAUGES, FAILURES]}
    tags = {"output": "s3://bucket/out"}
    assert gauges["samurai_batch_track_frames"] == [(10, tags), (31, tags)]
    assert (2, tags | {"kind": "storage"}) in gauges["samurai_batch_failures"]
    assert (0, tags | {"kind": "video"}) in gauges["samurai_batch_failures"]


def test_every_gauge_is_a_number_of_the_progress() -> None:
    assert at(1.0).numbers().keys() >= GAUGES.keys()


def test_the_dashboard_shows_metrics_that_exist() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for query in queries for name in re.findall(r"ray_samurai_batch_(\w+)", query)}
    assert names == {*GAUGES, FAILURES}
