"""What the ledger of an output says, without running anything."""

from collections import Counter
from dataclasses import dataclass

from pydantic import TypeAdapter

from samurai_batch.errors import ConfigError
from samurai_batch.planning.orders import TrackStatus
from samurai_batch.runtime.environment import Store
from samurai_batch.runtime.ledger import (
    RunRecord,
    VideoLedger,
    ledger_uri,
    read_run,
    read_video_ledger,
    runs_uri,
    video_ledger_uri,
)
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.summary import TrackProblem
from samurai_batch.storage import join, redact

_STATUSES: tuple[TrackStatus, ...] = ("done", "partial", "failed")


@dataclass(frozen=True)
class VideoStatus:
    """The tracks of one video that have ended; ``seconds`` are of replicas."""

    video_id: str
    num_tracks: dict[TrackStatus, int]
    num_rows: int
    seconds: float


@dataclass(frozen=True)
class OutputStatus:
    """The tracks in the ledger, how they ended, and the newest run. Tracks nobody has begun are not known here.

    What each replica does stands in the run's totals.
    """

    num_videos: int
    num_tracks: dict[TrackStatus, int]
    num_rows: int
    problems: tuple[TrackProblem, ...]
    newest_run: RunRecord | None
    videos: tuple[VideoStatus, ...] = ()


def read_status(store: Store, output: str, num_transfers: int = 16) -> OutputStatus:
    """Read all of an output's ledger. Raises LedgerError, StorageError."""
    folder = ledger_uri(output)
    uris = [join(folder, name) for name in store.list_names(folder) if name.endswith(".json")]
    read = for_each(lambda uri: read_video_ledger(store, uri), uris, num_transfers)
    ledgers = [ledger for ledger in read if ledger is not None]
    videos = tuple(_status_of(ledger) for ledger in sorted(ledgers, key=lambda one: one.video_id))
    return OutputStatus(
        num_videos=len(videos),
        num_tracks={status: sum(video.num_tracks[status] for video in videos) for status in _STATUSES},
        num_rows=sum(video.num_rows for video in videos),
        problems=tuple(problem for ledger in ledgers for problem in _problems(ledger)),
        newest_run=_newest_run(store, output),
        videos=videos,
    )


def to_json(status: OutputStatus) -> str:
    """For programs; the newest run has the names of its record in storage."""
    return TypeAdapter(OutputStatus).dump_json(status).decode()


def check_has_ledger(store: Store, output: str) -> None:
    """Raise ConfigError where no job has begun: a mistyped folder has no tracks either."""
    if not any(
        name.endswith(".json") for uri in (ledger_uri(output), runs_uri(output)) for name in store.list_names(uri)
    ):
        raise ConfigError(f"{redact(output)}: no job has begun there; give the output folder of a job")


def recorded_video(store: Store, output: str, video_id: str) -> str:
    """The URI of a video as the ledger of an output has it.

    Raises ConfigError if it is not there, or not whole: what is secret in a URI is not written down.
    """
    ledger = read_video_ledger(store, video_ledger_uri(output, video_id))
    if ledger is None:
        raise ConfigError(f"{redact(output)}: its ledger has no video {video_id!r}; say where the video is")
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


def _problems(ledger: VideoLedger) -> list[TrackProblem]:
    return [
        TrackProblem(ledger.video_id, object_id, entry.status, entry.error or "")
        for object_id, entry in sorted(ledger.tracks.items())
        if entry.status != "done"
    ]


def _newest_run(store: Store, output: str) -> RunRecord | None:
    """Run ids begin with the time, so the last name is the newest run."""
    folder = runs_uri(output)
    names = [name for name in store.list_names(folder) if name.endswith(".json") and not name.startswith("_")]
    return read_run(store, join(folder, max(names))) if names else None
