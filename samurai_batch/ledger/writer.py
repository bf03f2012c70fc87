"""Writes what a run decides into the ledger, and deletes what is no longer needed.

Decisions are collected and written together with the run's heartbeat, every few seconds. A track's entry is written
before its checkpoints are deleted: a crash between the two leaves files to delete and nothing to compute.

While storage fails, everything is kept and tried again, less and less often. Once the run could show no heartbeat for
so long that another run may take its output over, the error of storage ends the run.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

from samurai_batch.background import for_each
from samurai_batch.errors import StorageError
from samurai_batch.ledger.checkpoints import delete_leg, delete_track
from samurai_batch.ledger.kept_states import delete_other_states, list_videos_with_states
from samurai_batch.ledger.lease import Lease
from samurai_batch.ledger.schema import Cut, TrackEntry, TrackProblem, VideoLedger
from samurai_batch.ledger.store import Store, write_video_ledger
from samurai_batch.masks import mask_table_uri
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.orders import (
    Outcome,
    TrackSettled,
    TrackStatus,
    VideoFactsKnown,
    VideoTruncated,
    WorkInvalidated,
)
from samurai_batch.planning.retry import Failure
from samurai_batch.redaction import get_logger
from samurai_batch.tasks import Track

logger = get_logger(__name__)


class LedgerWriter:
    """Holds the ledgers of videos with open tracks, and writes those that have changed, under the lease of the run.

    ``weights_digest`` goes into every entry.
    """

    def __init__(self, store: Store, lease: Lease, *, weights_digest: str, num_transfers: int) -> None:
        self._store = store
        self._lease = lease
        self._output = lease.output
        self._weights_digest = weights_digest
        self._num_transfers = num_transfers
        self._ledgers: dict[str, VideoLedger] = {}
        self._changed: set[str] = set()  # videos whose ledger is to be written
        self._old_tables: list[str] = []  # mask tables to delete
        self._replaced: list[tuple[str, str, str]] = []  # (video_id, object_id, fingerprint) of published tracks
        self._finished: list[str] = []  # fingerprints whose checkpoints are to be deleted
        self._invalidated: list[WorkInvalidated] = []
        self._succeeded_s = lease.clock.elapsed_s()
        self._next_s = self._succeeded_s + lease.heartbeat_s
        self._num_failures = 0
        self.problems: list[TrackProblem] = []
        """Every track recorded that is not "done"."""

    # -- collecting

    def add_videos(self, ledgers: Iterable[VideoLedger]) -> None:
        """Hold ledgers that are going to change, unless a newer one of the same video is held already."""
        for ledger in ledgers:
            self._ledgers.setdefault(ledger.video_id, ledger)

    def apply(self, outcome: Outcome) -> None:
        """Take in what the scheduler has concluded."""
        match outcome:
            case TrackSettled():
                self._collect_replaced(outcome)
                self._enter(
                    outcome.track,
                    outcome.failure,
                    status=outcome.status,
                    fingerprint=outcome.fingerprint,
                    rows=outcome.num_rows,
                    seconds=round(outcome.seconds, 3),
                    attempts=outcome.attempts,
                    video=self._ledgers[outcome.track.video.video_id].identity,
                )
                self._finished.append(outcome.fingerprint)
            case WorkInvalidated():
                self._invalidated.append(outcome)
            case VideoFactsKnown(video_id, facts):
                before = self._ledgers[video_id].facts
                self._ledgers[video_id] = replace(self._ledgers[video_id], facts=facts)
                if facts.scene_cuts is not None and facts != before:  # they took a pass over the video
                    self._changed.add(video_id)
            case VideoTruncated(video_id, failure):
                assert failure.frame_reached is not None
                cut = Cut(failure.frame_reached, failure.message)
                self._ledgers[video_id] = replace(self._ledgers[video_id], cut=cut)
                self._changed.add(video_id)

    def _collect_replaced(self, outcome: TrackSettled) -> None:
        """Have the states kept with an earlier table deleted; while a track fails, it may still go on from them."""
        video_id, object_id = outcome.track.track_id
        before = self._ledgers[video_id].tracks.get(object_id)
        if before is None or outcome.status == "failed":
            return
        if before.status == "failed" or before.fingerprint != outcome.fingerprint:
            self._replaced.append((video_id, object_id, outcome.fingerprint))

    def fail(self, track: Track, failure: Failure) -> None:
        """Enter a track that failed before any work, without a fingerprint."""
        self._enter(track, failure)

    def repeat(self, track: Track, entry: TrackEntry) -> None:
        """Count an entry of an earlier run among the problems, if it is one."""
        if entry.status != "done":
            self.problems.append(TrackProblem(track.video.video_id, track.object_id, entry.status, entry.error or ""))

    def _enter(
        self,
        track: Track,
        failure: Failure | None,
        *,
        status: TrackStatus = "failed",
        fingerprint: str | None = None,
        rows: int = 0,
        seconds: float = 0.0,
        attempts: int = 1,
        video: VideoIdentity | None = None,
    ) -> None:
        entry = TrackEntry(
            fingerprint=fingerprint,
            status=status,
            rows=rows,
            seconds=seconds,
            attempts=attempts,
            weights_digest=self._weights_digest,
            run_id=self._lease.record.run_id,
            video=video,
            error=failure.message if failure else None,
            error_kind=failure.kind if failure else None,
            frame_reached=failure.frame_reached if failure else None,
        )
        video_id = track.video.video_id
        tracks = self._ledgers[video_id].tracks
        before = tracks.get(track.object_id)
        if before is not None and before.status == "partial" and entry.status == "failed":
            self._old_tables.append(mask_table_uri(self._output, video_id, track.object_id))
        tracks[track.object_id] = entry
        self._changed.add(video_id)
        if entry.status != "done":
            logger.warning("track %s of video %s %s: %s", track.object_id, video_id, entry.status, entry.error)
        self.repeat(track, entry)

    # -- writing

    @property
    def is_up_to_date(self) -> bool:
        """Whether nothing is left to be written or deleted."""
        return not (self._changed or self._old_tables or self._replaced or self._finished or self._invalidated)

    def write_if_due(self, *, is_urgent: bool = False) -> None:
        """Show a heartbeat and write what is new, if it is time; what is urgent is written at once.

        Raises OutputLockedError if another run has taken over, and StorageError if storage has failed for too long.
        """
        if self._is_due or (is_urgent and not self._num_failures):
            self._try(self.write)

    def delete_invalidated(self) -> bool:
        """Delete the checkpoints that must not be continued; whether none of them is left. Raises StorageError."""
        if self._invalidated and (not self._num_failures or self._is_due):
            self._try(self._delete_invalidated)
        return not self._invalidated

    def write(self) -> None:
        """Show a heartbeat, which makes sure that the lease is still ours, and write what is new.

        Raises OutputLockedError, and StorageError; what could not be done is done by the next call.
        """
        self._lease.beat()
        self.flush()

    def flush(self) -> None:
        """Write what is new, without a heartbeat, for a run that has just taken its lease."""
        self._delete_invalidated()
        beat = self._lease.beat_if_due
        if self._replaced:
            self._replaced = [one for one in self._replaced if one[0] in self._videos_with_states]
        # Before the entry, or a crash would leave them: without their table they are of no use.
        for_each(self._delete_replaced, list(self._replaced), self._num_transfers, on_progress=beat)
        for_each(self._write_video, sorted(self._changed), self._num_transfers, on_progress=beat)
        for_each(self._delete_table, list(self._old_tables), self._num_transfers, on_progress=beat)
        for_each(self._delete_checkpoints, list(self._finished), self._num_transfers, on_progress=beat)

    @cached_property
    def _videos_with_states(self) -> set[str]:
        """Once for the whole run: of what it replaces, states can only be there from runs before it."""
        return list_videos_with_states(self._store, self._output)

    @property
    def _is_due(self) -> bool:
        return self._lease.clock.elapsed_s() >= self._next_s

    def _try(self, action: Callable[[], None]) -> None:
        clock, every_s, patience_s = self._lease.clock, self._lease.heartbeat_s, self._lease.stale_after_s
        try:
            action()
        except StorageError as error:
            now_s = clock.elapsed_s()
            if now_s - self._succeeded_s > patience_s:
                raise
            self._next_s = now_s + min(every_s * 2**self._num_failures, patience_s / 4)
            self._num_failures += 1
            logger.warning("storage fails, trying again in %.0f s: %s", self._next_s - now_s, error)
        else:
            self._succeeded_s = clock.elapsed_s()
            self._next_s = self._succeeded_s + every_s
            self._num_failures = 0

    def _delete_invalidated(self) -> None:
        while self._invalidated:
            delete_leg(self._store, self._output, self._invalidated[0].fingerprint, self._invalidated[0].reverse)
            del self._invalidated[0]

    def _delete_checkpoints(self, fingerprint: str) -> None:
        delete_track(self._store, self._output, fingerprint)
        self._finished.remove(fingerprint)

    def _delete_table(self, uri: str) -> None:
        self._store.delete(uri)
        self._old_tables.remove(uri)

    def _delete_replaced(self, published: tuple[str, str, str]) -> None:
        delete_other_states(self._store, self._output, *published)
        self._replaced.remove(published)

    def _write_video(self, video_id: str) -> None:
        write_video_ledger(self._store, self._output, self._ledgers[video_id])
        self._changed.discard(video_id)
