"""The status of an output and its newest run in words. Reads nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from samurai_batch.ledger.lease import STALE_AFTER_S
from samurai_batch.ledger.schema import ReplicaWork, RunRecord
from samurai_batch.ledger.status import OutputStatus
from samurai_batch.planning.orders import TrackStatus


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far and how fast a run is, by its last heartbeat. Times are seconds.

    ``num_waiting`` tracks have not ended yet. ``seconds_left`` counts whole tracks at the pace of this run; it is None
    until a track has ended in this run. ``is_alive``: it is running, and its last heartbeat is recent.
    """

    num_waiting: int
    frames_per_s: float
    seconds_left: float | None
    heartbeat_age_s: float
    is_alive: bool


def pace_of(run: RunRecord, now_s: float) -> Pace:
    """The pace of a run at a moment, in seconds since 1970."""
    totals = run.totals
    ended_in_this_run = totals.tracks_ended - totals.tracks_skipped
    waiting = totals.tracks - totals.tracks_ended
    heartbeat_age_s = max(0.0, now_s - run.heartbeat_at_s)
    return Pace(
        num_waiting=waiting,
        frames_per_s=totals.stats.track_frames / totals.seconds if totals.seconds > 0 else 0.0,
        seconds_left=totals.seconds * waiting / ended_in_this_run if ended_in_this_run > 0 else None,
        heartbeat_age_s=heartbeat_age_s,
        is_alive=run.status == "running" and heartbeat_age_s <= STALE_AFTER_S,
    )


def has_ended(status: OutputStatus, now_s: float) -> bool:
    """Whether the newest run has ended, or has had no heartbeat for too long."""
    return status.newest_run is not None and not pace_of(status.newest_run, now_s).is_alive


def describe_status(status: OutputStatus, now_s: float) -> str:
    """Two lines: the tracks in the ledger, and the newest run."""
    counts = _counted(status.num_tracks)
    first = f"{sum(status.num_tracks.values())} tracks of {status.num_videos} videos: {counts}; {status.num_rows} rows"
    return first if status.newest_run is None else f"{first}\n{_describe_run(status.newest_run, now_s)}"


def describe_details(status: OutputStatus, now_s: float) -> str:
    """A line for every replica of the newest run, and one for every video in the ledger."""
    replicas = status.newest_run.totals.replicas if status.newest_run else {}
    lines = [_describe_replica(name, work, now_s) for name, work in sorted(replicas.items())]
    for video in status.videos:
        amount = f"{video.num_rows} rows, {video.seconds:.1f} s of replicas"
        lines.append(f"video {video.video_id}: {_counted(video.num_tracks)}; {amount}")
    return "\n".join(lines)


def _describe_replica(name: str, work: ReplicaWork, now_s: float) -> str:
    doing = "waiting" if work.video_id is None else f"on {work.video_id}"
    memory_bytes = work.stats.device_memory_bytes
    memory = f", {memory_bytes / 1e9:.1f} GB of GPU memory" if memory_bytes else ""
    return (
        f"replica {name}: {doing}; {work.chunks} chunks, {work.stats.track_frames} frames propagated, "
        f"{work.busy_s:.1f} s at work{memory}, last answer {max(0.0, now_s - work.heard_at_s):.0f} s ago"
    )


def _counted(num_tracks: Mapping[TrackStatus, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in num_tracks.items())


def _describe_run(run: RunRecord, now_s: float) -> str:
    pace = pace_of(run, now_s)
    life = f"last heartbeat {pace.heartbeat_age_s:.0f} s ago"
    if run.status != "running":
        return f"newest run {run.run_id}: {run.status}, {life}"
    state = "running" if pace.is_alive else "dead"
    left = "" if pace.seconds_left is None else f", about {pace.seconds_left / 60:.0f} min left"
    lost = f", {run.totals.replicas_lost} replicas lost" if run.totals.replicas_lost else ""
    return (
        f"newest run {run.run_id}: {state}, {pace.num_waiting} of {run.totals.tracks} tracks to go, "
        f"{pace.frames_per_s:.1f} frames/s{left}{lost}, {life}"
    )
