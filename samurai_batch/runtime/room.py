"""How many replicas the nodes of a cluster have room for: arithmetic, without a cluster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNITS = 10_000
"""Resources are counted in ten-thousandths, as Ray counts them: 0.1 GPU fits ten times, where floats say nine."""


@dataclass(frozen=True, kw_only=True)
class ReplicaResources:
    """What one replica asks of Ray; ``num_gpus`` may be a fraction."""

    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def __str__(self) -> str:
        wanted = [f"{self.num_cpus:g} CPUs"] if self.num_cpus or not self.num_gpus else []
        return " and ".join(wanted + ([f"{self.num_gpus:g} GPUs"] if self.num_gpus else []))

    def as_ray(self) -> dict[str, float]:
        """The same by Ray's names, without what is not asked for."""
        return {name: value for name, value in (("CPU", self.num_cpus), ("GPU", self.num_gpus)) if value}


def num_replicas_that_fit(nodes: Iterable[Mapping[str, float]], resources: ReplicaResources) -> int:
    """Replicas that all ``nodes`` together hold, each with all its resources on one node.

    ``nodes`` are their resources by Ray's names. A fraction of a GPU lies on one GPU. A replica that asks for nothing
    fits once, wherever there is a node.
    """
    room = [_room_on(node, resources) for node in nodes]
    if not resources.as_ray():
        return min(1, len(room))
    return sum(room)


def _room_on(node: Mapping[str, float], resources: ReplicaResources) -> int:
    fits = []
    if resources.num_cpus:
        fits.append(_units(node.get("CPU", 0.0)) // _units(resources.num_cpus))
    if resources.num_gpus:
        num_devices, wanted = _units(node.get("GPU", 0.0)) // UNITS, _units(resources.num_gpus)
        fits.append(num_devices * (UNITS // wanted) if wanted <= UNITS else num_devices * UNITS // wanted)
    return min(fits, default=1)


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
