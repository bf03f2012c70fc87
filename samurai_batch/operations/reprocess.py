"""The nightly run: compare the source with the output, compute what is new, stale or failed, write down what changed.

source (tables, patterns) ─> tracks ─┐
output (ledger, tables) ─────────────┴─> decisions with reasons ─> run_job ─> changes of this run
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.manifest import read_pictures, read_prompts
from samurai_batch.modeling.weight_files import weights_digest
from samurai_batch.operations.history import Change, RunChanges, keep_table, remove_tables, write_changes
from samurai_batch.operations.reasons import Comparison, Decision, compare
from samurai_batch.operations.sources import read_source
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.hooks import RunHooks
from samurai_batch.runtime.ledger import read_video_ledger, video_ledger_uri, write_video_ledger
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.progress import ProgressSink
from samurai_batch.runtime.recipe import check_output_store, job_recipe, with_absolute_paths
from samurai_batch.runtime.run import run_job
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.summary import RunSummary
from samurai_batch.tasks import Track, TrackId

logger = get_logger(__name__)

NUM_TRANSFERS = 16
"""Calls to storage at a time."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which of the tracks that could run do run.

    ``only_failed`` takes those that failed before; ``since_s`` (seconds since 1970, UTC) those whose video was
    written at that moment or later; ``prune`` removes what the source no longer asks for, tables and all;
    ``keep_superseded`` keeps a copy of every table that is replaced.
    """

    only_failed: bool = False
    since_s: float | None = None
    prune: bool = False
    keep_superseded: bool = True

    @property
    def is_filter(self) -> bool:
        """Whether some of the tracks that could run do not."""
        return self.only_failed or self.since_s is not None


EVERYTHING = Choice()


@dataclass(frozen=True)
class ReprocessPlan:
    """What `reprocess` does: these tracks for these reasons; ``left`` are removed only if the choice prunes."""

    tracks: tuple[Track, ...]
    decisions: tuple[Decision, ...]
    left: tuple[TrackId, ...]
    choice: Choice

    @property
    def pruned(self) -> tuple[TrackId, ...]:
        """The tracks that are removed."""
        return self.left if self.choice.prune else ()

    def describe(self) -> str:
        """A line for every track that runs or has left, and a first one that counts them."""
        fate = "removed" if self.choice.prune else "kept; --prune removes them"
        gone = f"; {len(self.left)} left the source ({fate})" if self.left else ""
        lines = [f"{len(self.tracks)} tracks in the source, {len(self.decisions)} to compute{gone}"]
        lines += [_line(one.track.track_id, one.reason) for one in sorted(self.decisions, key=_by_track)]
        lines += [_line(one, "left the source") for one in self.left]
        return "\n".join(lines)


@dataclass(frozen=True)
class Night:
    """What became of a plan."""

    plan: ReprocessPlan
    summary: RunSummary


def plan_reprocess(config: JobConfig, choice: Choice = EVERYTHING) -> ReprocessPlan:
    """What `reprocess` would do now, and why, track by track. Reads the weights, writes nothing.

    Raises UsageError for what is wrong with the job, LedgerError and StorageError.
    """
    config = with_absolute_paths(config)
    job_recipe(config, weights_digest="")  # complain about settings before reading weights
    check_output_store(config)
    tracks = read_source(config.prompts, read_prompts if config.task == "track" else read_pictures)
    if choice.prune and not tracks:
        raise ConfigError(
            f"prompts {storage.redact(config.prompts)}: the source is empty, and --prune would remove every table; "
            "look whether the source is the right one, or delete the output yourself"
        )
    recipe = job_recipe(config, weights_digest(config.model, config.weights))
    return _chosen(tracks, compare(tracks, recipe, DriverSettings.of(config, retry_failed=True)), choice)


def reprocess(
    config: JobConfig, choice: Choice = EVERYTHING, *, watch: ProgressSink | None = None, run_id: str | None = None
) -> Night:
    """Compute what `plan_reprocess` says, keep what it replaces, prune, and write the run's changes down.

    Raises what `plan_reprocess` and `run_job` raise; what is done by then is kept.
    """
    config = with_absolute_paths(config)
    plan = plan_reprocess(config, choice)
    tracks = [one.track for one in plan.decisions] if choice.is_filter else list(plan.tracks)
    hooks = RunHooks(
        before=lambda beat: _keep_replaced(config.output, plan, beat),
        after=lambda beat: _prune(config.output, plan, beat),
    )
    summary = run_job(config, tracks=tracks, watch=watch, run_id=run_id, retry_failed=True, hooks=hooks)
    changes = _changes(config.output, plan, summary)
    if summary.status == "finished":
        changes += [_pruned(one) for one in plan.pruned]
    write_changes(config.output, RunChanges(run_id=summary.run_id, changes=tuple(changes)))
    return Night(plan, summary)


def parse_moment(text: str) -> float:
    """A date or time in ISO 8601 as seconds since 1970; UTC unless it says otherwise. Raises ConfigError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--since {text}: write a date or time such as 2026-11-22 or 2026-11-22T01:00") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _chosen(tracks: Sequence[Track], found: Comparison, choice: Choice) -> ReprocessPlan:
    decisions = [one for one in found.decisions if _is_chosen(one, choice)]
    return ReprocessPlan(tuple(tracks), tuple(decisions), found.left, choice)


