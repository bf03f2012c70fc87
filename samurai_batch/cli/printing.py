"""Consoles for standard output and standard error, and the summary of a run.

Texts are redacted and otherwise printed unchanged: paths and ids may contain ``[cam1]``, ``:car:`` or tabs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from samurai_batch.redaction import redact

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig
    from samurai_batch.ledger.schema import TrackProblem
    from samurai_batch.ledger.status import RunSummary
    from samurai_batch.runtime.progress import ProgressSink


class PlainConsole(Console):
    """A console without markup, emoji codes, colours for numbers, wrapping and expanded tabs."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def print(self, *objects: Any, sep: str = " ", end: str = "\n", **options: Any) -> None:
        """Print texts unchanged, and anything else, such as a table, as rich renders it."""
        if all(isinstance(one, str) for one in objects):
            super().print(_Raw(redact(sep.join(objects)) + end), soft_wrap=True)
        else:
            super().print(*objects, sep=sep, end=end, **options)


class _Raw:
    """A text that rich prints unchanged."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self._text)


out, err = PlainConsole(), PlainConsole(stderr=True)


def progress_sink(config: "JobConfig") -> "ProgressSink":
    """What people see of a running job, and on Ray its metrics as well."""
    from samurai_batch import storage
    from samurai_batch.runtime.progress import open_progress

    if config.pool == "local":
        return open_progress(err)
    from samurai_batch.operations.ray_metrics import MetricsSink

    return MetricsSink(open_progress(err), storage.redact_uri(config.output))


def print_summary(summary: "RunSummary") -> None:
    """Print the summary of a run, and exit with its exit code."""
    from samurai_batch import storage
    from samurai_batch.ledger.status import exit_code

    totals = summary.totals
    done = f"{totals.tracks_done} of {totals.tracks} tracks done"
    skipped = f" ({totals.tracks_skipped} before this run)" if totals.tracks_skipped else ""
    out.print(f"{done}{skipped}, {totals.rows} rows written, {totals.seconds:.1f} s")
    out.print(f"tables: {storage.redact_uri(storage.join(summary.output, 'masks'))}")
    print_problems(summary.problems)
    raise typer.Exit(exit_code(summary))


def print_problems(problems: "Sequence[TrackProblem]") -> None:
    """Print one line for each track that failed or is partial."""
    for problem in problems:
        out.print(f"{problem.status}: {problem.video_id} / {problem.object_id}: {problem.error}")
