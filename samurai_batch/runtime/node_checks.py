"""The checks of `machine_checks` on every node where a replica may run, before any is started."""

from collections.abc import Sequence
from importlib.metadata import version

from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.redaction import get_logger
from samurai_batch.runtime import ray_cluster
from samurai_batch.runtime.capacity import ReplicaResources, num_replicas_that_fit
from samurai_batch.runtime.machine_checks import Check, check_here, check_machine, log_warnings, problems
from samurai_batch.runtime.ray_nodes import Answer, Node, call_on, living_nodes

logger = get_logger(__name__)


def check_nodes(config: JobConfig, resources: ReplicaResources) -> None:
    """Check the nodes that have room for a replica of this job, whose device is decided.

    What is wrong with some is a warning. Raises ConfigError if a job would fail on all of them, and nothing adds nodes.
    """
    if ray_cluster.is_own():
        check_here(config)
        return
    nodes = [node for node in living_nodes() if num_replicas_that_fit([node.resources], resources)]
    failing = []
    for node, checks in checks_of(nodes, config):
        log_warnings(checks, str(node))
        if wrong := problems(checks):
            failing.append(f"{node}: {'; '.join(wrong)}")
    if failing and len(failing) == len(nodes) and not ray_cluster.has_autoscaler():
        raise ConfigError("no replica could work here: " + "\n".join(failing))
    for told in failing:
        logger.warning("replicas cannot work on %s", told)


def checks_of(nodes: Sequence[Node], config: JobConfig) -> list[tuple[Node, tuple[Check, ...]]]:
    """The checks of each node, by a process on it."""
    answers = call_on(nodes, check_machine, lambda node: (config, version("samurai-batch")))
    return [(answer.node, answer.result or (_unanswered(answer),)) for answer in answers]


def _unanswered(answer: Answer[tuple[Check, ...]]) -> Check:
    if answer.is_late:
        return Check(subject="python", result=f"{answer.error}; the node may be overloaded", level="warning")
    result = f"this package cannot be called there: {answer.error}; install samurai-batch on the node"
    return Check(subject="python", result=result, level="problem")
