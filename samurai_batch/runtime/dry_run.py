"""What a run would do, how long it would take, and what it would cost. Writes nothing; needs no GPU, weights or Ray.

Times come from the rates that an earlier run has measured. They depend on machine, model and image size: measure them
by a pilot run of a few videos on the GPUs to be used.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samurai_batch import storage
from samurai_batch.job import JobConfig
from samurai_batch.ledger.schema import TrackProblem
from samurai_batch.ledger.store import Store, list_runs, read_run
from samurai_batch.planning.chunks import frames_left
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.resume import NOTHING_SAVED, SavedWork, next_chunk
from samurai_batch.planning.shards import Shard, cost_s
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.driver import FIRST_RATES
from samurai_batch.runtime.preparation import Preparation, Preparer
from samurai_batch.runtime.recipe import checked_tracks, job_recipe, with_absolute_paths, with_detections
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.source_checks import check_sources
from samurai_batch.tasks import Track, TrackId


@dataclass(frozen=True)
class PlannedShard:
    """Tracks that one replica propagates together. ``num_frames`` is an estimate if the video's length is unknown."""

    video_id: str
    reverse: bool
    num_tracks: int
    num_frames: int
    is_estimate: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run of this job would do, if its weights are those that the ledger knows.

    ``shards`` are of pending tracks, the longest first. ``num_to_detect`` pictures or prompts are detected besides;
    the tracks of their detections are not counted. ``unreachable`` tracks would fail at once. ``num_failed`` tracks
    have failed because of their input, and would not be retried.
    """

    output: str
    num_videos: int
    num_tracks: int
    num_done: int
    num_partial: int
    num_new: int
    num_stale: int
    num_failed_before: int
    num_failed: int
    num_to_detect: int
    unreachable: tuple[TrackProblem, ...]
    shards: tuple[PlannedShard, ...]

    def describe(self, num_shown: int = 20) -> str:
        """A few lines for people."""
        pending = f"{self.num_new} new, {self.num_stale} stale, {self.num_failed_before} failed before"
        partial = f", {self.num_partial} partial" if self.num_partial else ""
        partial += f", {self.num_failed} failed because of their input" if self.num_failed else ""
        lines = [
            f"{self.num_tracks} tracks of {self.num_videos} videos: {self.num_done} done already{partial}, {pending}",
            *(f"cannot start: {one.video_id} / {one.object_id}: {one.error}" for one in self.unreachable),
        ]
        if self.num_to_detect:
            lines.append(f"{self.num_to_detect} pictures or prompts to detect")
        if self.shards:
            lines.append(f"{len(self.shards)} shards to propagate, the longest first:")
        lines += [_describe_shard(shard) for shard in self.shards[:num_shown]]
        if len(self.shards) > num_shown:
            lines.append(f"  ... and {len(self.shards) - num_shown} more")
        return "\n".join(lines)


def plan_job(config: JobConfig, tracks: Sequence[Track] | None = None, store: Store = storage) -> Plan:
    """Compare a job with its output. ``tracks`` replace the prompts table.

    Raises UsageError for what is wrong with the job, LedgerError and StorageError.
    """
    config = with_absolute_paths(config)
    recipe = job_recipe(config, weights_digest="")
    tracks, _ = with_detections(config, checked_tracks(config, tracks))
    settings = DriverSettings.of(config)
    carried = CarriedTracks(tracks, Preparer(recipe, store, settings, trust_weights=True))
    check_sources(config, tracks, carried)
    counts: Counter[str] = Counter()
    unreachable: list[TrackProblem] = []
    shards: list[tuple[float, PlannedShard]] = []
    for part in carried.all_parts():
        counts += _counts(part)
        shards += _planned(part, settings.chunk_frames)
        unreachable += [
            TrackProblem(track.video.video_id, track.object_id, "failed", failure.message)
            for track, failure in part.unreachable
        ]
    return Plan(
        output=config.output,
        num_videos=counts["videos"],
        num_tracks=counts["tracks"],
        num_done=counts["settled done"],
        num_partial=counts["settled partial"],
        num_new=counts["new"],
        num_stale=counts["done"] + counts["partial"],
        num_failed_before=counts["failed"],
        num_failed=counts["settled failed"],
        num_to_detect=counts["to detect"],
        unreachable=tuple(unreachable),
        shards=tuple(row for _, row in sorted(shards, key=lambda pair: -pair[0])),
    )


def _counts(part: Preparation) -> Counter[str]:
    """Counts videos and tracks: settled ones by status, and those to do by their status so far."""
    counts = Counter(f"settled {entry.status}" for _, entry in part.settled)
    for track, _ in part.to_do:
        before = part.videos[track.video.video_id].ledger.tracks.get(track.object_id)
        counts["new" if before is None else before.status] += 1
    return counts + Counter(
        {
            "videos": len(part.videos),
            "tracks": len(part.tracks),
            "to detect": len(part.to_detect) + len(part.discoveries),
        }
    )


def _planned(preparation: Preparation, chunk_frames: int) -> list[tuple[float, PlannedShard]]:
    """Each shard with what it costs."""
    pending = {one.track.track_id: NOTHING_SAVED for one in preparation.pending}
    pending |= {one.track.track_id: one.saved for one in preparation.continued}
    known = preparation.known_videos()
    planned: list[tuple[float, PlannedShard]] = []
    for shard in preparation.shards:
        spans = _spans(shard, pending, chunk_frames, known[shard.video.video_id].expected_frames)
        if spans:
            num_frames = len(set().union(*spans))
            is_estimate = any(
                (leg.end_frame is None and known[shard.video.video_id].facts is None)
                or leg.track.sampling.on_cut == "end"
                for leg in shard.legs
            )
            row = PlannedShard(shard.video.video_id, shard.reverse, len(spans), num_frames, is_estimate)
            planned.append((cost_s(spans, FIRST_RATES), row))
    return planned


def _spans(shard: Shard, pending: Mapping[TrackId, SavedWork], chunk_frames: int, num_frames: int) -> list[range]:
    return [
        frames_left(leg, next_chunk(leg, pending[leg.track.track_id], chunk_frames), chunk_frames, num_frames)
        for leg in shard.legs
        if leg.track.track_id in pending
    ]


def _describe_shard(shard: PlannedShard) -> str:
    about = "about " if shard.is_estimate else ""
    direction = "backward" if shard.reverse else "forward"
    return f"  {shard.video_id}: {shard.num_tracks} tracks {direction} over {about}{shard.num_frames} frames"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a plan takes: ``work_s`` of replicas in all, and ``seconds`` from beginning to end."""

    replicas: int
    work_s: float
    seconds: float
    cost: float | None

    def describe(self) -> str:
        """One line for people."""
        cost = "" if self.cost is None else f", cost {self.cost:.2f}"
        return (
            f"expected on {self.replicas} {'replica' if self.replicas == 1 else 'replicas'}: "
            f"{_duration(self.seconds)}; work of all replicas: {_duration(self.work_s)}{cost}"
        )


