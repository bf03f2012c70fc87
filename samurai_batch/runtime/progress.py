"""How far a run is: a progress bar on a terminal, one structured line in the log every few seconds elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from samurai_batch.redaction import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at one moment; ``tracks_done`` includes those done by earlier runs.

    ``track_frames`` counts frames followed, summed over tracks, in this run; ``track_frames_left`` is an estimate
    as long as there are videos nobody has opened. Seconds and failures are as in `ledger.Totals`;
    ``device_memory_bytes`` is the most of any replica. ``waiting_for`` is what replicas cannot be started without, and
    ``waiting_s`` for how long; "" and 0 if none waits.
    """

    elapsed_s: float
    tracks: int
    tracks_done: int
    tracks_partial: int
    tracks_failed: int
    frames_encoded: int
    track_frames: int
    track_frames_left: int
    replicas: int
    decode_s: float = 0.0
    encode_s: float = 0.0
    propagate_s: float = 0.0
    write_s: float = 0.0
    device_memory_bytes: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    waiting_for: str = ""
    waiting_s: float = 0.0

    @property
    def tracks_waiting(self) -> int:
        """Tracks that have not ended, in work or not."""
        return self.tracks - self.tracks_done - self.tracks_partial - self.tracks_failed

    @property
    def frames_per_s(self) -> float:
        """Track-frames per second since the run began."""
        return self.track_frames / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def share_done(self) -> tuple[int, int]:
        """How many of how many: frames of tracks or, where nothing is followed, tracks."""
        num_frames = self.track_frames + self.track_frames_left
        if num_frames:
            return self.track_frames, num_frames
        return self.tracks_done + self.tracks_partial + self.tracks_failed, self.tracks

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None while nothing has been followed."""
        return self.track_frames_left / self.frames_per_s if self.track_frames else None


class ProgressSink(Protocol):
    """Somebody who looks on."""

    def show(self, snapshot: Snapshot) -> None:
        """Called by the driver several times a second."""
        ...

    def __enter__(self) -> "ProgressSink":
        """Begin to look on."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run is over."""
        ...


class ProgressLog:
    """One line of JSON in the log every ``every_s`` seconds, and a last one at the end."""

    def __init__(self, every_s: float = 5.0) -> None:
        self._every_s = every_s
        self._next_s = 0.0
        self._last: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Log the snapshot if it is time."""
        self._last = snapshot
        if snapshot.elapsed_s >= self._next_s:
            self._next_s = snapshot.elapsed_s + self._every_s
            self._log(snapshot)

    def __enter__(self) -> "ProgressLog":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log the last snapshot."""
        if self._last is not None:
            self._log(self._last)

    def _log(self, snapshot: Snapshot) -> None:
        left_s = snapshot.seconds_left
        values = asdict(snapshot) | {
            "elapsed_s": round(snapshot.elapsed_s, 1),
            "frames_per_s": round(snapshot.frames_per_s, 2),
            "seconds_left": None if left_s is None else round(left_s),
            "waiting_s": round(snapshot.waiting_s),
        }
        logger.info("progress %s", json.dumps(values))


class ProgressBar:
    """A progress bar over frames of tracks, or over pictures."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.percentage:3.0f}%"),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("starting", total=None)

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        completed, total = snapshot.share_done
        self._progress.update(self._task, completed=completed, total=total, description=describe(snapshot))

    def __enter__(self) -> "ProgressBar":
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


def open_progress(console: Console) -> ProgressSink:
    """A bar where somebody can see it, log lines elsewhere."""
    return ProgressBar(console) if console.is_terminal else ProgressLog()


def describe(snapshot: Snapshot) -> str:
    """The line beside the bar."""
    settled = f"{snapshot.tracks_done + snapshot.tracks_partial}/{snapshot.tracks} tracks"
    failed = f", {snapshot.tracks_failed} failed" if snapshot.tracks_failed else ""
    left_s = snapshot.seconds_left
    left = "" if left_s is None else f", {_clock_time(left_s)} left"
    waits = f", waiting for {snapshot.waiting_for}, {snapshot.waiting_s:.0f} s" if snapshot.waiting_for else ""
    return f"{settled}{failed}, {snapshot.frames_per_s:.1f} frames/s{left}{waits}"


def _clock_time(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
