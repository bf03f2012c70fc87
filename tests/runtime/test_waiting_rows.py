"""A video that turns out to be truncated, with a tracker whose last rows wait in the track state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest

from samurai_batch.masks.table import MaskRow, rows_to_table
from samurai_batch.pipeline import ChunkResult
from samurai_batch.tasks import Leg
from samurai_batch.tracking.paths import PathsNote
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.waiting_rows import WaitingNote, WaitingRows
from samurai_batch.video import VideoSource
from tests.runtime.fakes import FakeTracker, box_track, run_tracks, write_video
from tests.runtime.test_failures import frames_of

NUM_WAITING = 4
NAMES = {field.name for field in fields(MaskRow)}


class LateTracker(FakeTracker):
    """Its rows come four frames late, but for those of the video's last frames."""

    def propagate(
        self,
        source: VideoSource,
        legs: Sequence[Leg],
        frames: range,
        before: Mapping[str, bytes],
        *,
        check: Callable[[], None] = lambda: None,
    ) -> ChunkResult:
        states = {name: TrackState.from_bytes(data) for name, data in before.items()}
        waiting = {name: [row for (row,) in WaitingRows.take_from(state).frames] for name, state in states.items()}
        inner = {name: bytes.fromhex(str(state.notes["inner"])) for name, state in states.items()}
        result = super().propagate(source, legs, frames, inner, check=check)
        tables, saved = {}, {}
        for name, table in result.tables.items():
            rows = [MaskRow(**{key: row[key] for key in NAMES & row.keys()}) for row in table.to_pylist()]
            rows = [*waiting.get(name, []), *rows]
            is_last = frames[-1] == source.info.num_frames - 1
            decided, late = (rows, []) if is_last else (rows[:-NUM_WAITING], rows[-NUM_WAITING:])
            state = TrackState(source.info.num_frames, age=frames[-1] + 1)
            state.notes["inner"] = result.states[name].hex()
            state.keep(WaitingNote(frames=tuple((row,) for row in late)))
            state.keep(PathsNote(parents=((0,),) * len(late), first_age=state.age - len(late)))
            tables[name], saved[name] = rows_to_table(decided), state.to_bytes()
        return replace(result, tables=tables, states=saved)


@pytest.mark.parametrize("missing_from", [10, 23, 40])
def test_the_rows_that_wait_at_the_end_of_a_truncated_video_are_published(tmp_path: Path, missing_from: int) -> None:
    changes = {} if missing_from == 40 else {"missing_from": missing_from}
    track = box_track(write_video(tmp_path, "a", 40, **changes), "x")
    run_tracks([track], tmp_path / "out", LateTracker(), keep_partial=True)
    assert frames_of(tmp_path / "out", track) == list(range(missing_from))
