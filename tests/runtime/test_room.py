"""How many replicas fit on which nodes."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.runtime.capacity import ReplicaResources, describe_nodes, even_share, num_replicas_that_fit

ONE_CPU: Mapping[str, float] = {"CPU": 1.0, "memory": 1e9}
BIG: Mapping[str, float] = {"CPU": 16.0, "GPU": 1.0}
HEAD: Mapping[str, float] = {"node:__internal_head__": 1.0}


@pytest.mark.parametrize(
    ("nodes", "num_cpus", "num_gpus", "expected"),
    [
        ([ONE_CPU, ONE_CPU], 2.0, 0.0, 0),  # two halves are no whole
        ([ONE_CPU, ONE_CPU], 1.0, 0.0, 2),
        ([ONE_CPU, ONE_CPU], 0.1, 0.0, 20),
        ([ONE_CPU, ONE_CPU], 0.3, 0.0, 6),
        ([BIG], 1.0, 0.1, 10),
        ([BIG], 1.0, 0.2, 5),
        ([BIG], 4.0, 0.2, 4),
        ([{"CPU": 16.0, "GPU": 3.0}], 1.0, 0.6, 3),  # a fraction lies on one GPU
        ([{"CPU": 16.0, "GPU": 3.0}], 1.0, 0.5, 6),
        ([{"CPU": 16.0, "GPU": 3.0}], 1.0, 2.0, 1),
        ([{"CPU": 16.0}, {"GPU": 4.0}], 1.0, 1.0, 0),  # not on one node
        ([BIG, BIG, HEAD], 0.0, 1.0, 2),
        ([BIG], 0.0, 0.0001, 10_000),
        ([HEAD], 1.0, 0.0, 0),
        ([HEAD], 0.0, 0.0, 1),
        ([], 0.0, 0.0, 0),
        ([], 1.0, 0.0, 0),
    ],
)
def test_a_replica_has_all_its_resources_on_one_node(
    nodes: Sequence[Mapping[str, float]], num_cpus: float, num_gpus: float, expected: int
) -> None:
    assert num_replicas_that_fit(nodes, ReplicaResources(num_cpus=num_cpus, num_gpus=num_gpus)) == expected


@pytest.mark.parametrize(
    ("share", "even"), [(0.0, 0.0), (0.2, 0.2), (0.3, 0.3333), (0.4, 0.5), (0.5, 0.5), (0.6, 1.0), (1.0, 1.0)]
)
def test_a_share_of_a_gpu_is_as_large_as_it_can_be_for_as_many_replicas(share: float, even: float) -> None:
    assert even_share(share) == even


@given(st.floats(0.05, 1.0), st.integers(1, 8))
def test_what_even_shares_leave_on_all_gpus_of_a_node_is_no_room_for_another(share: float, num_gpus: int) -> None:
    even = even_share(share)
    node = {"CPU": 1e4, "GPU": float(num_gpus)}
    room = num_replicas_that_fit([node], ReplicaResources(num_gpus=even))
    assert room == num_replicas_that_fit([node], ReplicaResources(num_gpus=share))
    assert num_gpus - room * even < even


def test_requested_and_available_resources_are_described() -> None:
    assert str(ReplicaResources(num_cpus=2.0, num_gpus=0.5)) == "2 CPUs and 0.5 GPUs"
    assert str(ReplicaResources(num_cpus=0.0, num_gpus=1.0)) == "1 GPUs"
    assert describe_nodes([HEAD, ONE_CPU, ONE_CPU]) == "1 node of 0 CPUs and 0 GPUs, 2 nodes of 1 CPUs and 0 GPUs"
    assert describe_nodes([]) == "no node"
