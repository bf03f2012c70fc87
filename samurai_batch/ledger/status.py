"""What the ledger of an output says as a whole, without running anything; and how one run ended."""

from collections import Counter
from dataclasses import dataclass

from pydantic import TypeAdapter

from samurai_batch.checks import suggestion
from samurai_batch.errors import ConfigError
from samurai_batch.ledger.schema import RunRecord, RunStatus, Totals, TrackProblem, VideoLedger
from samurai_batch.ledger.store import (
    NUM_TRANSFERS,
    Store,
    list_runs,
    list_videos,
    read_run,
    read_video_ledger,
    read_video_ledgers,
)
from samurai_batch.planning.orders import TrackStatus
from samurai_batch.storage import redact_uri

_MAX_VIDEOS_NAMED = 20

EXIT_DONE = 0
EXIT_NOT_FINISHED = 1
EXIT_TRACKS_FAILED = 3

_STATUSES: tuple[TrackStatus, ...] = ("done", "partial", "failed")


@dataclass(frozen=True)
class RunSummary:
    """How a run ended; ``problems`` lists every failed or partial track of the prompts table."""

    run_id: str
    output: str
    status: RunStatus
    totals: Totals
    problems: tuple[TrackProblem, ...]


def exit_code(run: RunSummary | RunRecord) -> int:
    """0: all tracks done; 3: finished, but some tracks failed or are partial; 1: stopped before the end."""
    if run.status != "finished":
        return EXIT_NOT_FINISHED
    return EXIT_TRACKS_FAILED if run.totals.tracks_failed + run.totals.tracks_partial else EXIT_DONE


@dataclass(frozen=True)
class VideoStatus:
    """The tracks of one video that have ended; ``seconds`` are of replicas."""

    video_id: str
    num_tracks: dict[TrackStatus, int]
    num_rows: int
    seconds: float


@dataclass(frozen=True)
class OutputStatus:
    """The tracks in the ledger by status, and the newest run. Tracks that have not ended are only in its totals."""

    num_videos: int
    num_tracks: dict[TrackStatus, int]
    num_rows: int
    problems: tuple[TrackProblem, ...]
    newest_run: RunRecord | None
    videos: tuple[VideoStatus, ...] = ()


def read_status(store: Store, output: str, num_transfers: int = NUM_TRANSFERS) -> OutputStatus:
    """Read the whole ledger of an output. Raises LedgerError, StorageError."""
    ledgers = read_video_ledgers(store, output, num_transfers=num_transfers)
    videos = tuple(_status_of(ledger) for ledger in ledgers)
    runs = list_runs(store, output)
    return OutputStatus(
        num_videos=len(videos),
        num_tracks={status: sum(video.num_tracks[status] for video in videos) for status in _STATUSES},
        num_rows=sum(video.num_rows for video in videos),
        problems=tuple(problem for ledger in ledgers for problem in ledger.problems),
        newest_run=read_run(store, output, runs[-1]) if runs else None,
        videos=videos,
    )


def to_json(status: OutputStatus) -> str:
    """For programs; the newest run has the names of its record in storage."""
    return TypeAdapter(OutputStatus).dump_json(status).decode()


def check_has_ledger(store: Store, output: str) -> None:
    """Raise ConfigError where no job has begun, so that a mistyped folder does not pass for an empty output."""
    if not list_runs(store, output) and not list_videos(store, output):
        raise ConfigError(f"{redact_uri(output)}: no job has begun there; give the output folder of a job")


def recorded_video(store: Store, output: str, video_id: str) -> str:
    """The URI of a video as the ledger of an output has it.

    Raises ConfigError if it is not there, or if secrets were left out of it when it was written.
    """
    ledger = read_video_ledger(store, output, video_id)
    if ledger is None:
        videos = list_videos(store, output)
        known = suggestion(video_id, videos[:_MAX_VIDEOS_NAMED], videos) if videos else "say where the video is"
        raise ConfigError(f"{redact_uri(output)}: its ledger has no video {video_id!r}; {known}")
    if "***" in ledger.video_uri:
        raise ConfigError(f"{ledger.video_uri}: its secret part was not written down; say where the video is")
    return ledger.video_uri


def _status_of(ledger: VideoLedger) -> VideoStatus:
    entries = ledger.tracks.values()
    counts = Counter(entry.status for entry in entries)
    return VideoStatus(
        video_id=ledger.video_id,
        num_tracks={status: counts[status] for status in _STATUSES},
        num_rows=sum(entry.rows for entry in entries),
        seconds=round(sum(entry.seconds for entry in entries), 3),
    )