def expect(
    shards: Sequence[PlannedShard], rates: Rates, replicas: int, price_per_hour: float | None = None
) -> Expectation:
    """The time of ``shards``, the longest first, each on the replica that is idle first.

    It is an upper bound if tracks of one shard cover different frames. ``price_per_hour`` is that of one replica's
    machine; all machines are paid for until the last replica has ended.
    """
    assert replicas >= 1, replicas
    costs_s = sorted((_shard_s(shard, rates) for shard in shards), reverse=True)
    free_at_s = [0.0] * min(replicas, max(1, len(costs_s)))
    for shard_s in costs_s:
        heapq.heapreplace(free_at_s, free_at_s[0] + shard_s)
    seconds = max(free_at_s)
    cost = None if price_per_hour is None else price_per_hour * len(free_at_s) * seconds / 3600
    return Expectation(replicas=replicas, work_s=sum(costs_s), seconds=seconds, cost=cost)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def measured_rates(output: str) -> tuple[Rates, str] | None:
    """The rates of the newest run that has propagated any track, and its id. Raises LedgerError, StorageError."""
    for run_id in reversed(list_runs(storage, output)):
        record = read_run(storage, output, run_id)
        if record is not None and record.rates is not None and record.totals.stats.track_frames:
            return record.rates, record.run_id
    return None


def _shard_s(shard: PlannedShard, rates: Rates) -> float:
    return rates.open_s + shard.num_frames * (rates.encode_s + shard.num_tracks * rates.propagate_s)
