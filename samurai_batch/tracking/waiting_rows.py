"""Rows that wait until a tracker with several paths has decided them; they are saved with the track state."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.masks.table import MaskRow
from samurai_batch.tracking.paths import Decided, PathsNote
from samurai_batch.tracking.rules import Note
from samurai_batch.tracking.track_state import TrackState


@checked(frozen=True, kw_only=True)
class WaitingNote(Note):
    """For each frame that is not decided, oldest first, the row of each lane; none for a frame that leaves no row."""

    key: ClassVar[str] = "waiting_rows"
    frames: tuple[tuple[MaskRow, ...], ...] = ()


@dataclass
class WaitingRows:
    """The rows of consecutive frames of one leg, from ``first_age`` on; a tracker with one path leaves none here."""

    first_age: int = 0
    frames: deque[tuple[MaskRow, ...]] = field(default_factory=deque)

    def add(self, rows: Sequence[MaskRow], decided: Sequence[Decided], is_written: bool) -> list[MaskRow]:
        """Add the next frame, with a row for each lane; returns the rows of the frames that are decided."""
        self.frames.append(tuple(rows) if is_written else ())
        return self._take(decided)

    def _take(self, decided: Sequence[Decided]) -> list[MaskRow]:
        rows: list[MaskRow] = []
        for age, lane in decided:
            assert age == self.first_age, "frames are decided in order"
            rows += self.frames.popleft()[lane : lane + 1]
            self.first_age += 1
        return rows

    def put_into(self, state: TrackState) -> None:
        """Add the rows to a track state that is going to be saved."""
        if self.frames:
            state.keep(WaitingNote(frames=tuple(self.frames)))

    @classmethod
    def take_from(cls, state: TrackState) -> "WaitingRows":
        """The rows in a saved track state, which is left without them. Raises StateError for wrong values."""
        frames = state.note(WaitingNote).frames
        state.notes.pop(WaitingNote.key, None)
        return cls(state.age - len(frames), deque(frames))


def rows_of_best_path(saved: bytes) -> list[MaskRow]:
    """The rows that wait in a saved track state, where the track ends earlier than was known when it was saved."""
    state = TrackState.from_bytes(saved)
    waiting = WaitingRows.take_from(state)
    return waiting._take(state.note(PathsNote).best_trace()) if waiting.frames else []
