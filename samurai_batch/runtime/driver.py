"""The driver: carries out what the scheduler decides, until every track of a job has ended.

    prompts table + ledger + checkpoints ──> scheduler ──orders──> pool of replicas
                                                ^                      │
               ledger <── outcomes ─────────────┴────── reports ───────┘

The output is its only memory: it may be killed at any moment, and the same command continues from what is there.
Time, storage and pool are arguments, so that a simulation runs this very loop.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from samurai_batch.errors import SamuraiBatchError
from samurai_batch.ledger.checkpoints import checkpoints_uri, delete_leftovers
from samurai_batch.ledger.lease import Clock, Holder, Lease, this_process
from samurai_batch.ledger.schema import RunStatus, Totals, TrackProblem
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import Store
from samurai_batch.ledger.writer import LedgerWriter
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.planning.orders import DiscoverOrder, Order, Outcome, PublishOrder, TrackSettled
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.scheduler import Scheduler
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.continuation import begin_continued
from samurai_batch.runtime.detection import read_detections
from samurai_batch.runtime.pool import (
    Answered,
    GrowingPool,
    Pool,
    PoolEvent,
    PoolFailed,
    PoolWaits,
    ReplicaDied,
    ReplicaReady,
)
from samurai_batch.runtime.preparation import Preparation, Preparer
from samurai_batch.runtime.progress import ProgressSink, RunProgress
from samurai_batch.runtime.run_stats import RunStats
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.video_states import VideoState
from samurai_batch.tasks import Track

logger = get_logger(__name__)

FIRST_RATES = Rates(encode_s=1.0, propagate_s=0.25, open_s=1.0)
"""Rates until the first chunks have been measured; they only rank the work against each other."""

MAX_FAILURES_IN_A_ROW = 2
"""Then a replica is replaced. One with a broken device fails faster than others work, and so is given most orders: it
must not use up the attempts of their chunks."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What the driver gets from outside; a simulation replaces all of it."""

    store: Store
    clock: Clock
    progress: ProgressSink
    make_pool: Callable[[], Pool]
    should_stop: Callable[[], bool]
    holder: Holder = field(default_factory=this_process)
    sleep: Callable[[float], None] = time.sleep
    remove_temporaries: Callable[[], None] = lambda: None
    """Removes temporary files of killed processes from the output; called once, under the lease."""


@dataclass(frozen=True)
class RunDescription:
    """What a run's record says of it."""

    run_id: str
    config: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class RunHooks:
    """What else is done to the output under the lease of a run: before all work, and after the run has finished.

    Each is given a function to call often, which keeps the lease; it may raise OutputLockedError.
    """

    before: Callable[[Callable[[], None]], None] = lambda beat: None
    after: Callable[[Callable[[], None]], None] = lambda beat: None


def drive(
    tracks: Sequence[Track],
    recipe: Recipe,
    settings: DriverSettings,
    run: RunDescription,
    environment: Environment,
    hooks: RunHooks | None = None,
) -> RunSummary:
    """Run until every track has ended, or until the environment asks to stop.

    The pool is made only if there is work. Raises OutputLockedError if another run is writing to this output,
    LedgerError, StorageError, and SamuraiBatchError if no replica can be started; what is done by then is kept.
    """
    hooks = hooks or RunHooks()
    lease = Lease(
        environment.store,
        settings.output,
        environment.clock,
        stale_after_s=settings.stale_after_s,
        heartbeat_s=settings.heartbeat_s,
        sleep=environment.sleep,
    )
    lease.acquire(run.run_id, environment.holder, run.config, run.versions)
    driver = _Driver(recipe, settings, lease, environment)
    status: RunStatus = "crashed"
    try:
        hooks.before(lease.beat_if_due)
        driver.prepare(tracks)
        ended: RunStatus = driver.run()
        if ended == "finished":
            hooks.after(lease.beat_if_due)
        status = ended
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        driver.update_record()
        _release(lease, status)
    return RunSummary(run.run_id, settings.output, status, lease.record.totals, tuple(driver.problems))


def _release(lease: Lease, status: RunStatus) -> None:
    try:
        lease.release(status)
    except SamuraiBatchError as error:
        if status == "finished":
            raise
        logger.warning("the end of this run could not be recorded: %s", error)


