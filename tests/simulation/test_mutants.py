"""Mutation tests: with one rule of the driver or scheduler broken, the simulation fails."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from samurai_batch.ledger.lease import Lease
from samurai_batch.ledger.writer import LedgerWriter
from samurai_batch.planning import scheduler as scheduling
from samurai_batch.planning.backlog import Backlog
from samurai_batch.planning.job_state import JobState
from samurai_batch.planning.orders import ChunkPropagated, Outcome, Report, TrackSettled
from samurai_batch.planning.records import LegRecord, ShardRecord, TrackRecord, VideoRecord
from samurai_batch.planning.retry import Failure, Verdict
from samurai_batch.planning.scheduler import Scheduler
from samurai_batch.runtime import driver as driving
from samurai_batch.runtime import preparation
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.run_stats import RunStats
from tests.simulation.scenario import CARRIED_FROM, Scenario

Patch = pytest.MonkeyPatch
SEEDS = (100, 201, 284, 374, 405, 555, 723, 773, *range(100), *range(CARRIED_FROM, CARRIED_FROM + 30))


def the_ledger_is_written_before_the_lease_is_checked(patch: Patch) -> None:
    def write(self: LedgerWriter) -> None:
        self.flush()
        self._lease.beat()

    patch.setattr(LedgerWriter, "write", write)


def the_lease_is_never_checked(patch: Patch) -> None:
    patch.setattr(Lease, "_check_ours", lambda self: None)


def a_run_starts_beside_a_live_one(patch: Patch) -> None:
    patch.setattr(Lease, "_refuse_if_held", lambda self, names: None)


def finished_legs_are_not_cut_by_a_truncation(patch: Patch) -> None:
    original = JobState._truncate_track

    def cut(self: JobState, track: TrackRecord, leg: LegRecord, failure: Failure, frame_reached: int) -> None:
        if leg.left:
            original(self, track, leg, failure, frame_reached)

    patch.setattr(JobState, "_truncate_track", cut)


def answers_that_come_twice_are_counted_twice(patch: Patch) -> None:
    original = RunStats.reported

    def reported(self: RunStats, replica_id: str, report: Report) -> None:
        if replica_id not in self._orders and isinstance(report, ChunkPropagated):
            self._stats += report.stats
        original(self, replica_id, report)

    patch.setattr(RunStats, "reported", reported)


def a_late_answer_makes_a_busy_replica_idle(patch: Patch) -> None:
    patch.setattr(Scheduler, "is_busy", lambda self, replica_id: False)


def tracks_that_a_shard_gives_away_are_forgotten(patch: Patch) -> None:
    patch.setattr(Backlog, "add_all", lambda self, works: [self.add(one) for one in works if not _is_part(one)])


def _is_part(work: Any) -> bool:
    return isinstance(work, ShardRecord) and any(leg.next_chunk for leg in work.legs)


def a_shard_keeps_the_tracks_it_gives_away(patch: Patch) -> None:
    original = Backlog._split

    def spread(self: Backlog, shard: ShardRecord) -> None:
        legs = list(shard.legs)
        original(self, shard)
        shard.legs = legs

    patch.setattr(Backlog, "_split", spread)


def failed_ledger_writes_are_not_retried(patch: Patch) -> None:
    original = LedgerWriter.flush

    def flush(self: LedgerWriter) -> None:
        try:
            original(self)
        finally:
            self._changed.clear()

    patch.setattr(LedgerWriter, "flush", flush)


def the_shard_of_a_lost_replica_is_forgotten(patch: Patch) -> None:
    original = Scheduler.replica_lost

    def replica_lost(self: Scheduler, replica_id: str, failure: Failure) -> list[Outcome]:
        self._backlog._paused.pop(replica_id, None)
        return original(self, replica_id, failure)

    patch.setattr(Scheduler, "replica_lost", replica_lost)


def the_order_of_a_lost_replica_is_forgotten(patch: Patch) -> None:
    patch.setattr(Scheduler, "replica_lost", lambda self, replica_id, failure: [])


def replicas_are_sacrificed_without_limit(patch: Patch) -> None:
    patch.setattr(scheduling, "decide", lambda *args, **kwargs: Verdict.AGAIN)


def one_finished_direction_is_enough_to_publish(patch: Patch) -> None:
    def publish(self: JobState, track: TrackRecord) -> None:
        if track.is_open and not track.is_publishing and any(not leg.left for leg in track.legs):
            track.is_publishing = True
            self.to_publish.append(track)

    patch.setattr(JobState, "_publish_if_complete", publish)


def a_chunk_is_skipped(patch: Patch) -> None:
    original = JobState.advance
    patch.setattr(JobState, "advance", lambda self, legs, chunk: original(self, legs, chunk + (chunk == 1)))


def a_shard_goes_to_two_replicas(patch: Patch) -> None:
    original = Scheduler._make_order

    def begin(self: Scheduler, replica_id: str, work: Any) -> Any:
        if isinstance(work, ShardRecord):
            self._backlog.add(work)
        return original(self, replica_id, work)

    patch.setattr(Scheduler, "_make_order", begin)


def the_ledger_is_ignored_on_resume(patch: Patch) -> None:
    patch.setattr(preparation.Preparer, "_is_settled", lambda *args: False)


def finished_tracks_are_not_in_the_ledger(patch: Patch) -> None:
    original = LedgerWriter._write_video

    def write(self: LedgerWriter, video_id: str) -> None:
        kept = {name: entry for name, entry in self._ledgers[video_id].tracks.items() if entry.status != "done"}
        self._ledgers[video_id] = replace(self._ledgers[video_id], tracks=kept)
        original(self, video_id)

    patch.setattr(LedgerWriter, "_write_video", write)


def saved_work_is_not_deleted(patch: Patch) -> None:
    patch.setattr(driving, "checkpoints_uri", lambda output: f"{output}/_elsewhere")
    patch.setattr("samurai_batch.ledger.writer.delete_track", lambda *args: None)


def invalid_tracks_are_given_up_without_a_reason(patch: Patch) -> None:
    original = JobState.give_up

    def give_up(self: JobState, tracks: Iterable[TrackRecord], failure: Failure) -> None:
        original(self, tracks, replace(failure, message=""))

    patch.setattr(JobState, "give_up", give_up)


def a_truncation_shortens_the_video_and_nothing_else(patch: Patch) -> None:
    def truncate(self: JobState, video: VideoRecord, failure: Failure) -> None:
        video.readable_frames = failure.frame_reached
        self._update_tracks(video)

    patch.setattr(JobState, "truncate", truncate)


def memories_are_not_kept(patch: Patch) -> None:
    patch.setattr("samurai_batch.runtime.replica.keep_memories", lambda *args: None)


def tracks_whose_source_has_failed_are_forgotten(patch: Patch) -> None:
    original = CarriedTracks.settled

    def settled(self: CarriedTracks, outcome: TrackSettled) -> None:
        if outcome.status != "failed":
            original(self, outcome)

    patch.setattr(CarriedTracks, "settled", settled)


MUTANTS: list[Callable[[Patch], None]] = [
    the_ledger_is_written_before_the_lease_is_checked,
    the_lease_is_never_checked,
    a_run_starts_beside_a_live_one,
    a_late_answer_makes_a_busy_replica_idle,
    tracks_that_a_shard_gives_away_are_forgotten,
    a_shard_keeps_the_tracks_it_gives_away,
    failed_ledger_writes_are_not_retried,
    finished_legs_are_not_cut_by_a_truncation,
    answers_that_come_twice_are_counted_twice,
    the_shard_of_a_lost_replica_is_forgotten,
    the_order_of_a_lost_replica_is_forgotten,
    replicas_are_sacrificed_without_limit,
    one_finished_direction_is_enough_to_publish,
    a_chunk_is_skipped,
    a_shard_goes_to_two_replicas,
    the_ledger_is_ignored_on_resume,
    finished_tracks_are_not_in_the_ledger,
    saved_work_is_not_deleted,
    invalid_tracks_are_given_up_without_a_reason,
    a_truncation_shortens_the_video_and_nothing_else,
    memories_are_not_kept,
    tracks_whose_source_has_failed_are_forgotten,
]


def breaks_something(seed: int) -> bool:
    try:
        Scenario(seed).run()
    except Exception:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_driver_broken_on_purpose_is_caught(
    mutant: Callable[[Patch], None], monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    mutant(monkeypatch)
    assert any(breaks_something(seed) for seed in SEEDS)