def _is_chosen(decision: Decision, choice: Choice) -> bool:
    if choice.only_failed and (decision.before is None or decision.before.status != "failed"):
        return False
    if choice.since_s is None:
        return True
    modified_s = storage.modified_s(decision.track.video.uri)
    return modified_s is not None and modified_s >= choice.since_s


def _keep_replaced(output: str, plan: ReprocessPlan, beat: Callable[[], None]) -> None:
    """Copy the tables that are going to be replaced, while holding the output's lease."""
    replaced = [one.track.track_id for one in plan.decisions if one.before is not None]
    if plan.choice.keep_superseded:
        for_each(partial(keep_table, output), replaced, NUM_TRANSFERS, on_progress=beat)


def _changes(output: str, plan: ReprocessPlan, summary: RunSummary) -> list[Change]:
    """What the ledger says of the tracks that were to run; one that the run did not reach stays out."""
    video_ids = sorted({one.track.video.video_id for one in plan.decisions})
    read = for_each(lambda one: read_video_ledger(storage, video_ledger_uri(output, one)), video_ids, NUM_TRANSFERS)
    ledgers = dict(zip(video_ids, read, strict=True))
    changes = []
    for decision in sorted(plan.decisions, key=_by_track):
        video_id, object_id = decision.track.track_id
        ledger = ledgers[video_id]
        entry = ledger.tracks.get(object_id) if ledger else None
        if entry is not None and entry.run_id == summary.run_id:
            changes.append(Change(video_id=video_id, object_id=object_id, reason=decision.reason, status=entry.status))
    return changes


def _prune(output: str, plan: ReprocessPlan, beat: Callable[[], None]) -> None:
    """Remove tracks from the ledger and then their tables, while holding the output's lease."""
    by_video: dict[str, set[str]] = {}
    for video_id, object_id in plan.pruned:
        by_video.setdefault(video_id, set()).add(object_id)
    for_each(lambda one: _forget(output, *one), sorted(by_video.items()), NUM_TRANSFERS, on_progress=beat)
    for_each(partial(remove_tables, output), plan.pruned, NUM_TRANSFERS, on_progress=beat)


def _pruned(track: TrackId) -> Change:
    return Change(video_id=track[0], object_id=track[1], reason="left the source", status="pruned")


def _forget(output: str, video_id: str, object_ids: set[str]) -> None:
    uri = video_ledger_uri(output, video_id)
    ledger = read_video_ledger(storage, uri)
    if ledger is None:
        return
    for object_id in object_ids & ledger.tracks.keys():
        del ledger.tracks[object_id]
    if ledger.tracks:
        write_video_ledger(storage, output, ledger)
    else:
        storage.delete(uri)


def _by_track(decision: Decision) -> TrackId:
    return decision.track.track_id


def _line(track: TrackId, reason: str) -> str:
    return f"  {track[0]} / {track[1]}: {reason}"
