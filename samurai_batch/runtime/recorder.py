"""Outcomes into the ledger: the driver's pen.

A track's ledger entry is written before its saved work is removed, so that a crash between the two leaves
something to remove and nothing to compute.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from samurai_batch.masks import mask_table_uri
from samurai_batch.planning.orders import TrackSettled
from samurai_batch.planning.retry import Failure
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.environment import Store
from samurai_batch.runtime.ledger import Cut, TrackEntry, VideoLedger, write_video_ledger
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.summary import TrackProblem
from samurai_batch.runtime.work import discard_leg, discard_track
from samurai_batch.tasks import Track

logger = get_logger(__name__)


class LedgerWriter:
    """Holds the ledgers of videos with open tracks, and writes those that have changed when told to.

    ``meanwhile`` is called now and then while much is written.
    """

    def __init__(
        self,
        store: Store,
        output: str,
        *,
        run_id: str,
        weights_digest: str,
        num_transfers: int,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._output = output
        self._ledgers: dict[str, VideoLedger] = {}
        self._run_id = run_id
        self._weights_digest = weights_digest
        self._num_transfers = num_transfers
        self._on_progress = on_progress
        self._changed: set[str] = set()
        self._finished_work: list[str] = []
        self._unwanted_tables: list[str] = []
        self._invalidated: list[tuple[str, bool]] = []
        self.problems: list[TrackProblem] = []
        """Every track recorded that is not "done"."""

    def hold(self, ledgers: Iterable[VideoLedger]) -> None:
        """Take in ledgers that are going to change; one that is held already is the newer one."""
        for ledger in ledgers:
            self._ledgers.setdefault(ledger.video_id, ledger)

    def learn(self, video_id: str, facts: VideoFacts) -> None:
        """Keep a video's length and size with its next entry."""
        self._ledgers[video_id] = replace(self._ledgers[video_id], facts=facts)

    def learn_cut(self, video_id: str, failure: Failure) -> None:
        """Keep where a video ends before its end, for a run that goes on with what is saved."""
        assert failure.frame_reached is not None
        self._ledgers[video_id] = replace(self._ledgers[video_id], cut=Cut(failure.frame_reached, failure.message))
        self._changed.add(video_id)

    def invalidate(self, fingerprint: str, reverse: bool) -> None:
        """The saved work of one direction of a track is not to be gone on with."""
        self._invalidated.append((fingerprint, reverse))

    def settle(self, outcome: TrackSettled) -> None:
        """Enter how a track ended; its saved work is no longer needed."""
        failure = outcome.failure
        entry = TrackEntry(
            fingerprint=outcome.fingerprint,
            status=outcome.status,
            rows=outcome.num_rows,
            seconds=round(outcome.seconds, 3),
            attempts=outcome.attempts,
            weights_digest=self._weights_digest,
            run_id=self._run_id,
            video=self._ledgers[outcome.track.video.video_id].identity,
            error=failure.message if failure else None,
            error_kind=failure.kind if failure else None,
            frame_reached=failure.frame_reached if failure else None,
        )
        self._enter(outcome.track, entry)
        self._finished_work.append(outcome.fingerprint)

    def fail_unstarted(self, track: Track, failure: Failure) -> None:
        """Enter a track that failed before any work: there is not even a fingerprint."""
        entry = TrackEntry(
            fingerprint=None,
            status="failed",
            rows=0,
            seconds=0.0,
            attempts=1,
            weights_digest=self._weights_digest,
            run_id=self._run_id,
            error=failure.message,
            error_kind=failure.kind,
            frame_reached=failure.frame_reached,
        )
        self._enter(track, entry)

    def note(self, track: Track, entry: TrackEntry) -> None:
        """Count an entry of an earlier run among the problems, if it is one."""
        if entry.status != "done":
            self._add_problem(track, entry)

    @property
    def has_news(self) -> bool:
        """Whether anything is to be written or removed."""
        return bool(self._changed or self._unwanted_tables or self._finished_work or self._invalidated)

    @property
    def has_invalidated(self) -> bool:
        """Whether there is saved work that nobody may go on with."""
        return bool(self._invalidated)

    def remove_invalidated(self) -> None:
        """Remove saved work that nobody may go on with. Raises StorageError; then it is still to be done."""
        while self._invalidated:
            discard_leg(self._store, self._output, *self._invalidated[0])
            del self._invalidated[0]

    def flush(self) -> None:
        """Write what has changed, then remove the saved work of finished tracks.

        Raises StorageError; what could not be done is done by the next call.
        """
        self.remove_invalidated()
        self._do_all(self._write, sorted(self._changed), self._changed.discard)
        self._do_all(self._store.delete, list(self._unwanted_tables), self._unwanted_tables.remove)
        self._do_all(self._discard, list(self._finished_work), self._finished_work.remove)

    def _do_all(self, action: Callable[[str], None], names: Sequence[str], done: Callable[[str], None]) -> None:
        def do(name: str) -> None:
            action(name)
            done(name)

        for_each(do, names, self._num_transfers, on_progress=self._on_progress)

    def _discard(self, fingerprint: str) -> None:
        discard_track(self._store, self._output, fingerprint)

    def _write(self, video_id: str) -> None:
        write_video_ledger(self._store, self._output, self._ledgers[video_id])

    def _enter(self, track: Track, entry: TrackEntry) -> None:
        video_id = track.video.video_id
        tracks = self._ledgers[video_id].tracks
        before = tracks.get(track.object_id)
        if before is not None and before.status == "partial" and entry.status == "failed":
            self._unwanted_tables.append(mask_table_uri(self._output, video_id, track.object_id))
        tracks[track.object_id] = entry
        self._changed.add(video_id)
        if entry.status != "done":
            logger.warning("track %s of video %s %s: %s", track.object_id, video_id, entry.status, entry.error)
            self._add_problem(track, entry)

    def _add_problem(self, track: Track, entry: TrackEntry) -> None:
        problem = TrackProblem(track.video.video_id, track.object_id, entry.status, entry.error or "")
        self.problems.append(problem)
