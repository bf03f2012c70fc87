"""The saved work of unfinished tracks: ``_work/<fingerprint>/<forward|backward>-<chunk length>x<chunk>.<kind>``.

The chunk length stands in the name because chunks of another length cover other frames: a job that changes it
begins its unfinished tracks again.
"""

import re

from samurai_batch.planning.resume import NOTHING_SAVED, SavedWork
from samurai_batch.runtime.environment import Store
from samurai_batch.storage import join

_NAME = re.compile(r"(forward|backward)-(\d+)x(\d+)\.(parquet|state)")


def work_uri(output: str) -> str:
    """The folder of all saved work of an output."""
    return join(output, "_work")


def track_work_uri(output: str, fingerprint: str) -> str:
    """The folder of one track's saved work."""
    return join(work_uri(output), fingerprint)


def part_uri(output: str, fingerprint: str, reverse: bool, chunk: int, chunk_frames: int) -> str:
    """The mask rows of one chunk of one leg."""
    return join(track_work_uri(output, fingerprint), f"{_stem(reverse, chunk, chunk_frames)}.parquet")


def state_uri(output: str, fingerprint: str, reverse: bool, chunk: int, chunk_frames: int) -> str:
    """The track state after one chunk of one leg; written last, so that its presence says the chunk is done."""
    return join(track_work_uri(output, fingerprint), f"{_stem(reverse, chunk, chunk_frames)}.state")


def saved_fingerprints(store: Store, output: str) -> set[str]:
    """The fingerprints that have saved work."""
    return set(store.list_names(work_uri(output)))


def saved_work(store: Store, output: str, fingerprint: str, chunk_frames: int) -> SavedWork:
    """What is saved of one track in chunks of this length."""
    found: dict[str, set[tuple[bool, int]]] = {"parquet": set(), "state": set()}
    for name in store.list_names(track_work_uri(output, fingerprint)):
        match = _NAME.fullmatch(name)
        if match and int(match[2]) == chunk_frames:
            found[match[4]].add((match[1] == "backward", int(match[3])))
    if not found["parquet"]:
        return NOTHING_SAVED
    return SavedWork(frozenset(found["parquet"]), frozenset(found["state"]))


def discard_track(store: Store, output: str, fingerprint: str) -> None:
    """Remove all saved work of one track."""
    store.delete(track_work_uri(output, fingerprint))


def discard_leg(store: Store, output: str, fingerprint: str, reverse: bool) -> None:
    """Remove the saved work of one direction: states first, so that a crash on the way leaves no chunk done."""
    folder = track_work_uri(output, fingerprint)
    names = [name for name in store.list_names(folder) if name.startswith(f"{_direction(reverse)}-")]
    for name in sorted(names, key=lambda name: not name.endswith(".state")):
        store.delete(join(folder, name))


def _direction(reverse: bool) -> str:
    return "backward" if reverse else "forward"


def _stem(reverse: bool, chunk: int, chunk_frames: int) -> str:
    return f"{_direction(reverse)}-{chunk_frames}x{chunk}"
