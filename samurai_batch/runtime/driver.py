"""The driver: obeys the scheduler until every track of a job is settled. The output is its only memory.

    prompts table + ledger + saved work ──> scheduler ──order──> pool of replicas
                                               ^                      │
              ledger <── outcomes ─────────────┴────── events ────────┘

It may die at any moment: the same command goes on from what stands in the output. Time, storage and pool are
arguments, so that a simulation can run this very loop.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from samurai_batch.errors import SamuraiBatchError
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.planning.orders import Outcome, TrackSettled, VideoCut, VideoLearned, WorkInvalidated
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.scheduler import Scheduler, ScheduleSettings
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.bookkeeper import Bookkeeper, Heartbeat
from samurai_batch.runtime.environment import Clock, Store
from samurai_batch.runtime.found import detected_before, read_detections
from samurai_batch.runtime.hooks import RunHooks
from samurai_batch.runtime.lease import Holder, Lease, this_process
from samurai_batch.runtime.ledger import RunStatus, Totals
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
from samurai_batch.runtime.preparation import Preparation, prepare, prepare_detected, sweep
from samurai_batch.runtime.progress import ProgressSink, RunProgress
from samurai_batch.runtime.recorder import LedgerWriter
from samurai_batch.runtime.run_stats import RunStats
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.summary import RunSummary
from samurai_batch.runtime.video_states import VideoState
from samurai_batch.runtime.work import work_uri
from samurai_batch.tasks import Track

logger = get_logger(__name__)

FIRST_RATES = Rates(encode_s=1.0, propagate_s=0.25, open_s=1.0)
"""Ratios to begin with, until the first chunks have been measured: they only rank what waits."""

MOST_FAILURES_IN_A_ROW = 2
"""Then a replica is replaced: one whose device is broken fails faster than others work, and gets all there is to do. It
may not use up the three tries that a chunk has."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The world as the driver meets it."""

    store: Store
    clock: Clock
    watch: ProgressSink
    make_pool: Callable[[], Pool]
    should_stop: Callable[[], bool]
    holder: Holder = field(default_factory=this_process)
    tidy: Callable[[], None] = lambda: None
    """Removes what killed writers left in the output; called once, with the lease held."""


@dataclass(frozen=True)
class RunDescription:
    """What a run's record says of it."""

    run_id: str
    config: dict[str, Any]
    versions: dict[str, str]


def drive(
    tracks: Sequence[Track],
    recipe: Recipe,
    settings: DriverSettings,
    run: RunDescription,
    world: Environment,
    hooks: RunHooks | None = None,
) -> RunSummary:
    """Settle every track, or stop where the surroundings say so.

    The pool is made only if there is work. Raises OutputLockedError if another run is writing to this output,
    LedgerError, StorageError, and SamuraiBatchError if no replica can be started; what is done by then is kept.
    """
    hooks = hooks or RunHooks()
    lease = Lease(world.store, settings.output, world.clock, stale_after_s=settings.stale_after_s)
    lease.acquire(run.run_id, world.holder, run.config, run.versions)
    driver = None
    status: RunStatus = "crashed"
    heartbeat = Heartbeat(lease, world.clock, settings.heartbeat_s)
    try:
        hooks.before(heartbeat.beat)
        driver = _Driver(recipe, settings, lease, heartbeat, world)
        driver.begin(tracks)
        ending = driver.run()
        if ending == "finished":
            hooks.after(heartbeat.beat)
        status = ending
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        totals = driver.totals() if driver else Totals()
        _release(lease, status, totals, driver.rates if driver else None)
    return RunSummary(run.run_id, settings.output, status, totals, tuple(driver.recorder.problems))


def _release(lease: Lease, status: RunStatus, totals: Totals, rates: Rates | None) -> None:
    try:
        lease.release(status, totals, rates)
    except SamuraiBatchError as error:
        if status == "finished":
            raise
        logger.warning("the end of this run could not be recorded: %s", error)


