"""A run, watched from anywhere: what its ledger says, in words. Reads nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from samurai_batch.planning.orders import TrackStatus
from samurai_batch.runtime.ledger import ReplicaWork, RunRecord
from samurai_batch.runtime.status import OutputStatus

STALE_AFTER_S = 60.0
"""A run that has shown no life for so long is taken for dead: `DriverSettings.stale_after_s`."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far and how fast a run is, by its last sign of life. Times are seconds.

    ``num_waiting`` tracks have not ended yet. ``seconds_left`` is by whole tracks, at the pace of this run, and None
    while none has ended in it. ``is_alive`` says that it runs, and has shown so lately.
    """

    num_waiting: int
    frames_per_s: float
    seconds_left: float | None
    silence_s: float
    is_alive: bool


def pace_of(run: RunRecord, now_s: float) -> Pace:
    """The pace of a run at a moment, in seconds since 1970."""
    totals = run.totals
    ended = totals.tracks_done + totals.tracks_partial + totals.tracks_failed
    ended_in_this_run = ended - totals.tracks_skipped
    waiting = totals.tracks - ended
    silence_s = max(0.0, now_s - run.heartbeat_at_s)
    return Pace(
        num_waiting=waiting,
        frames_per_s=totals.stats.track_frames / totals.seconds if totals.seconds > 0 else 0.0,
        seconds_left=totals.seconds * waiting / ended_in_this_run if ended_in_this_run > 0 else None,
        silence_s=silence_s,
        is_alive=run.status == "running" and silence_s <= STALE_AFTER_S,
    )


def has_ended(found: OutputStatus, now_s: float) -> bool:
    """Whether there is nothing more to watch: the newest run has ended, or shows no life."""
    return found.newest_run is not None and not pace_of(found.newest_run, now_s).is_alive


def describe_status(found: OutputStatus, now_s: float) -> str:
    """Two lines: the tracks in the ledger, and the newest run."""
    counts = _counted(found.num_tracks)
    first = f"{sum(found.num_tracks.values())} tracks of {found.num_videos} videos: {counts}; {found.num_rows} rows"
    return first if found.newest_run is None else f"{first}\n{_describe_run(found.newest_run, now_s)}"


def describe_details(found: OutputStatus, now_s: float) -> str:
    """A line for every replica of the newest run, and one for every video in the ledger."""
    replicas = found.newest_run.totals.replicas if found.newest_run else {}
    lines = [_describe_replica(name, work, now_s) for name, work in sorted(replicas.items())]
    for video in found.videos:
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
    life = f"last sign of life {pace.silence_s:.0f} s ago"
    if run.status != "running":
        return f"newest run {run.run_id}: {run.status}, {life}"
    state = "running" if pace.is_alive else "dead"
    left = "" if pace.seconds_left is None else f", about {pace.seconds_left / 60:.0f} min left"
    lost = f", {run.totals.replicas_lost} replicas lost" if run.totals.replicas_lost else ""
    return (
        f"newest run {run.run_id}: {state}, {pace.num_waiting} of {run.totals.tracks} tracks to go, "
        f"{pace.frames_per_s:.1f} frames/s{left}{lost}, {life}"
    )