class _Driver:
    """One run."""

    def __init__(self, recipe: Recipe, settings: DriverSettings, lease: Lease, environment: Environment) -> None:
        self._recipe = recipe
        self._settings = settings
        self._lease = lease
        self._environment = environment
        self._stats = RunStats(environment.clock)
        self._idle: dict[str, None] = {}  # replicas, in the order in which they became idle
        self._videos_to_detect: dict[str, VideoState] = {}  # those whose detections become tracks
        self._carried = CarriedTracks([], Preparer(recipe, environment.store, settings))
        self._waiting_for = ""
        self._waiting_since_s = 0.0
        self._scheduler = Scheduler([], [], {}, settings, FIRST_RATES)
        self._writer = LedgerWriter(
            environment.store, lease, weights_digest=recipe.weights_digest, num_transfers=settings.num_transfers
        )

    @property
    def problems(self) -> list[TrackProblem]:
        """Every track that has failed or is partial."""
        return self._writer.problems

    # -- before the work

    def prepare(self, tracks: Sequence[Track]) -> None:
        """Compare the job with its output; only what is left to do is kept in memory. Raises as `Preparer` does."""
        store, settings = self._environment.store, self._settings
        self._environment.remove_temporaries()
        beat, needed = self._lease.beat_if_due, set[str]()
        carried = self._carried = CarriedTracks(tracks, Preparer(self._recipe, store, settings, on_progress=beat))
        self._stats.count(tracks=carried.num_waiting)
        for part in carried.preparer.parts(carried.first):
            needed.update(part.saved_fingerprints)
            detecting = [one.track for one in part.to_detect if settings.has_detected_tracks(one.track)]
            detecting += [one.track for one in part.discoveries]
            self._videos_to_detect |= {track.video.video_id: part.videos[track.video.video_id] for track in detecting}
            self._enter(part)
        self._enter_carried()
        needed.update(carried.expected_fingerprints())
        delete_leftovers(store, settings.output, needed, settings.num_transfers, beat)
        now, run_id = self._totals(), self._lease.record.run_id
        logger.info("run %s begins; tracks: %d, ended by earlier runs: %d", run_id, now.tracks, now.tracks_skipped)
        self._writer.flush()

    def _enter(self, part: Preparation) -> None:
        """Enter tracks into ledger and scheduler: those that have ended, that cannot start, and that need work."""
        store, settings, beat = self._environment.store, self._settings, self._lease.beat_if_due
        self._carried.prepared(part)
        begin_continued(part.continued, store, settings.output, settings.num_transfers, beat)
        self._writer.add_videos(part.videos[video_id].ledger for video_id in part.open_videos)
        for track, entry in part.settled:
            self._writer.repeat(track, entry)
        for track, failure in part.unreachable:
            self._writer.fail(track, failure)
        ended = Counter(f"tracks_{entry.status}" for _, entry in part.settled)
        ended["tracks_failed"] += len(part.unreachable)
        self._stats.count(tracks=len(part.tracks), tracks_skipped=len(part.settled), **ended)
        for member in part.detected:  # by an earlier run, whose ledger does not say so yet
            outcome = TrackSettled(track=member.track, fingerprint=member.fingerprint, status="done")
            self._writer.apply(outcome)
            self._stats.settled(outcome)
        self._scheduler.add_tracks(part.shards, part.pending, part.known_videos())
        self._scheduler.add_detections(part.detect_batches)
        self._scheduler.add_discoveries(part.discoveries, part.known_videos())
        self._apply(self._scheduler.take_outcomes())

    def _enter_carried(self) -> None:
        """Enter the tracks that have waited for others, as far as these have ended."""
        for part in self._carried.ready():
            self._stats.count(tracks=-len(part.tracks))  # counted while they waited
            self._enter(part)

    # -- the work

    def run(self) -> RunStatus:
        """Work until every track has ended, or until told to stop."""
        if not self._scheduler.is_finished:
            self.update_record()
            with closing(self._lease.keep_during(self._environment.make_pool)) as pool:  # starting Ray may take minutes
                self._loop(pool)
        self.update_record()
        self._writer.write()
        self._show_progress()
        if not self._scheduler.is_finished:
            return "interrupted"
        self._environment.store.delete(checkpoints_uri(self._settings.output))
        return "finished"

    def _loop(self, pool: Pool) -> None:
        while not self._environment.should_stop():
            if self._scheduler.is_finished and self._writer.is_up_to_date:
                break
            if self._writer.delete_invalidated():
                self._assign_orders(pool)
            for event in pool.wait(self._settings.tick_s):
                self._handle_event(event)
            self._replace_replicas(pool)
            self.update_record()
            self._writer.write_if_due(is_urgent=self._scheduler.is_finished)
            self._show_progress()

    def _assign_orders(self, pool: Pool) -> None:
        for assignment in self._scheduler.assign(self._idle):
            del self._idle[assignment.replica_id]
            order = self._completed(assignment.order)
            pool.submit(assignment.replica_id, order)
            self._stats.assigned(assignment.replica_id, order)
        if isinstance(pool, GrowingPool):
            pool.want(self._scheduler.num_waiting)
        is_stuck = self._idle and not self._scheduler.num_running and not self._scheduler.is_finished
        assert not is_stuck, "replicas are idle and tracks are open, but there is no order"

    def _completed(self, order: Order) -> Order:
        """The order with what the scheduler does not know."""
        if isinstance(order, PublishOrder):
            is_source = order.track.track_id in self._carried.sources
            return replace(order, keeps_memories=is_source or self._settings.keep_memories)
        return self._settings.with_detections(order) if isinstance(order, DiscoverOrder) else order

    def _handle_event(self, event: PoolEvent) -> None:
        match event:
            case ReplicaReady(replica_id, device):
                self._stats.ready(replica_id, device)
                self._idle[replica_id] = None
            case Answered(replica_id, report):
                self._stats.reported(replica_id, report)
                self._apply(self._scheduler.handle_report(replica_id, report))
                if self._stats.has_replica(replica_id) and not self._scheduler.is_busy(replica_id):
                    self._idle[replica_id] = None
            case ReplicaDied(replica_id, failure):
                logger.warning("replica %s is gone (%s): %s", replica_id, failure.kind, failure.message)
                self._stats.lost(replica_id, failure.kind)
                self._idle.pop(replica_id, None)
                self._apply(self._scheduler.replica_lost(replica_id, failure))
            case PoolWaits(what):
                if what:
                    logger.info("waiting for %s", what)
                if not self._waiting_for:
                    self._waiting_since_s = self._stats.elapsed_s
                self._waiting_for = what
            case PoolFailed(reason):
                self.update_record()
                self._writer.write()
                raise SamuraiBatchError(f"no replica could be started: {reason}")

    def _apply(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._writer.apply(outcome)
            if isinstance(outcome, TrackSettled):
                self._stats.settled(outcome)
                self._enter_detected(outcome)
                self._carried.settled(outcome)
        self._enter_carried()

    def _enter_detected(self, outcome: TrackSettled) -> None:
        """Enter the tracks that a prompt's detections have become."""
        track = outcome.track
        if outcome.status != "done" or not self._settings.has_detected_tracks(track):
            return
        store, settings = self._environment.store, self._settings
        detected = read_detections(store, settings.output, track, outcome.fingerprint)
        logger.info("%s of %s: %d detected", track.object_id, track.video.video_id, len(detected))
        # Only tracks of discoveries can have checkpoints by now.
        preparer = Preparer(self._recipe, store, settings, may_have_checkpoints=any(one.origin for one in detected))
        self._enter(preparer.prepare(detected, self._videos_to_detect))

    def _replace_replicas(self, pool: Pool) -> None:
        """Replace idle replicas that have done their number of chunks, or that only fail."""
        for replica_id in list(self._idle):
            reason = self._reason_to_replace(replica_id)
            if reason is not None:
                logger.info("replica %s %s and is replaced", replica_id, reason)
                pool.replace(replica_id)
                del self._idle[replica_id]
                self._stats.replaced(replica_id)
                self._apply(self._scheduler.replica_lost(replica_id, Failure(FailureKind.PREEMPTED, "replaced")))

    def _reason_to_replace(self, replica_id: str) -> str | None:
        most, num_chunks = self._settings.chunks_per_replica, self._stats.num_chunks(replica_id)
        if most is not None and num_chunks >= most:
            return f"has propagated {num_chunks} chunks"
        num_failures = self._stats.num_failures_in_a_row(replica_id)
        return f"has failed {num_failures} times in a row" if num_failures >= MAX_FAILURES_IN_A_ROW else None

    # -- telling of it

    def _totals(self) -> Totals:
        return self._stats.totals(self._scheduler.num_splits)

    def update_record(self) -> None:
        """Set what the next heartbeat writes into the run's record."""
        self._lease.update(self._totals(), self._scheduler.rates)

    def _show_progress(self) -> None:
        what, since_s = (self._waiting_for, self._waiting_since_s) if self._waiting_for else self._stats.silence()
        self._environment.progress.show(
            RunProgress(
                totals=self._totals(),
                track_frames_left=self._scheduler.track_frames_left,
                waiting_for=what,
                waiting_s=self._stats.elapsed_s - since_s if what else 0.0,
            )
        )
