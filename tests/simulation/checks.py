"""Invariants of every scenario, checked at each write, at each order, and at the end."""

import json
from collections.abc import Callable

from samurai_batch.ledger.lease import lease_uri
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import read_video_ledger, run_uri, video_ledger_uri
from samurai_batch.masks import bytes_to_table, mask_table_uri
from samurai_batch.planning.orders import DetectOrder, DiscoverOrder, Order, PropagateOrder, PublishOrder
from samurai_batch.tasks import Track
from tests.simulation.accounts import Accounts
from tests.simulation.jobs import Ending, SimulatedJob
from tests.simulation.stores import MemoryStore

IS_PUBLISHED = ("done", "partial")


class Checks:
    """Checks the store directly, without simulated faults."""

    def __init__(
        self, job: SimulatedJob, store: MemoryStore, output: str, now_s: Callable[[], float], stale_after_s: float
    ) -> None:
        self._now_s = now_s
        self._stale_after_s = stale_after_s
        self._job = job
        self._store = store
        self._output = output
        self._all = [*job.tracks, *(track for found in job.found.values() for track in found)]
        self._tables = {self._table_uri(track): self._ending(track) for track in self._all}
        self._ledgers = {video_ledger_uri(output, track.video.video_id): track.video.video_id for track in job.tracks}
        self._seen: dict[str, bytes] = {}
        self._num_failed = 0
        store.on_write = self.written

    # -- during a run

    def written(self, uri: str, data: bytes) -> None:
        """An object is about to be written."""
        if uri in self._ledgers:
            self._ledger_written(self._ledgers[uri], data)
        elif uri.startswith(lease_uri(self._output)):
            self._lease_taken(str(json.loads(data)["run_id"]))
        elif uri in self._tables and self._seen.get(uri) != data:
            expected = self._tables[uri].table
            assert expected is not None, f"{uri} is published, though its video is unusable"
            assert bytes_to_table(data).equals(expected), f"{uri} is published with rows missing, double or wrong"
            self._seen[uri] = data

    def given(self, run_id: str, order: Order) -> None:
        """No order is for a finished track, unless the run has lost its lease and does not know it yet."""
        if self._lease_holder() != run_id:
            return
        for track in _tracks_of(order):
            entry = self.entries(track.video.video_id).get(track.object_id)
            assert entry is None or entry.status not in IS_PUBLISHED, f"{order} is for a track that is {entry}"

    def finished(self, summary: RunSummary, accounts: Accounts | None) -> None:
        """The totals of a finished run agree with the store and with the pool."""
        totals, counted = summary.totals, accounts or Accounts()
        assert not self._store.list_names(f"{self._output}/_work"), "saved work was not deleted"
        assert totals.stats.track_frames == counted.stats.track_frames
        assert totals.stats.frames_encoded == counted.stats.frames_encoded
        assert totals.replicas_lost == counted.replicas_lost
        entries = [self._entry(track) for track in self._known()]
        statuses = [entry.status for entry in entries]
        assert totals.tracks == len(entries)
        assert totals.tracks_done == statuses.count("done")
        assert totals.tracks_partial == statuses.count("partial")
        assert totals.tracks_failed == statuses.count("failed")
        assert totals.rows == sum(entry.rows for entry in entries if entry.run_id == summary.run_id)
        assert totals.tracks_skipped == sum(entry.run_id != summary.run_id for entry in entries)
        assert len(summary.problems) == len(entries) - totals.tracks_done

    # -- at the end

    def after_troubles(self) -> None:
        """Every track is published or has failed with a reason."""
        self._num_failed = 0
        for track in self._known():
            entry, ending = self._entry(track), self._ending(track)
            if entry.status == "failed":
                self._num_failed += 1
                assert entry.error, f"{track} failed without a reason"
                assert entry.error_kind is not None
            else:
                assert entry.status == ending.status, f"{track} is {entry.status} and should be {ending.status}"

    def after_calm(self, *, has_worked: bool) -> None:
        """After a run without faults, only tracks with unusable input are failed, and nothing was done in vain."""
        known = self._known()
        for track in self._job.tracks:
            is_known = set(self._job.found.get(_key(track), ())) <= set(known)
            assert is_known or self._ending(track).status == "failed", f"a detection of {track} is not tracked"
        for track in known:
            ending = self._ending(track)
            assert self._entry(track).status == ending.status, f"{track}: {self._entry(track)}"
            assert (self._table_uri(track) in self._store.objects) == (ending.table is not None)
        assert self._num_failed or not has_worked, "replicas were started for nothing"

    def _known(self) -> list[Track]:
        """The tracks of the job, and those of their detections."""
        with_auto_prompt = [track for track in self._job.tracks if _key(track) in self._job.found]
        detected = [track for track in with_auto_prompt if self._entry(track).status == "done"]
        return [*self._job.tracks, *(one for track in detected for one in self._job.found[_key(track)])]

    def entries(self, video_id: str) -> dict[str, TrackEntry]:
        ledger = read_video_ledger(self._store, self._output, video_id)
        return ledger.tracks if ledger else {}

    def _lease_taken(self, run_id: str) -> None:
        """The lease may be taken only from a run that has ended or has sent no heartbeat for long."""
        if self._store.list_names(lease_uri(self._output)):
            before = json.loads(self._store.objects[run_uri(self._output, self._lease_holder())])
            age_s = self._now_s() - before["heartbeat_at_s"]
            is_alive = before["status"] == "running" and age_s <= self._stale_after_s
            assert not is_alive, (
                f"{run_id} starts beside {before['run_id']}, whose last heartbeat was {age_s:.0f} s ago"
            )

    def _ledger_written(self, video_id: str, data: bytes) -> None:
        tracks = json.loads(data)["tracks"]
        for object_id, entry in tracks.items():
            uri = mask_table_uri(self._output, video_id, object_id)
            if (video_id, object_id) in self._job.found:
                uri = f"{self._output}/_prompts/{entry['fingerprint']}.json"
            exists = uri in self._store.objects
            assert exists or entry["status"] not in IS_PUBLISHED, f"{object_id} of {video_id} is done without a table"
        for object_id, before in self.entries(video_id).items():
            if before.status in IS_PUBLISHED:
                assert tracks.get(object_id, {}).get("status") == before.status, (
                    f"the ledger forgets that track {object_id} of video {video_id} is {before.status}"
                )

    def _entry(self, track: Track) -> TrackEntry:
        entries = self.entries(track.video.video_id)
        assert track.object_id in entries, f"{track} is lost"
        return entries[track.object_id]

    def _ending(self, track: Track) -> Ending:
        return self._job.endings[_key(track)]

    def _table_uri(self, track: Track) -> str:
        return mask_table_uri(self._output, track.video.video_id, track.object_id)

    def _lease_holder(self) -> str:
        folder = lease_uri(self._output)
        newest = max(self._store.list_names(folder))
        return str(json.loads(self._store.objects[f"{folder}/{newest}"])["run_id"])


def _key(track: Track) -> tuple[str, str]:
    return track.video.video_id, track.object_id


def _tracks_of(order: Order) -> list[Track]:
    match order:
        case PropagateOrder():
            return [leg.track for leg in order.legs]
        case DiscoverOrder():
            return [order.track]
        case DetectOrder():
            return [member.track for member in order.members]
        case PublishOrder():
            return [order.track]
        case _:
            return []
