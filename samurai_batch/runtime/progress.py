"""How far a run is: a progress bar on a terminal, a line in the log every few seconds elsewhere."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from samurai_batch.ledger.schema import Totals
from samurai_batch.redaction import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """A run at one moment. ``track_frames_left`` is an estimate until every video has been opened.

    ``waiting_for`` names what the pool needs before it can start more replicas, or a replica that has not answered for
    long, and ``waiting_s`` says for how long it has been waited for; "" and 0 if nothing is.
    """

    totals: Totals
    track_frames_left: int
    waiting_for: str = ""
    waiting_s: float = 0.0

    @property
    def track_frames(self) -> int:
        """Steps of single tracks made in this run."""
        return self.totals.stats.track_frames

    @property
    def share_done(self) -> tuple[int, int]:
        """Track-frames done and in all; in a job without propagation, tracks that have ended and in all."""
        num_frames = self.track_frames + self.track_frames_left
        return (self.track_frames, num_frames) if num_frames else (self.totals.tracks_ended, self.totals.tracks)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first track-frame."""
        return self.track_frames_left / self.totals.frames_per_s if self.totals.frames_per_s else None

    def numbers(self) -> dict[str, float]:
        """Everything that is one number, by name: the metrics."""
        totals = self.totals
        return {
            "elapsed_s": round(totals.seconds, 1),
            "tracks": totals.tracks,
            "tracks_done": totals.tracks_done,
            "tracks_partial": totals.tracks_partial,
            "tracks_failed": totals.tracks_failed,
            "tracks_waiting": totals.tracks_waiting,
            "track_frames_left": self.track_frames_left,
            "replicas": len(totals.replicas),
            "frames_per_s": round(totals.frames_per_s, 2),
            **totals.stats.flat(),
        }


class ProgressSink(AbstractContextManager["ProgressSink", None], Protocol):
    """Receives the progress of a run. Entered before the run begins, and left when it is over."""

    def show(self, progress: RunProgress) -> None:
        """Called by the driver several times a second."""
        ...


class ProgressLog(ProgressSink):
    """A line in the log every ``every_s`` seconds, and one at the end."""

    def __init__(self, every_s: float = 5.0) -> None:
        self._every_s = every_s
        self._next_s = 0.0
        self._unlogged: RunProgress | None = None

    def show(self, progress: RunProgress) -> None:
        """Write a line if it is time."""
        self._unlogged = progress
        if progress.totals.seconds >= self._next_s:
            self._next_s = progress.totals.seconds + self._every_s
            self._log(progress)

    def __exit__(self, *error: object) -> None:
        """Write the last line, unless it is written."""
        if self._unlogged is not None:
            self._log(self._unlogged)

    def _log(self, progress: RunProgress) -> None:
        self._unlogged = None
        completed, total = progress.share_done
        logger.info("progress: %.0f%%, %s", 100 * completed / max(total, 1), describe(progress))


class ProgressBar(ProgressSink):
    """A progress bar over track-frames or, in a job without propagation, over tracks."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.percentage:3.0f}%"),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
        )
        self._task: TaskID = self._bar.add_task("starting", total=None)

    def show(self, progress: RunProgress) -> None:
        """Redraw."""
        completed, total = progress.share_done
        self._bar.update(self._task, completed=completed, total=total, description=describe(progress))

    def __enter__(self) -> "ProgressBar":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


def open_progress(console: Console) -> ProgressSink:
    """A bar on a terminal, lines in the log elsewhere."""
    return ProgressBar(console) if console.is_terminal else ProgressLog()


def describe(progress: RunProgress) -> str:
    """The line beside the bar."""
    totals, left_s = progress.totals, progress.seconds_left
    published = f"{totals.tracks_done + totals.tracks_partial}/{totals.tracks} tracks"
    failed = f", {totals.tracks_failed} failed" if totals.tracks_failed else ""
    left = "" if left_s is None else f", {_clock_time(left_s)} left"
    waits = f", waiting for {progress.waiting_for}, {progress.waiting_s:.0f} s" if progress.waiting_for else ""
    return f"{published}{failed}, {totals.frames_per_s:.1f} frames/s{left}{waits}"


def _clock_time(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