class _Driver:
    """One run."""

    def __init__(
        self, recipe: Recipe, settings: DriverSettings, lease: Lease, heartbeat: Heartbeat, world: Environment
    ) -> None:
        self._recipe = recipe
        self._settings = settings
        self._run_id = lease.record.run_id
        self._heartbeat = heartbeat
        self._world = world
        self._started_s = world.clock.elapsed_s()
        self._idle: dict[str, None] = {}  # in the order they became idle
        self._replicas: set[str] = set()
        self._waits = PoolWaits("")
        self._waits_since_s = 0.0
        self._asking: dict[str, VideoState] = {}  # videos with prompts to look up
        self._totals = Totals()
        self._stats = RunStats(world.clock.now_s)
        schedule = ScheduleSettings(
            chunk_frames=settings.chunk_frames,
            keep_partial=settings.keep_partial,
            limits=settings.limits,
            split_shards=settings.split_shards,
        )
        self._scheduler = Scheduler([], [], {}, schedule, FIRST_RATES)
        self.recorder = LedgerWriter(
            world.store,
            settings.output,
            run_id=self._run_id,
            weights_digest=recipe.weights_digest,
            num_transfers=settings.num_transfers,
            on_progress=heartbeat.beat,
        )
        self._bookkeeper = Bookkeeper(self.recorder, heartbeat, world.clock, settings)

    @property
    def rates(self) -> Rates:
        """The rates measured so far."""
        return self._scheduler.rates

    def totals(self) -> Totals:
        """What is done so far."""
        return replace(
            self._stats.added_to(self._totals),
            splits=self._scheduler.num_splits,
            seconds=round(self._elapsed_s(), 3),
        )

    def run(self) -> RunStatus:
        """Settle all tracks; returns early when told to stop."""
        if not self._scheduler.is_finished:
            with closing(self._world.make_pool()) as pool:
                self._loop(pool)
        self._update_heartbeat()
        self._bookkeeper.write()
        self._show()
        if not self._scheduler.is_finished:
            return "interrupted"
        self._world.store.delete(work_uri(self._settings.output))
        return "finished"

    def begin(self, tracks: Sequence[Track]) -> None:
        """Take the job in; nothing is kept of what is done already. Raises what `prepare` raises."""
        store, settings = self._world.store, self._settings
        self._world.tidy()
        needed: set[str] = set()
        for part in prepare(tracks, self._recipe, store, settings, on_progress=self._heartbeat.beat):
            needed.update(one.fingerprint for one in part.pending)
            if settings.pictures_per_order is None:  # on pictures, nobody stands for what is found
                asking = {one.track.video.video_id for one in part.asking}
                self._asking.update((video_id, part.videos[video_id]) for video_id in asking)
            self._enter(part)
        sweep(store, settings.output, needed, settings.num_transfers, self._heartbeat.beat)
        logger.info(
            "run %s: %d tracks, %d of them settled already",
            self._run_id,
            self._totals.tracks,
            self._totals.tracks_skipped,
        )
        self.recorder.flush()

    def _enter(self, preparation: Preparation) -> None:
        """Take tracks in: those that are settled, that cannot begin, and that there is something to do for."""
        self.recorder.hold(preparation.videos[video_id].ledger for video_id in preparation.open_videos)
        for track, entry in preparation.settled:
            self.recorder.note(track, entry)
        for track, failure in preparation.unreachable:
            self.recorder.fail_unstarted(track, failure)
        settled = Counter(entry.status for _, entry in preparation.settled)
        totals = self._totals
        self._totals = replace(
            totals,
            tracks=totals.tracks + len(preparation.tracks),
            tracks_skipped=totals.tracks_skipped + len(preparation.settled),
            tracks_done=totals.tracks_done + settled["done"],
            tracks_partial=totals.tracks_partial + settled["partial"],
            tracks_failed=totals.tracks_failed + settled["failed"] + len(preparation.unreachable),
        )
        for member in preparation.found:
            self._settle(detected_before(member))
        self._scheduler.enter(preparation.shards, preparation.pending, preparation.known_videos())
        self._scheduler.enter_detections(preparation.looks)
        self._apply(self._scheduler.take_outcomes())

    def _loop(self, pool: Pool) -> None:
        while not self._is_over and not self._world.should_stop():
            if self._bookkeeper.tidy():
                self._assign_orders(pool)
            for event in pool.wait(self._settings.tick_s):
                self._handle_event(event)
            self._recycle(pool)
            self._update_heartbeat()
            self._bookkeeper.keep_up(is_urgent=self._scheduler.is_finished)
            self._show()

    @property
    def _is_over(self) -> bool:
        return self._scheduler.is_finished and self._bookkeeper.is_done

    def _assign_orders(self, pool: Pool) -> None:
        for assignment in self._scheduler.assign(self._idle):
            del self._idle[assignment.replica_id]
            pool.submit(assignment.replica_id, assignment.order)
            self._stats.given(assignment.replica_id, assignment.order)
        if isinstance(pool, GrowingPool):
            pool.want(self._scheduler.num_waiting)
        is_stuck = self._idle and not self._scheduler.num_running and not self._scheduler.is_finished
        assert not is_stuck, "idle replicas, open tracks and nothing to do"

    def _recycle(self, pool: Pool) -> None:
        """Put new replicas in the place of idle ones that are worn, or that only fail."""
        for replica_id in list(self._idle):
            why = self._why_replaced(replica_id)
            if why is not None:
                logger.info("replica %s %s and is replaced", replica_id, why)
                pool.replace(replica_id)
                del self._idle[replica_id]
                self._replicas.discard(replica_id)
                self._stats.left(replica_id)
                self._apply(self._scheduler.replica_lost(replica_id, Failure(FailureKind.PREEMPTED, "replaced")))

    def _why_replaced(self, replica_id: str) -> str | None:
        most, num_chunks = self._settings.chunks_per_replica, self._stats.num_chunks(replica_id)
        if most is not None and num_chunks >= most:
            return f"has followed {num_chunks} chunks"
        num_failures = self._stats.num_failures_in_a_row(replica_id)
        return f"has failed {num_failures} times in a row" if num_failures >= MOST_FAILURES_IN_A_ROW else None

    def _handle_event(self, event: PoolEvent) -> None:
        match event:
            case ReplicaReady(replica_id):
                self._replicas.add(replica_id)
                self._stats.ready(replica_id)
                self._idle[replica_id] = None
            case Answered(replica_id, report):
                self._stats.answered(replica_id, report)
                self._apply(self._scheduler.reported(replica_id, report))
                if replica_id in self._replicas and not self._scheduler.is_busy(replica_id):
                    self._idle[replica_id] = None
            case ReplicaDied(replica_id, failure):
                logger.warning("replica %s is gone (%s): %s", replica_id, failure.kind, failure.message)
                self._replicas.discard(replica_id)
                self._stats.lost(replica_id, failure.kind)
                self._idle.pop(replica_id, None)
                self._totals = replace(self._totals, replicas_lost=self._totals.replicas_lost + 1)
                self._apply(self._scheduler.replica_lost(replica_id, failure))
            case PoolWaits(what):
                if what:
                    logger.info("waiting for %s", what)
                self._waits_since_s = self._waits_since_s if self._waits.what else self._elapsed_s()
                self._waits = event
            case PoolFailed(reason):
                self._update_heartbeat()
                self._bookkeeper.write()
                raise SamuraiBatchError(f"no replica could be started: {reason}")

    def _apply(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case TrackSettled():
                    self._settle(outcome)
                    self._enter_detected(outcome)
                case WorkInvalidated(fingerprint, reverse):
                    self.recorder.invalidate(fingerprint, reverse)
                case VideoLearned(video_id, facts):
                    self.recorder.learn(video_id, facts)
                case VideoCut(video_id, failure):
                    self.recorder.learn_cut(video_id, failure)

    def _enter_detected(self, outcome: TrackSettled) -> None:
        """Let the tracks in that stand for a prompt which was looked up; on pictures, nothing is left to do."""
        if (
            outcome.track.auto_prompt is None
            or outcome.status != "done"
            or self._settings.pictures_per_order is not None
        ):
            return
        found = read_detections(self._world.store, self._settings.output, outcome.track, outcome.fingerprint)
        logger.info("%s of %s: %d found", outcome.track.object_id, outcome.track.video.video_id, len(found))
        self._enter(prepare_detected(found, self._asking, self._recipe, self._world.store, self._settings))

    def _settle(self, outcome: TrackSettled) -> None:
        self.recorder.settle(outcome)
        name = f"tracks_{outcome.status}"
        self._totals = replace(
            self._totals, rows=self._totals.rows + outcome.num_rows, **{name: getattr(self._totals, name) + 1}
        )

    def _update_heartbeat(self) -> None:
        self._heartbeat.told = (self.totals(), self.rates)

    def _show(self) -> None:
        self._world.watch.show(
            RunProgress(
                totals=self.totals(),
                track_frames_left=self._scheduler.track_frames_left,
                waiting_for=self._waits.what,
                waiting_s=self._elapsed_s() - self._waits_since_s if self._waits.what else 0.0,
            )
        )

    def _elapsed_s(self) -> float:
        return self._world.clock.elapsed_s() - self._started_s
