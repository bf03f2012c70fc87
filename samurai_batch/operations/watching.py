"""The status of an output and its newest run in words. Reads nothing itself."""

from collections.abc import Mapping

from samurai_batch.ledger.lease import STALE_AFTER_S
from samurai_batch.ledger.schema import ReplicaWork, RunRecord, Totals
from samurai_batch.ledger.status import OutputStatus
from samurai_batch.planning.orders import TrackStatus


def is_alive(run: RunRecord, now_s: float) -> bool:
    """Whether a run is running and its last heartbeat is recent."""
    return run.status == "running" and _heartbeat_age_s(run, now_s) <= STALE_AFTER_S


def state_of(run: RunRecord, now_s: float) -> str:
    """The status of a run; "dead" if it says that it is running and has had no heartbeat for too long."""
    return "dead" if run.status == "running" and not is_alive(run, now_s) else run.status


def seconds_left(totals: Totals) -> float | None:
    """Whole tracks that have not ended, at the pace of this run; None until a track has ended in it."""
    ended_in_this_run = totals.tracks_ended - totals.tracks_skipped
    return totals.seconds * totals.tracks_waiting / ended_in_this_run if ended_in_this_run > 0 else None


def has_ended(status: OutputStatus, now_s: float) -> bool:
    """Whether the newest run has ended, or has had no heartbeat for too long."""
    return status.newest_run is not None and not is_alive(status.newest_run, now_s)


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
    device = f" ({work.device})" if work.device else ""
    memory_bytes = work.stats.device_memory_bytes
    memory = f", {memory_bytes / 1e9:.1f} GB of GPU memory" if memory_bytes else ""
    return (
        f"replica {name}{device}: {doing}; {work.chunks} chunks, {work.stats.track_frames} frames propagated, "
        f"{work.busy_s:.1f} s at work{memory}, last answer {max(0.0, now_s - work.heard_at_s):.0f} s ago"
    )


def _counted(num_tracks: Mapping[TrackStatus, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in num_tracks.items())


def _describe_run(run: RunRecord, now_s: float) -> str:
    heartbeat = f"last heartbeat {_heartbeat_age_s(run, now_s):.0f} s ago"
    if run.status != "running":
        return f"newest run {run.run_id}: {run.status}, {heartbeat}"
    totals, left_s = run.totals, seconds_left(run.totals)
    left = "" if left_s is None else f", about {left_s / 60:.0f} min left"
    lost = f", {totals.replicas_lost} replicas lost" if totals.replicas_lost else ""
    return (
        f"newest run {run.run_id}: {state_of(run, now_s)}, {totals.tracks_waiting} of {totals.tracks} tracks to go, "
        f"{totals.frames_per_s:.1f} frames/s{left}{lost}, {heartbeat}"
    )


def _heartbeat_age_s(run: RunRecord, now_s: float) -> float:
    return max(0.0, now_s - run.heartbeat_at_s)
