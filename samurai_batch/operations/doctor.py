"""Checks this machine, or every node of a cluster, for a job: `samurai-batch doctor`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from samurai_batch import storage
from samurai_batch.errors import CheckpointError, StorageError
from samurai_batch.job import JobConfig
from samurai_batch.modeling.weight_files import weights_digest
from samurai_batch.operations.output_checks import check_marker, marked_output
from samurai_batch.runtime.machine_checks import Check, check_machine
from samurai_batch.runtime.recipe import job_recipe, with_absolute_paths, with_resolved_dtype


@dataclass(frozen=True)
class Examined:
    """One place, and its checks."""

    place: str
    checks: tuple[Check, ...]

    @property
    def would_fail(self) -> bool:
        """Whether a job would fail here."""
        return any(check.level == "problem" for check in self.checks)


def examine(config: JobConfig, *, has_output: bool) -> Iterator[Examined]:
    """The checks of this machine, or, if the job joins a Ray cluster, of what is done here and of every node.

    ``has_output``: whether the output is checked too, for which small files are written to it and deleted. Raises
    ConfigError for an unknown model, and if no cluster can be joined.
    """
    config = with_resolved_dtype(with_absolute_paths(config))
    job_recipe(config, weights_digest="")  # reports an unknown model or setting
    if not has_output:
        yield from _examine(config, (), None)
        return
    with marked_output(config.output, in_one_process=config.pool == "local") as (check, marker):
        yield from _examine(config, (check,), marker if check.level != "problem" else None)


def _examine(config: JobConfig, of_output: tuple[Check, ...], marker: str | None) -> Iterator[Examined]:
    once = (*of_output, check_weights(config))
    if config.pool == "local" or (config.ray_address is None and "RAY_ADDRESS" not in os.environ):
        yield Examined("this machine", (*check_machine(config), *once))
        return
    yield Examined("this machine, where the job starts", once)
    from samurai_batch.runtime.ray_cluster import connect, disconnect  # Ray is loaded by jobs that run on it

    has_connected = connect(config.ray_address)
    try:
        yield from _examine_cluster(config, marker)
    finally:
        if has_connected:
            disconnect()


def _examine_cluster(config: JobConfig, marker: str | None) -> Iterator[Examined]:
    from samurai_batch.runtime.assembly import requested_resources
    from samurai_batch.runtime.capacity import num_replicas_that_fit
    from samurai_batch.runtime.devices import with_reserved_device
    from samurai_batch.runtime.node_checks import checks_of
    from samurai_batch.runtime.ray_nodes import call_on, living_nodes

    resources, nodes = requested_resources(config), living_nodes()
    decided = with_reserved_device(config, resources.num_gpus)
    rooms = {node.node_id: num_replicas_that_fit([node.resources], resources) for node in nodes}
    yield Examined("the cluster", (check_room(sum(rooms.values()), str(resources)),))
    with_replicas = [node for node in nodes if rooms[node.node_id]]
    without = [node for node in nodes if not rooms[node.node_id]]
    answers = call_on(with_replicas, check_marker, lambda node: (marker,)) if marker else []
    outputs = {one.node.node_id: one.result for one in answers}
    for node, checks in checks_of(with_replicas, decided):
        output = outputs.get(node.node_id)
        yield Examined(f"{node}, room for {rooms[node.node_id]}", (*checks, *((output,) if output else ())))
    for node, checks in checks_of(without, config.model_copy(update={"device": "cpu", "compile": False})):
        yield Examined(f"{node}, room for none", checks)


def check_room(num_replicas: int, each: str) -> Check:
    """How many replicas a cluster has room for now."""
    from samurai_batch.runtime.ray_cluster import has_autoscaler

    if num_replicas:
        return Check(subject="replicas", result=f"room for {num_replicas} of {each}")
    if has_autoscaler():
        result = f"no node has room for {each}; the autoscaler adds one when a job starts"
        return Check(subject="replicas", result=result)
    return Check(
        subject="replicas", result=f"no node has room for {each}; request less, or add such a node", level="problem"
    )


def check_weights(config: JobConfig) -> Check:
    """Whether the weights of a job can be read. Reads the file, and downloads a remote one."""
    name = config.weights or "shipped with the package"
    try:
        digest = weights_digest(config.model, config.weights)
    except (CheckpointError, StorageError) as error:
        return Check(subject="weights", result=f"{config.model}: {error}", level="problem")
    return Check(subject="weights", result=f"{config.model}: {storage.redact_uri(name)}, SHA-256 {digest[:12]}…")
