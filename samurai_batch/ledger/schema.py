"""The values of the ledger and their JSON.

Values are redacted when they are made, and so before they are written and when older ones are read. A change that
older programs would misread raises `LEDGER_VERSION`; a field that is only added has a default.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, TypeAdapter, model_serializer, model_validator

from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.orders import TrackStatus
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.redaction import redact, redact_values
from samurai_batch.stats import COUNTS, STAGES, WorkStats
from samurai_batch.storage import redact_uri

LEDGER_VERSION = 1
RUN_ID = r"\d{8}T\d{6}(?:\.\d{3})?Z-[0-9a-f]{8}"
"""The names of runs, as `run.new_run_id` makes them: they sort by time."""
RunStatus = Literal["running", "finished", "interrupted", "crashed"]


@dataclass(frozen=True)
class TrackProblem:
    """A track that is not "done", and why."""

    video_id: str
    object_id: str
    status: TrackStatus
    error: str


@dataclass(frozen=True, kw_only=True)
class TrackEntry:
    """How one track ended. ``error`` says why it is not "done"; ``seconds`` is its share of replica time.

    ``video`` is the state of the video that it was computed from; other tracks may have been computed from another.
    """

    fingerprint: str | None
    status: TrackStatus
    rows: int
    seconds: float
    attempts: int
    weights_digest: str
    run_id: str
    video: VideoIdentity | None = None
    error: str | None = None
    error_kind: FailureKind | None = None
    frame_reached: int | None = None

    def __post_init__(self) -> None:
        if self.error is not None:
            object.__setattr__(self, "error", redact(self.error))
        if self.video is not None:
            object.__setattr__(self, "video", _redacted(self.video))


@dataclass(frozen=True)
class Cut:
    """Where a video was found to end before its declared end: the first frame that cannot be read."""

    frame_reached: int
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redact(self.message))


@dataclass(frozen=True, kw_only=True)
class VideoLedger:
    """All tracks of one video that have ended, by object id. ``facts`` and ``cut`` belong to ``identity``."""

    video_id: str
    video_uri: str
    identity: VideoIdentity | None = None
    facts: VideoFacts | None = None
    cut: Cut | None = None
    tracks: dict[str, TrackEntry] = field(default_factory=dict)
    version: int = LEDGER_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "video_uri", redact_uri(self.video_uri))
        if self.identity is not None:
            object.__setattr__(self, "identity", _redacted(self.identity))

    @property
    def problems(self) -> list[TrackProblem]:
        """Its tracks that are not "done", by object id."""
        return [
            TrackProblem(self.video_id, object_id, entry.status, entry.error or "")
            for object_id, entry in sorted(self.tracks.items())
            if entry.status != "done"
        ]


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """A value with the measurements of its work. In JSON they stand beside its own fields, as `WorkStats.flat`."""

    stats: WorkStats = field(default_factory=WorkStats)

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        counts = {name: values[name] for name in COUNTS if name in values}
        stage_s = {stage: values[f"{stage}_s"] for stage in STAGES if f"{stage}_s" in values}
        return values | {"stats": {**counts, "stage_s": stage_s}}

    @model_serializer(mode="wrap")
    def _flat(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        del values["stats"]
        return values | self.stats.flat()


@dataclass(frozen=True, kw_only=True)
class ReplicaWork(_Measured):
    """What one replica has done in a run. ``video_id`` is the video that it works on, None while it is idle.

    Its last report came at ``heard_at_s``, in seconds since 1970. ``device`` is what it computes on ("NVIDIA L4",
    "cpu"); "" in records of earlier versions.
    """

    heard_at_s: float
    device: str = ""
    video_id: str | None = None
    chunks: int = 0
    busy_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Totals(_Measured):
    """What a run has done so far. Of the job's ``tracks``, ``tracks_skipped`` had ended before this run.

    ``splits`` counts how often tracks were moved to another replica so that the job ends sooner. ``failures`` counts
    failed orders by FailureKind, also those that succeeded when retried. ``replicas`` are those that are ready or at
    work, by name.
    """

    tracks: int = 0
    tracks_skipped: int = 0
    tracks_done: int = 0
    tracks_partial: int = 0
    tracks_failed: int = 0
    rows: int = 0
    replicas_lost: int = 0
    splits: int = 0
    seconds: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    replicas: dict[str, ReplicaWork] = field(default_factory=dict)

    @property
    def tracks_ended(self) -> int:
        """Tracks that are done, partial or failed."""
        return self.tracks_done + self.tracks_partial + self.tracks_failed

    @property
    def tracks_waiting(self) -> int:
        """Tracks that have not ended."""
        return self.tracks - self.tracks_ended

    @property
    def frames_per_s(self) -> float:
        """Track-frames per second since the run began."""
        return self.stats.track_frames / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run: who runs it, its configuration, and how far it is. Times are seconds since 1970 (UTC).

    ``boot_id`` and ``pid_namespace`` say where ``pid`` counts; "" in records of earlier versions.
    """

    run_id: str
    status: RunStatus
    host: str
    pid: int
    process_start: str
    started_at_s: float
    heartbeat_at_s: float
    config: dict[str, Any]
    versions: dict[str, str]
    boot_id: str = ""
    pid_namespace: str = ""
    totals: Totals = Totals()
    rates: Rates | None = None
    version: int = LEDGER_VERSION

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, values: Any) -> Any:
        """A record under today's names: version 0.1.0 called ``propagate_s`` ``follow_s``."""
        if not isinstance(values, dict):
            return values
        measured = {name: values[name] for name in ("totals", "rates") if isinstance(values.get(name), dict)}
        return values | {name: _renamed(part, "follow_s", "propagate_s") for name, part in measured.items()}

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", redact_values(self.config))


VIDEO_LEDGER_JSON = TypeAdapter(VideoLedger)
RUN_RECORD_JSON = TypeAdapter(RunRecord)


def _renamed(values: dict[str, Any], before: str, now: str) -> dict[str, Any]:
    return {now if name == before else name: value for name, value in values.items()}


def _redacted(identity: VideoIdentity) -> VideoIdentity:
    return replace(identity, uri=redact_uri(identity.uri))
