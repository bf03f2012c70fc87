"""How a run ended, and what the command line makes of it."""

from dataclasses import dataclass

from samurai_batch.planning.orders import TrackStatus
from samurai_batch.runtime.ledger import RunStatus, Totals

EXIT_DONE = 0
EXIT_NOT_FINISHED = 1
EXIT_TRACKS_FAILED = 3


@dataclass(frozen=True)
class TrackProblem:
    """A track that is not "done", and why."""

    video_id: str
    object_id: str
    status: TrackStatus
    error: str


@dataclass(frozen=True)
class RunSummary:
    """What a run leaves behind; ``problems`` lists every failed or partial track of the prompts table."""

    run_id: str
    output: str
    status: RunStatus
    totals: Totals
    problems: tuple[TrackProblem, ...]


def exit_code(summary: RunSummary) -> int:
    """0: all tracks done; 3: finished, but some tracks failed or are partial; 1: stopped before the end."""
    if summary.status != "finished":
        return EXIT_NOT_FINISHED
    return EXIT_TRACKS_FAILED if summary.problems else EXIT_DONE
