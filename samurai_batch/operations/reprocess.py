"""Keeps an output up to date: computes what is new, stale or failed in its source, and records what changed.

source (tables, patterns) ─> tracks ─┐
output (ledger, tables) ─────────────┴─> decisions with reasons ─> run_job ─> changes of this run
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from samurai_batch import storage
from samurai_batch.background import for_each
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import (
    NUM_TRANSFERS,
    read_video_ledger,
    read_video_ledgers,
    video_ledger_uri,
    write_video_ledger,
)
from samurai_batch.manifest import read_pictures, read_prompts
from samurai_batch.masks import file_metadata, mask_table_uri
from samurai_batch.modeling.weight_files import weights_digest
from samurai_batch.operations.diff import diff_tables
from samurai_batch.operations.history import (
    Change,
    RunChanges,
    keep_table,
    remove_tables,
    superseded_uri,
    write_changes,
)
from samurai_batch.operations.reasons import Decision, compare
from samurai_batch.operations.sources import read_source
from samurai_batch.planning.carried_tracks import source_of
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.driver import RunHooks
from samurai_batch.runtime.preparation import Preparer
from samurai_batch.runtime.progress import ProgressSink
from samurai_batch.runtime.recipe import (
    check_output_store,
    checked_tracks,
    job_recipe,
    with_absolute_paths,
    with_detections,
)
from samurai_batch.runtime.run import run_job
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.source_checks import check_sources
from samurai_batch.tasks import Track, TrackId

NOT_IN_SOURCE = "no longer in the source"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which of the stale tracks are computed, and what happens to old tables.

    ``only_failed`` takes tracks that failed before, ``since_s`` (seconds since 1970, UTC) those whose video was
    written at that moment or later. ``prune`` deletes tracks that the source no longer has, with their tables.
    ``keep_superseded`` keeps a copy of every table that is replaced.
    """

    only_failed: bool = False
    since_s: float | None = None
    prune: bool = False
    keep_superseded: bool = True

    @property
    def is_filter(self) -> bool:
        """Whether only some of the stale tracks are computed."""
        return self.only_failed or self.since_s is not None


EVERYTHING = Choice()


@dataclass(frozen=True)
class ReprocessPlan:
    """What `reprocess` does. ``tracks`` are those of the source; ``removed`` are in the output alone."""

    tracks: tuple[Track, ...]
    decisions: tuple[Decision, ...]
    removed: tuple[TrackId, ...]
    choice: Choice

    @property
    def pruned(self) -> tuple[TrackId, ...]:
        """The tracks that are deleted from the output."""
        return self.removed if self.choice.prune else ()

    def describe(self) -> str:
        """One line that counts the tracks, and one for every track to compute or no longer in the source."""
        fate = "deleted" if self.choice.prune else "kept; --prune deletes them"
        gone = f"; {len(self.removed)} no longer in the source ({fate})" if self.removed else ""
        reasons = [(one.track.track_id, one.reason) for one in sorted(self.decisions, key=_by_track)]
        reasons += [(track, NOT_IN_SOURCE) for track in self.removed]
        return "\n".join(
            [
                f"{len(self.tracks)} tracks in the source, {len(self.decisions)} to compute{gone}",
                *(f"  {video_id} / {object_id}: {reason}" for (video_id, object_id), reason in reasons),
            ]
        )


@dataclass(frozen=True)
class IdlePrompt:
    """A correction that corrected nothing."""

    video_id: str
    object_id: str
    frame_index: int

    def describe(self) -> str:
        """One line."""
        reason = f"the new prompt on frame {self.frame_index} left the mask there as it was"
        return f"{self.video_id} / {self.object_id}: {reason}; was another frame meant?"


@dataclass(frozen=True)
class ReprocessResult:
    """A plan that was carried out, and how its run ended.

    ``idle_prompts`` are new prompts that left the mask of their frame as it was before this run.
    """

    plan: ReprocessPlan
    summary: RunSummary
    idle_prompts: tuple[IdlePrompt, ...] = ()


def plan_reprocess(config: JobConfig, choice: Choice = EVERYTHING) -> ReprocessPlan:
    """What `reprocess` would do now, track by track with reasons. Reads the weights, writes nothing.

    Raises UsageError for what is wrong with the job, LedgerError and StorageError.
    """
    config = with_absolute_paths(config)
    job_recipe(config, weights_digest="")  # reports wrong settings before weights are read
    check_output_store(config)
    tracks = checked_tracks(
        config, read_source(config.prompts, read_prompts if config.task == "track" else read_pictures)
    )
    if choice.prune and not tracks:
        raise ConfigError(
            f"prompts {storage.redact_uri(config.prompts)}: the source is empty, and --prune would remove every table; "
            "check that the source is the right one, or delete the output yourself"
        )
    tracks, detections = with_detections(config, tracks)
    recipe = job_recipe(config, weights_digest(config.model, config.weights))
    settings = DriverSettings.of(config, retry_failed=True, detections=detections)
    carried = CarriedTracks(tracks, Preparer(recipe, storage, settings))
    check_sources(config, tracks, carried)
    comparison = compare(carried)
    decisions = _with_sources([one for one in comparison.decisions if _is_chosen(one, choice)], comparison.decisions)
    return ReprocessPlan(tuple(tracks), decisions, comparison.removed, choice)


