"""Boundary states: with them, finished tracks of several files go on when files are added.

``_states/<video_id>/<object_id>/<fingerprint>.<files>-<frame>.state`` is the track state before ``frame`` of a track
that has gone through so many files; its rows are those of the published table of this fingerprint. It is written before
that table, and deleted when another table takes its place, or when the track is pruned.
"""

import re
from collections.abc import Iterator

from samurai_batch.ledger.store import Store
from samurai_batch.planning.continuation import Boundary
from samurai_batch.storage import join, quote_id

_NAME = re.compile(r"([0-9a-f]{64})\.(\d+)-(\d+)\.state")


def boundary_states_uri(output: str, video_id: str, object_id: str) -> str:
    """The folder of a track's boundary states."""
    return join(output, "_states", quote_id(video_id), quote_id(object_id))


def boundary_state_uri(output: str, video_id: str, object_id: str, at: Boundary) -> str:
    """Where one of them lies."""
    name = f"{at.fingerprint}.{at.num_files}-{at.frame}.state"
    return join(boundary_states_uri(output, video_id, object_id), name)


def list_boundaries(store: Store, output: str, video_id: str, object_id: str) -> list[Boundary]:
    """The boundaries of a track that have a state, usually one."""
    return [boundary for _, boundary in _listed(store, boundary_states_uri(output, video_id, object_id))]


def delete_other_states(store: Store, output: str, video_id: str, object_id: str, fingerprint: str) -> None:
    """Delete a track's boundary states and kept memories, but those of the table that it has now."""
    folder = boundary_states_uri(output, video_id, object_id)
    for name in store.list_names(folder):
        if name.endswith(".state") and name.partition(".")[0] != fingerprint:
            store.delete(join(folder, name))


def _listed(store: Store, folder: str) -> Iterator[tuple[str, Boundary]]:
    for name in store.list_names(folder):
        if match := _NAME.fullmatch(name):
            yield name, Boundary(match[1], int(match[2]), int(match[3]))
