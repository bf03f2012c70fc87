"""Calls of a function on nodes of a Ray cluster, each in a process of its own that ends with it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from samurai_batch.runtime import ray_cluster

Result = TypeVar("Result")

ANSWERS_WITHIN_S = 180.0
"""A process has to be started, and PyTorch loaded, on a node that may be busy."""


@dataclass(frozen=True)
class Node:
    """A living node; ``resources`` are what it has, by Ray's names, whoever uses it."""

    node_id: str
    address: str
    resources: Mapping[str, float]

    def __str__(self) -> str:
        return f"node {self.address} ({self.node_id[:8]})"


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """What a node answered; ``error`` says why there is no ``result``, ``is_late`` that it may still come."""

    node: Node
    result: Result | None
    error: str = ""
    is_late: bool = False


def living_nodes() -> list[Node]:
    """The nodes that are alive, by address."""
    nodes = [
        Node(node["NodeID"], str(node["NodeManagerAddress"]), node["Resources"])
        for node in ray_cluster.nodes()
        if node["Alive"]
    ]
    return sorted(nodes, key=lambda node: (node.address, node.node_id))


def call_on(
    nodes: Sequence[Node], function: Callable[..., Result], arguments: Callable[[Node], tuple[Any, ...]]
) -> list[Answer[Result]]:
    """Call a function of an importable module on all nodes at once; it reserves nothing, and sees every GPU.

    The process ends with the call: another one could not be given a GPU after CUDA has been started in it.
    """
    task: Any = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(function)
    references = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(
            *arguments(node)
        )
        for node in nodes
    ]
    deadline_s = time.monotonic() + ANSWERS_WITHIN_S
    return [_answer(node, one, deadline_s) for node, one in zip(nodes, references, strict=True)]


def _answer(node: Node, reference: Any, deadline_s: float) -> Answer[Any]:
    try:
        return Answer(node, ray.get(reference, timeout=max(0.0, deadline_s - time.monotonic())))
    except GetTimeoutError:
        return Answer(node, None, f"no answer within {ANSWERS_WITHIN_S:.0f} s", is_late=True)
    except RayError as error:
        return Answer(node, None, ray_cluster.why_it_ended(error))
