"""Saved work of unfinished tracks: ``_work/<fingerprint>/<forward|backward>-<chunk length>x<chunk>.<kind>``.

The kind is ``parquet`` for the mask rows of a chunk, and ``state`` for the track state after it. The chunk length is
part of the name because chunks of another length cover other frames: a job that changes it begins its unfinished
tracks again.

A track that goes on in added files (`planning.continuation`) has ``forward-<chunk length>x<chunk>.of-<fingerprint>``
instead of the parts up to that chunk: their rows are those of the published table of that fingerprint.
"""

import re
from collections.abc import Callable, Iterable

from samurai_batch.background import for_each
from samurai_batch.ledger.store import Store
from samurai_batch.planning.continuation import Continuation
from samurai_batch.planning.resume import NOTHING_SAVED, SavedWork
from samurai_batch.redaction import get_logger
from samurai_batch.storage import join

logger = get_logger(__name__)

_NAME = re.compile(r"(forward|backward)-(\d+)x(\d+)\.(?:(parquet|state)|of-([0-9a-f]{64}))")


def checkpoints_uri(output: str) -> str:
    """The folder of all checkpoints of an output."""
    return join(output, "_work")


def part_uri(output: str, fingerprint: str, reverse: bool, chunk: int, chunk_frames: int) -> str:
    """The mask rows of one chunk of one leg."""
    return join(_folder(output, fingerprint), f"{_stem(reverse, chunk, chunk_frames)}.parquet")


def state_uri(output: str, fingerprint: str, reverse: bool, chunk: int, chunk_frames: int) -> str:
    """The track state after one chunk of one leg. It is written last: a chunk with a state is done."""
    return join(_folder(output, fingerprint), f"{_stem(reverse, chunk, chunk_frames)}.state")


def list_saved_tracks(store: Store, output: str) -> set[str]:
    """The fingerprints of all tracks that have checkpoints."""
    return set(store.list_names(checkpoints_uri(output)))


def list_saved_chunks(store: Store, output: str, fingerprint: str, chunk_frames: int) -> SavedWork:
    """The checkpoints of one track in chunks of this length."""
    saved: dict[str, set[tuple[bool, int]]] = {"parquet": set(), "state": set()}
    for name in store.list_names(_folder(output, fingerprint)):
        match = _NAME.fullmatch(name)
        if match and int(match[2]) == chunk_frames:
            reverse, chunk = match[1] == "backward", int(match[3])
            saved[match[4] or "parquet"].update((reverse, one) for one in range(0 if match[5] else chunk, chunk + 1))
    if not saved["parquet"]:
        return NOTHING_SAVED
    return SavedWork(frozenset(saved["parquet"]), frozenset(saved["state"]))


def save_continuation(store: Store, output: str, continuation: Continuation, state: bytes) -> None:
    """Save that a track goes on from here, in place of anything saved; as always, the state is written last."""
    fingerprint, chunk_frames, chunk = continuation.fingerprint, continuation.chunk_frames, continuation.chunk - 1
    delete_track(store, output, fingerprint)
    rows = f"{_stem(False, chunk, chunk_frames)}.of-{continuation.start.fingerprint}"
    store.write_bytes(join(_folder(output, fingerprint), rows), continuation.start.fingerprint.encode())
    store.write_bytes(state_uri(output, fingerprint, False, chunk, chunk_frames), state)


def rows_published_before(store: Store, output: str, fingerprint: str, chunk_frames: int) -> tuple[str, int] | None:
    """The fingerprint whose table has the rows before a chunk, and that chunk; None for a track that began anew."""
    for name in store.list_names(_folder(output, fingerprint)):
        match = _NAME.fullmatch(name)
        if match and match[5] and int(match[2]) == chunk_frames:
            return match[5], int(match[3]) + 1
    return None


def delete_track(store: Store, output: str, fingerprint: str) -> None:
    """Delete all checkpoints of one track."""
    store.delete(_folder(output, fingerprint))


def delete_leg(store: Store, output: str, fingerprint: str, reverse: bool) -> None:
    """Delete the checkpoints of one direction, the states first: a crash on the way then leaves no chunk done."""
    folder = _folder(output, fingerprint)
    names = [name for name in store.list_names(folder) if name.startswith(f"{_direction(reverse)}-")]
    for name in sorted(names, key=lambda name: not name.endswith(".state")):
        store.delete(join(folder, name))


def delete_leftovers(
    store: Store, output: str, needed: Iterable[str], num_transfers: int, on_progress: Callable[[], None]
) -> None:
    """Delete the checkpoints of tracks whose fingerprints are not ``needed``."""
    leftovers = sorted(list_saved_tracks(store, output) - set(needed))
    if leftovers:
        logger.info("deleting the checkpoints of %d tracks that are not continued", len(leftovers))
    for_each(lambda name: delete_track(store, output, name), leftovers, num_transfers, on_progress=on_progress)


def _folder(output: str, fingerprint: str) -> str:
    return join(checkpoints_uri(output), fingerprint)


def _direction(reverse: bool) -> str:
    return "backward" if reverse else "forward"


def _stem(reverse: bool, chunk: int, chunk_frames: int) -> str:
    return f"{_direction(reverse)}-{chunk_frames}x{chunk}"
