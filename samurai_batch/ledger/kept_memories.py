"""Kept memories: with them, a track of another video begins where a finished track has ended.

``_states/<video_id>/<object_id>/<fingerprint>.state`` is what `tracking.carried_memories` made of the track state at
the end of the track of this fingerprint. It is written before the track's table, and deleted when a table of another
fingerprint takes its place, or when the track is pruned.
"""

from samurai_batch.ledger.boundary_states import boundary_states_uri
from samurai_batch.ledger.store import Store
from samurai_batch.storage import join

_SUFFIX = ".state"


def kept_memories_uri(output: str, video_id: str, object_id: str, fingerprint: str) -> str:
    """Where the memories of a track lie."""
    return join(boundary_states_uri(output, video_id, object_id), fingerprint + _SUFFIX)


def list_kept_memories(store: Store, output: str, video_id: str, object_id: str) -> set[str]:
    """The fingerprints under which memories of a track are kept, usually one."""
    names = store.list_names(boundary_states_uri(output, video_id, object_id))
    return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and "." not in name[: -len(_SUFFIX)]}