def reprocess(
    config: JobConfig, choice: Choice = EVERYTHING, *, progress: ProgressSink | None = None, run_id: str | None = None
) -> ReprocessResult:
    """Carry out what `plan_reprocess` says, and record what the run has changed.

    Raises what `plan_reprocess` and `run_job` raise; what is done by then is kept.
    """
    config = with_absolute_paths(config)
    plan = plan_reprocess(config, choice)
    tracks = [one.track for one in plan.decisions] if choice.is_filter else list(plan.tracks)
    hooks = RunHooks(
        before=lambda beat: _keep_replaced(config.output, plan, beat),
        after=lambda beat: _prune(config.output, plan, beat),
    )
    summary = run_job(config, tracks=tracks, progress=progress, run_id=run_id, retry_failed=True, hooks=hooks)
    changes = _changes(config.output, plan, summary)
    if summary.status == "finished":
        changes += [_change(track, NOT_IN_SOURCE, "pruned") for track in plan.pruned]
    write_changes(config.output, RunChanges(run_id=summary.run_id, changes=tuple(changes)))
    return ReprocessResult(plan, summary, _idle_prompts(config.output, plan, summary))


def parse_moment(text: str) -> float:
    """A date or time in ISO 8601 as seconds since 1970; UTC unless it says otherwise. Raises ConfigError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--since {text}: write a date or time such as 2026-11-22 or 2026-11-22T01:00") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_chosen(decision: Decision, choice: Choice) -> bool:
    if choice.only_failed and (decision.before is None or decision.before.status != "failed"):
        return False
    if choice.since_s is None:
        return True
    times = map(storage.modified_s, storage.uris_of_files(decision.track.video.uri))
    modified_s = max((time for time in times if time is not None), default=None)
    return modified_s is not None and modified_s >= choice.since_s


def _with_sources(chosen: Sequence[Decision], stale: Sequence[Decision]) -> tuple[Decision, ...]:
    """The chosen tracks, with those of the stale ones whose memories they begin with."""
    names, by_name = {one.track.track_id for one in chosen}, {one.track.track_id: one for one in stale}
    for one in chosen:
        source = source_of(one.track)
        while source in by_name and source not in names:
            names.add(source)
            source = source_of(by_name[source].track)
    return tuple(one for one in stale if one.track.track_id in names)


def _keep_replaced(output: str, plan: ReprocessPlan, beat: Callable[[], None]) -> None:
    """Copy the tables that are going to be replaced, under the lease of the run."""
    replaced = [one.track.track_id for one in plan.decisions if one.before is not None]
    if plan.choice.keep_superseded:
        for_each(partial(keep_table, output), replaced, NUM_TRANSFERS, on_progress=beat)


def _idle_prompts(output: str, plan: ReprocessPlan, summary: RunSummary) -> tuple[IdlePrompt, ...]:
    """The new prompts of this run's tracks, whose masks are those of the tables that it has replaced."""
    found: list[IdlePrompt] = []
    for one in plan.decisions:
        track = one.track.track_id
        if one.before is None or not one.before.run_id or "prompts" not in one.reason:
            continue
        before, now = mask_table_uri(superseded_uri(output, one.before.run_id), *track), mask_table_uri(output, *track)
        try:
            if file_metadata(storage.read_bytes(now)).get("run_id") == summary.run_id:
                diffs = diff_tables(track[0], before, now)
                found += [IdlePrompt(*track, frame) for diff in diffs for frame in diff.idle_prompts]
        except FileNotFoundError:
            continue  # the track has failed, or replaced tables are not kept
    return tuple(found)


def _changes(output: str, plan: ReprocessPlan, summary: RunSummary) -> list[Change]:
    """How the chosen tracks have ended, by the ledger. Those that the run did not come to are left out."""
    video_ids = {one.track.video.video_id for one in plan.decisions}
    ended = {
        (ledger.video_id, object_id): entry.status
        for ledger in read_video_ledgers(storage, output, video_ids)
        for object_id, entry in ledger.tracks.items()
        if entry.run_id == summary.run_id
    }
    return [
        _change(one.track.track_id, one.reason, ended[one.track.track_id])
        for one in sorted(plan.decisions, key=_by_track)
        if one.track.track_id in ended
    ]


def _prune(output: str, plan: ReprocessPlan, beat: Callable[[], None]) -> None:
    """Delete tables of tracks and then their entries in the ledger, under the lease of the run.

    In this order, as the next run looks in the ledger for what is to be pruned.
    """
    by_video: dict[str, set[str]] = {}
    for video_id, object_id in plan.pruned:
        by_video.setdefault(video_id, set()).add(object_id)
    for_each(partial(remove_tables, output), plan.pruned, NUM_TRANSFERS, on_progress=beat)
    for_each(lambda one: _delete_entries(output, *one), sorted(by_video.items()), NUM_TRANSFERS, on_progress=beat)


def _change(track: TrackId, reason: str, status: str) -> Change:
    return Change(video_id=track[0], object_id=track[1], reason=reason, status=status)


def _delete_entries(output: str, video_id: str, object_ids: set[str]) -> None:
    ledger = read_video_ledger(storage, output, video_id)
    if ledger is None:
        return
    for object_id in object_ids & ledger.tracks.keys():
        del ledger.tracks[object_id]
    if ledger.tracks:
        write_video_ledger(storage, output, ledger)
    else:
        storage.delete(video_ledger_uri(output, video_id))


def _by_track(decision: Decision) -> TrackId:
    return decision.track.track_id
