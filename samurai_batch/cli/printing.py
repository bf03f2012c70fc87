"""Where the verbs print to, and how they tell the end of a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig
    from samurai_batch.runtime.progress import Watch
    from samurai_batch.runtime.summary import RunSummary, TrackProblem

# Paths, ids and "pip install 'samurai-batch[gcs]'" are shown as they are: [..] and :..: are no markup here.
out, err = (
    Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False) for stderr in (False, True)
)


def watch_of(config: "JobConfig") -> "Watch":
    """What people see of a running job, and on Ray its metrics as well."""
    from samurai_batch import storage
    from samurai_batch.runtime.progress import open_watch

    if config.pool == "local":
        return open_watch(err)
    from samurai_batch.operations.ray_metrics import MetricsWatch

    return MetricsWatch(open_watch(err), storage.redact(config.output))


def print_summary(summary: "RunSummary") -> None:
    """Print how a run ended, and exit by its code."""
    from samurai_batch import storage
    from samurai_batch.runtime.summary import exit_code

    totals = summary.totals
    done = f"{totals.tracks_done} of {totals.tracks} tracks done"
    skipped = f" ({totals.tracks_skipped} before this run)" if totals.tracks_skipped else ""
    out.print(f"{done}{skipped}, {totals.rows} rows written, {totals.seconds:.1f} s")
    out.print(f"tables: {storage.redact(storage.join(summary.output, 'masks'))}")
    print_problems(summary.problems)
    raise typer.Exit(exit_code(summary))


def print_problems(problems: "Sequence[TrackProblem]") -> None:
    """One line for each track that failed, or ended early."""
    for problem in problems:
        out.print(f"{problem.status}: {problem.video_id} / {problem.object_id}: {problem.error}")
