"""The ledger: small JSON objects beside the mask tables that say what is done, how, and what failed and why.

``_ledger/<video_id>.json`` holds the tracks of one video, ``_ledger/runs/<run_id>.json`` one run. The driver of
the one run that holds the output's lease writes them; anybody may read them at any time.

Records are redacted when they are made, and so when they are written, and when older ones are read.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from pydantic import SerializerFunctionWrapHandler, TypeAdapter, ValidationError, model_serializer, model_validator

from samurai_batch.errors import LedgerError
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.orders import TrackStatus
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.redaction import redact as redact_text
from samurai_batch.redaction import redact_values
from samurai_batch.runtime.environment import Store
from samurai_batch.stats import COUNTS, STAGES, WorkStats
from samurai_batch.storage import join, quote_id, redact

LEDGER_VERSION = 1
RUN_ID = r"\d{8}T\d{6}(?:\.\d{3})?Z-[0-9a-f]{8}"
"""The names of runs, as `run.new_run_id` makes them: they sort by time."""
RunStatus = Literal["running", "finished", "interrupted", "crashed"]

_REMEDY = "restore it from a backup, or delete it to have what it lists computed again"

T = TypeVar("T", "VideoLedger", "RunRecord")


@dataclass(frozen=True, kw_only=True)
class TrackEntry:
    """How one track ended. ``error`` says why it is not "done"; ``seconds`` is its share of replica time.

    ``video`` is the state of the video that it was computed from, which may have changed since for other tracks.
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
            object.__setattr__(self, "error", redact_text(self.error))
        if self.video is not None:
            object.__setattr__(self, "video", replace(self.video, uri=redact(self.video.uri)))


@dataclass(frozen=True)
class Cut:
    """Where a video was found to end before its declared end: the first frame that cannot be read."""

    frame_reached: int
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redact_text(self.message))


@dataclass(frozen=True, kw_only=True)
class VideoLedger:
    """All tracks of one video that have ended, by object id; ``facts`` and ``cut`` are of that state of the video."""

    video_id: str
    video_uri: str
    identity: VideoIdentity | None = None
    facts: VideoFacts | None = None
    cut: Cut | None = None
    tracks: dict[str, TrackEntry] = field(default_factory=dict)
    version: int = LEDGER_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "video_uri", redact(self.video_uri))
        if self.identity is not None:
            object.__setattr__(self, "identity", replace(self.identity, uri=redact(self.identity.uri)))


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

    Its last report came at ``heard_at_s``, in seconds since 1970.
    """

    heard_at_s: float
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
    def _upgrade(cls, values: Any) -> Any:
        """Records of version 0.1.0 call ``propagate_s`` ``follow_s``."""
        if not isinstance(values, dict):
            return values
        measured = {name: values[name] for name in ("totals", "rates") if isinstance(values.get(name), dict)}
        return values | {name: _renamed(part, "follow_s", "propagate_s") for name, part in measured.items()}

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", redact_values(self.config))


def _renamed(values: dict[str, Any], before: str, now: str) -> dict[str, Any]:
    return {now if name == before else name: value for name, value in values.items()}


_VIDEO = TypeAdapter(VideoLedger)
_RUN = TypeAdapter(RunRecord)


def ledger_uri(output: str) -> str:
    """The folder of all ledger objects of an output."""
    return join(output, "_ledger")


def video_ledger_uri(output: str, video_id: str) -> str:
    """Where the ledger of one video lies."""
    return join(ledger_uri(output), _file_name(video_id))


def _file_name(video_id: str) -> str:
    return f"{quote_id(video_id)}.json"


def runs_uri(output: str) -> str:
    """The folder of all runs of an output."""
    return join(ledger_uri(output), "runs")


def run_uri(output: str, run_id: str) -> str:
    """Where the record of one run lies."""
    return join(runs_uri(output), f"{run_id}.json")


def read_video_ledger(store: Store, uri: str) -> VideoLedger | None:
    """The ledger of a video; None if there is none yet. Raises LedgerError."""
    ledger = _read(store, uri, _VIDEO)
    if ledger is not None and not ledger.video_id:
        raise LedgerError(f"{redact(uri)}: damaged ledger (video_id is empty); {_REMEDY}")
    if ledger is not None and not uri.endswith(f"/{_file_name(ledger.video_id)}"):
        raise LedgerError(
            f"{redact(uri)}: this is the ledger of video {ledger.video_id!r}, put in another's place; "
            "restore the right one from a backup, or delete it to have what it lists computed again"
        )
    return ledger


def write_video_ledger(store: Store, output: str, ledger: VideoLedger) -> None:
    """Replace the ledger of a video."""
    store.write_bytes(video_ledger_uri(output, ledger.video_id), _VIDEO.dump_json(ledger, indent=1))


def read_run(store: Store, uri: str) -> RunRecord | None:
    """The record of a run; None if there is none. Raises LedgerError."""
    return _read(store, uri, _RUN)


def write_run(store: Store, output: str, record: RunRecord) -> None:
    """Replace the record of a run."""
    store.write_bytes(run_uri(output, record.run_id), _RUN.dump_json(record, indent=1))


def _read(store: Store, uri: str, adapter: TypeAdapter[T]) -> T | None:
    try:
        data = store.read_bytes(uri)
    except FileNotFoundError:
        return None
    try:
        record = adapter.validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise LedgerError(
            f"{redact(uri)}: damaged ledger ({place + ': ' if place else ''}{problem['msg']}); {_REMEDY}"
        ) from error
    if record.version != LEDGER_VERSION:
        raise LedgerError(
            f"{redact(uri)}: ledger of version {record.version}, this program reads version {LEDGER_VERSION}; "
            "use the program that wrote it, or another output folder"
        )
    return record
