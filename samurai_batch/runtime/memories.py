"""Memories that go from one video to another: kept when a track is published, read where another track begins."""

from collections.abc import Callable

from samurai_batch.errors import StateError
from samurai_batch.ledger.checkpoints import state_uri
from samurai_batch.ledger.kept_states import kept_memories_uri
from samurai_batch.ledger.store import Store
from samurai_batch.planning.chunks import first_chunk
from samurai_batch.planning.orders import PropagateOrder, PublishOrder
from samurai_batch.storage import redact_uri
from samurai_batch.tasks import Leg, Track

MemoriesAtEnd = Callable[[bytes, int, bool], bytes]
"""`tracking.carried_memories` with the rules of a tracker: of the state at the end of a track of so many frames, with
its recent frames or without."""


def keep_memories(store: Store, output: str, order: PublishOrder, memories_at_end: MemoriesAtEnd) -> None:
    """Keep the memories at the end of a track's first leg. Raises StateError if its last state is gone or damaged."""
    leg = order.track.legs[0]
    chunks = [chunk for reverse, chunk in order.chunks if reverse == leg.reverse]
    last = min(chunks) if leg.reverse else max(chunks)
    uri = state_uri(output, order.fingerprint, leg.reverse, last, order.chunk_frames)
    try:
        state = store.read_bytes(uri)
    except FileNotFoundError as error:
        raise StateError(f"{redact_uri(uri)}: the track state of the last chunk is missing") from error
    was_ended = order.track.origin != "" and order.track.end_frame is not None  # and propagated beyond that, or not
    memories = memories_at_end(state, sum(map(leg.covers, order.rows)), not was_ended)
    store.write_bytes(kept_memories_uri(output, *order.track.track_id, order.fingerprint), memories)


def begins_with_memories(leg: Leg, order: PropagateOrder) -> bool:
    """Whether a leg begins in this order, with the memories of another video."""
    return leg.track.carried_from is not None and order.chunk == first_chunk(leg, order.chunk_frames)


def memories_of_source(store: Store, output: str, track: Track) -> bytes:
    """The memories that a track begins with. Raises StateError if they are gone."""
    uri = _uri(output, track)
    try:
        return store.read_bytes(uri)
    except FileNotFoundError as error:
        reason = "the memories that a track of another video begins with are missing; the same command makes them again"
        raise StateError(f"{redact_uri(uri)}: {reason}") from error


def with_name_of_memories(error: StateError, output: str, order: PropagateOrder) -> StateError:
    """The error of an order, with the file of memories that its only track begins with, as those must be damaged."""
    (leg, *others) = order.legs
    if others or not begins_with_memories(leg, order):
        return error
    return StateError(f"{redact_uri(_uri(output, leg.track))}: {error}; remove it, and its track is computed again")


def _uri(output: str, track: Track) -> str:
    prompt = track.carried_from
    assert prompt is not None, "only such tracks begin with memories"
    return kept_memories_uri(output, *prompt.track_id, prompt.source)
