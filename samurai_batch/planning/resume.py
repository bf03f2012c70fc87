"""The chunk that each leg continues with, from the names of the files that an earlier run has saved."""

from collections.abc import Sequence
from dataclasses import dataclass

from samurai_batch.planning.chunks import first_chunk, is_past, last_chunk, step
from samurai_batch.tasks import Leg


@dataclass(frozen=True)
class SavedWork:
    """The (reverse, chunk) of every part table and every track state saved for one fingerprint."""

    parts: frozenset[tuple[bool, int]] = frozenset()
    states: frozenset[tuple[bool, int]] = frozenset()


NOTHING_SAVED = SavedWork()


def next_chunk(leg: Leg, saved: SavedWork, chunk_frames: int) -> int:
    """The first chunk of a leg that is not done; past its last one if all are.

    A chunk is done when its state is there (it is written last) and no part before it is missing.
    """
    first = chunk = first_chunk(leg, chunk_frames)
    resume_at = first
    while (leg.reverse, chunk) in saved.parts:
        if (leg.reverse, chunk) in saved.states:
            resume_at = chunk + step(leg.reverse)
        chunk += step(leg.reverse)
    return resume_at


def aligned(legs: Sequence[tuple[Leg, SavedWork]], chunk_frames: int) -> list[int]:
    """The chunk that each leg of a shard continues with.

    A crash while a chunk was saved leaves some legs one chunk ahead. They repeat that chunk with the others, if the
    state before it is still there: in the same batch as before they give the same bits.
    """
    chunks = [next_chunk(leg, saved, chunk_frames) for leg, saved in legs]
    unfinished = [chunk for chunk, (leg, _) in zip(chunks, legs, strict=True) if not _is_over(leg, chunk, chunk_frames)]
    if not unfinished:
        return chunks
    reverse = legs[0][0].reverse
    earliest = max(unfinished) if reverse else min(unfinished)
    return [
        earliest if chunk == earliest + step(reverse) and _can_begin(leg, saved, earliest, chunk_frames) else chunk
        for chunk, (leg, saved) in zip(chunks, legs, strict=True)
    ]


def _is_over(leg: Leg, chunk: int, chunk_frames: int) -> bool:
    """Whether all chunks are done; unknown, and so False, for a leg to the end of a video that was never opened."""
    last = last_chunk(leg, chunk_frames, num_frames=None)
    return last is not None and is_past(chunk, last, leg.reverse)


def _can_begin(leg: Leg, saved: SavedWork, chunk: int, chunk_frames: int) -> bool:
    first = first_chunk(leg, chunk_frames)
    if chunk == first:
        return True
    return is_past(chunk, first, leg.reverse) and (leg.reverse, chunk - step(leg.reverse)) in saved.states
