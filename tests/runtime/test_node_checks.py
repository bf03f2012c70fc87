"""What a run concludes from the checks of the nodes; `tests/runtime/test_ray_nodes.py` has a real cluster."""

import logging

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.job import make_job
from samurai_batch.runtime import node_checks, ray_cluster
from samurai_batch.runtime.capacity import ReplicaResources
from samurai_batch.runtime.machine_checks import Check
from samurai_batch.runtime.node_checks import check_nodes
from samurai_batch.runtime.ray_nodes import Answer, Node

GOOD, SMALL, BAD = (
    Node(name * 4, f"10.0.0.{name}", {"CPU": cpus}) for name, cpus in (("1", 4.0), ("2", 0.5), ("3", 4.0))
)
JOB = make_job({"prompts": "p", "output": "o", "device": "cpu"})
FITS = (Check(subject="torch", result="2.13.0"),)
SLOW = (Check(subject="network", result="bfloat16 on Tesla T4; set dtype: float16", level="warning"),)
FAILS = (Check(subject="CUDA", result="driver 535 is too old; install 580", level="problem"),)


def check(monkeypatch: pytest.MonkeyPatch, answers: list[Answer[object]], *, has_autoscaler: bool = False) -> None:
    """Check the nodes of these answers; a small one, which has no room, is not called."""
    called: list[Node] = []

    def call_on(nodes: list[Node], *rest: object) -> list[Answer[object]]:
        called.extend(nodes)
        return answers

    monkeypatch.setattr(ray_cluster, "is_own", lambda: False)
    monkeypatch.setattr(ray_cluster, "has_autoscaler", lambda: has_autoscaler)
    monkeypatch.setattr(node_checks, "living_nodes", lambda: [*(answer.node for answer in answers), SMALL])
    monkeypatch.setattr(node_checks, "call_on", call_on)
    check_nodes(JOB, ReplicaResources(num_cpus=1.0))
    assert called == [answer.node for answer in answers]


def test_what_is_wrong_with_some_nodes_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check(monkeypatch, [Answer(GOOD, SLOW), Answer(BAD, FAILS)])
    assert "node 10.0.0.1 (1111): network: bfloat16 on Tesla T4; set dtype: float16" in caplog.text
    assert "replicas cannot work on node 10.0.0.3 (3333): CUDA: driver 535 is too old; install 580" in caplog.text


def test_a_job_that_would_fail_on_all_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Answer[object]] = [Answer(GOOD, FAILS), Answer(BAD, None, "ModuleNotFoundError: No module named")]
    with pytest.raises(ConfigError) as error:
        check(monkeypatch, answers)
    first, second = str(error.value).splitlines()
    assert first.startswith("no replica could work here: node 10.0.0.1 (1111): CUDA: driver 535 is too old")
    assert second.endswith("ModuleNotFoundError: No module named; install samurai-batch on the node")


def test_where_nodes_are_added_the_next_one_may_be_better(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check(monkeypatch, [Answer(BAD, FAILS)], has_autoscaler=True)
    assert "replicas cannot work on node 10.0.0.3" in caplog.text
    check(monkeypatch, [], has_autoscaler=True)  # scaled to zero


def test_a_node_that_answers_late_is_only_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check(monkeypatch, [Answer(GOOD, None, "no answer within 180 s", is_late=True)])
    assert "python: no answer within 180 s; the node may be overloaded" in caplog.text


def test_a_cluster_whose_nodes_all_fit_is_not_spoken_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check(monkeypatch, [Answer(GOOD, FITS)])
    assert not caplog.text
