"""How many replicas fit on the nodes of a cluster, and when a replica may be started: decisions without Ray or a clock.

A start that fails is retried after 1, 2, 4, … seconds, at most a minute. While other replicas run, that goes on: a node
on which no replica starts costs one attempt a minute. While none runs, retries end after three failures in a row, or
after half a minute with two. Replicas that are being built by then are waited for, as their node may be a better one;
starts that still wait for a node have WAITING_S to get one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAILURES_IN_A_ROW = 3
"""After so many failed starts without a success, no further start is tried."""

TRYING_S = 30.0
"""After so long without a success, no further start is tried; one in progress is waited for."""

WAITING_S = 20.0
"""After other starts have failed, a start that waits for a node may wait so long."""

LONGEST_PAUSE_S = 60.0


UNITS = 10_000
"""Resources are counted in ten-thousandths, as Ray counts them: 0.1 GPU fits ten times, where floats say nine."""


@dataclass(frozen=True, kw_only=True)
class ReplicaResources:
    """What one replica requests of Ray; ``num_gpus`` may be a fraction."""

    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def __str__(self) -> str:
        wanted = [f"{self.num_cpus:g} CPUs"] if self.num_cpus or not self.num_gpus else []
        return " and ".join(wanted + ([f"{self.num_gpus:g} GPUs"] if self.num_gpus else []))

    def as_ray(self) -> dict[str, float]:
        """The same by Ray's names, without zeros."""
        return {name: value for name, value in (("CPU", self.num_cpus), ("GPU", self.num_gpus)) if value}


def num_replicas_that_fit(nodes: Iterable[Mapping[str, float]], resources: ReplicaResources) -> int:
    """Replicas that all ``nodes`` together hold, each with all its resources on one node.

    ``nodes`` are their resources by Ray's names. A fraction of a GPU lies on one GPU. A replica that requests no
    resources fits once, if there is a node.
    """
    fitting = [_num_that_fit_on(node, resources) for node in nodes]
    if not resources.as_ray():
        return min(1, len(fitting))
    return sum(fitting)


def _num_that_fit_on(node: Mapping[str, float], resources: ReplicaResources) -> int:
    fits = []
    if resources.num_cpus:
        fits.append(_units(node.get("CPU", 0.0)) // _units(resources.num_cpus))
    if resources.num_gpus:
        num_devices, wanted = _units(node.get("GPU", 0.0)) // UNITS, _units(resources.num_gpus)
        fits.append(num_devices * (UNITS // wanted) if wanted <= UNITS else num_devices * UNITS // wanted)
    return min(fits, default=1)


def even_share(num_gpus: float) -> float:
    """The share of a GPU to reserve for this one: as large as it can be for as many replicas on one GPU.

    Ray chooses a node by the sum of what is left on its GPUs. Two shares of 0.6 leave 0.8 on two GPUs; a third one
    would be placed there, and wait for ever beside a free GPU of another node.
    """
    wanted = _units(num_gpus)
    return UNITS // (UNITS // wanted) / UNITS if 0 < wanted <= UNITS else num_gpus


def _units(amount: float) -> int:
    return max(round(amount * UNITS), 1) if amount else 0


def describe_nodes(nodes: Iterable[Mapping[str, float]]) -> str:
    """What nodes have, the same ones counted: "2 nodes of 1 CPUs and 0 GPUs"."""
    kinds: dict[str, int] = {}
    for node in nodes:
        kind = f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs"
        kinds[kind] = kinds.get(kind, 0) + 1
    listed = [f"{number} {'nodes' if number > 1 else 'node'} of {kind}" for kind, number in sorted(kinds.items())]
    return ", ".join(listed) or "no node"


@dataclass
class StartPolicy:
    """Failed starts since the last success. ``reason`` is that of the last failure."""

    num_failed: int = 0
    reason: str = ""
    _trying_since_s: float | None = None
    _failed_at_s: float = 0.0

    def begun(self, now_s: float) -> None:
        """A process has a node and builds its replica. The time before, without a node, does not count."""
        if self._trying_since_s is None:
            self._trying_since_s = now_s

    def succeeded(self) -> None:
        """A replica works: failures before it no longer count."""
        self.num_failed = 0
        self._trying_since_s = None

    def failed(self, now_s: float, reason: str) -> None:
        """A start has failed, or a replica has died before its first order."""
        self.begun(now_s)
        self.num_failed += 1
        self.reason = reason
        self._failed_at_s = now_s

    def may_start(self, now_s: float, *, num_ready: int) -> bool:
        """Whether another start may be tried now; while replicas run (``num_ready``), only the pause decides."""
        if self.num_failed == 0:
            return True
        if num_ready == 0 and self._has_tried_enough(now_s):
            return False
        pause_s = min(2.0 ** min(self.num_failed - 1, 10), LONGEST_PAUSE_S)
        return now_s >= self._failed_at_s + pause_s

    def cancels_waiting(self, now_s: float, *, num_ready: int) -> bool:
        """Whether to cancel the starts that still wait for a node, as they would fail like the others."""
        return num_ready == 0 and self._has_tried_enough(now_s) and self._trying_s(now_s) >= WAITING_S

    def gives_up(self, now_s: float, *, num_starting: int, num_ready: int) -> bool:
        """Whether no replica runs or is being started, and no further start is to be tried."""
        return num_ready == 0 and num_starting == 0 and self._has_tried_enough(now_s)

    def _has_tried_enough(self, now_s: float) -> bool:
        if self.num_failed < FAILURES_IN_A_ROW - 1:
            return False
        return self.num_failed >= FAILURES_IN_A_ROW or self._trying_s(now_s) >= TRYING_S

    def _trying_s(self, now_s: float) -> float:
        return 0.0 if self._trying_since_s is None else now_s - self._trying_since_s
