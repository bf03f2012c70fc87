"""States kept of finished tracks, in ``_states/<video_id>/<object_id>/``.

``<fingerprint>.<files>-<frame>.state`` is a boundary state: the track state before ``frame`` of a track that has gone
through so many files; with it, the track goes on when files are added. Its rows are those of the published table of
this fingerprint.

``<fingerprint>.state`` are kept memories: what `tracking.carried_memories` made of the track state at the end of the
track of this fingerprint; with them, a track of another video begins.

Both are written before the track's table, and deleted when a table of another fingerprint takes its place, or when the
track is pruned.
"""

import re

from samurai_batch.ledger.store import Store
from samurai_batch.planning.continuation import Boundary
from samurai_batch.storage import join, quote_id, unquote_id

_BOUNDARY = re.compile(r"([0-9a-f]{64})\.(\d+)-(\d+)\.state")
_MEMORIES = re.compile(r"([^.]+)\.state")


def kept_states_uri(output: str, video_id: str, object_id: str) -> str:
    """The folder of all that is kept of a track."""
    return join(output, "_states", quote_id(video_id), quote_id(object_id))


def boundary_state_uri(output: str, video_id: str, object_id: str, at: Boundary) -> str:
    """Where a boundary state lies."""
    name = f"{at.fingerprint}.{at.num_files}-{at.frame}.state"
    return join(kept_states_uri(output, video_id, object_id), name)


def kept_memories_uri(output: str, video_id: str, object_id: str, fingerprint: str) -> str:
    """Where the memories of a track lie."""
    return join(kept_states_uri(output, video_id, object_id), f"{fingerprint}.state")


def list_videos_with_states(store: Store, output: str) -> set[str]:
    """The ids of the videos of whose tracks anything is kept."""
    return {unquote_id(name) for name in store.list_names(join(output, "_states"))}


def list_boundaries(store: Store, output: str, video_id: str, object_id: str) -> list[Boundary]:
    """The boundaries of a track that have a state, usually one."""
    names = store.list_names(kept_states_uri(output, video_id, object_id))
    found = filter(None, map(_BOUNDARY.fullmatch, names))
    return [Boundary(match[1], int(match[2]), int(match[3])) for match in found]


def list_kept_memories(store: Store, output: str, video_id: str, object_id: str) -> set[str]:
    """The fingerprints under which memories of a track are kept, usually one."""
    names = store.list_names(kept_states_uri(output, video_id, object_id))
    return {match[1] for match in map(_MEMORIES.fullmatch, names) if match}


def delete_other_states(store: Store, output: str, video_id: str, object_id: str, fingerprint: str) -> None:
    """Delete what is kept of a track, but that of the table that it has now."""
    folder = kept_states_uri(output, video_id, object_id)
    for name in store.list_names(folder):
        if name.endswith(".state") and name.partition(".")[0] != fingerprint:
            store.delete(join(folder, name))
