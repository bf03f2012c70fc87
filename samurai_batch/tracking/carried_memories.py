"""What a track of another video begins with: the memories of a track at its end, as its first conditioning frames.

    track of video A, at its end                          track of video B, before its first frame
    prompted frames ──────────────────────────────┐
    promoted frames of this video ────────────────┼─> at most `limit` conditioning frames, ages 0, 1, …
    recent frames: trusted, with a visible object ┘    no motion model, no notes, no recent frames

SAM 2 attends to conditioning frames without a temporal position; so these say what the object looks like, and neither
when nor where it was. The new track is then at the age of a track with so many prompted frames, so that all rules
treat its first frame like any later one.
"""

from samurai_batch.modeling.configs import NUM_MASKMEM
from samurai_batch.tracking.memory_bank import Memory, MemoryBank, Pointer
from samurai_batch.tracking.paths import PathsNote
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.track_state import TrackState


def carried_memories(saved: bytes, num_frames: int, has_recent: bool, *, rules: Rules) -> bytes:
    """The track state that a track of another video begins with, of the saved state at the end of a track.

    ``num_frames`` is the number of its frames with rows: the state may have seen later ones, if a discovery has ended
    the track. Then ``has_recent`` is False, and recent frames are left out, which depend on how far that went. Of the
    memories, prompted frames are taken first, then the newest recent ones, then promoted ones, of each
    kind the newest; as many as the rules attend to, and no more than SAM 2 attends to in all. Where there are several
    paths, the best one's. Raises StateError for a state that is damaged.
    """
    state = TrackState.from_bytes(saved)
    bank = state.bank
    if rules.paths is not None:
        bank = state.banks[state.note(PathsNote).lanes[0]]
    chosen = _chosen(
        bank, state.num_carried + num_frames, min(rules.memory.conditioning_limit(), NUM_MASKMEM), has_recent
    )
    pointers = {pointer.age: pointer.vector for pointer in (*bank.recent_pointers, *bank.conditioning_pointers)}
    begun = TrackState(num_frames=len(chosen), age=len(chosen), num_carried=len(chosen))
    for age, (memory, is_promoted) in enumerate(chosen):
        begun.bank.conditioning.append(Memory(age, memory.spatial, is_promoted=is_promoted))
        if memory.age in pointers:  # kept for fewer frames than trusted memories
            begun.bank.conditioning_pointers.append(Pointer(age, pointers[memory.age]))
    if rules.paths is not None:
        begun.keep(PathsNote(first_age=begun.age))
    return begun.to_bytes()


def _chosen(bank: MemoryBank, end_age: int, limit: int, has_recent: bool) -> list[tuple[Memory, bool]]:
    """The memories to take, and whether each counts as promoted: those first, so that they are dropped first.

    The prompted ones, which a user has seen, count as the newest.
    """
    seen = [memory for memory in bank.conditioning if memory.age < end_age]
    prompted = [memory for memory in seen if not memory.is_promoted][-limit:]
    recent = [memory for memory in bank.recent if memory.is_trusted and memory.object_score > 0]
    promoted = [memory for memory in seen if memory.is_promoted]
    others = [*promoted, *(recent if has_recent else [])]
    others = others[max(0, len(others) - (limit - len(prompted))) :]
    return [*((memory, True) for memory in others), *((memory, False) for memory in prompted)]
