"""The ledger in storage: where its objects lie, and reading, listing and writing them."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from samurai_batch.background import for_each
from samurai_batch.errors import LedgerError
from samurai_batch.ledger.schema import LEDGER_VERSION, RUN_RECORD_JSON, VIDEO_LEDGER_JSON, RunRecord, VideoLedger
from samurai_batch.storage import Identity, join, quote_id, redact_uri, unquote_id

NUM_TRANSFERS = 16
"""Calls to storage at a time, where many objects are read."""

_REMEDY = "restore it from a backup, or delete it to have what it lists computed again"

T = TypeVar("T", VideoLedger, RunRecord)


class Store(Protocol):
    """What a run uses of `samurai_batch.storage`; the module itself is one. A simulation has its own."""

    def read_bytes(self, uri: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        ...

    def write_bytes(self, uri: str, data: bytes) -> None:
        """Put the whole file in place at once."""
        ...

    def create_bytes(self, uri: str, data: bytes) -> bool:
        """Put the whole file in place if there is none; False if there is one already."""
        ...

    def list_names(self, uri: str) -> list[str]:
        """The children of a folder, sorted; none if it is missing."""
        ...

    def delete(self, uri: str) -> None:
        """Remove a file or a folder; missing is fine."""
        ...

    def identity(self, uri: str) -> Identity:
        """Size and version of a file or folder. Raises FileNotFoundError."""
        ...


def ledger_uri(output: str) -> str:
    """The folder of all ledger objects of an output."""
    return join(output, "_ledger")


def video_ledger_uri(output: str, video_id: str) -> str:
    """Where the ledger of one video lies."""
    return join(ledger_uri(output), f"{quote_id(video_id)}.json")


def runs_uri(output: str) -> str:
    """The folder of all runs of an output."""
    return join(ledger_uri(output), "runs")


def run_uri(output: str, run_id: str) -> str:
    """Where the record of one run lies."""
    return join(runs_uri(output), f"{run_id}.json")


def list_videos(store: Store, output: str) -> list[str]:
    """The ids of all videos that have a ledger."""
    return [unquote_id(stem) for stem in _json_stems(store, ledger_uri(output))]


def list_runs(store: Store, output: str) -> list[str]:
    """The ids of all runs, the oldest first: an id begins with the time."""
    return sorted(_json_stems(store, runs_uri(output)))


def read_video_ledger(store: Store, output: str, video_id: str) -> VideoLedger | None:
    """The ledger of a video; None if there is none yet. Raises LedgerError."""
    uri = video_ledger_uri(output, video_id)
    ledger = _read(store, uri, VIDEO_LEDGER_JSON)
    if ledger is not None and not ledger.video_id:
        raise LedgerError(f"{redact_uri(uri)}: damaged ledger (video_id is empty); {_REMEDY}")
    if ledger is not None and ledger.video_id != video_id:
        raise LedgerError(
            f"{redact_uri(uri)}: this is the ledger of video {ledger.video_id!r}, put in another's place; "
            "restore the right one from a backup, or delete it to have what it lists computed again"
        )
    return ledger


def read_video_ledgers(
    store: Store, output: str, video_ids: Iterable[str] | None = None, num_transfers: int = NUM_TRANSFERS
) -> list[VideoLedger]:
    """The ledgers of all videos, or of these, sorted by video id. Those that are missing are left out.

    Raises LedgerError.
    """
    ordered = sorted(list_videos(store, output) if video_ids is None else set(video_ids))
    found = for_each(lambda video_id: read_video_ledger(store, output, video_id), ordered, num_transfers)
    return [ledger for ledger in found if ledger is not None]


def write_video_ledger(store: Store, output: str, ledger: VideoLedger) -> None:
    """Replace the ledger of a video."""
    store.write_bytes(video_ledger_uri(output, ledger.video_id), VIDEO_LEDGER_JSON.dump_json(ledger, indent=1))


def read_run(store: Store, output: str, run_id: str) -> RunRecord | None:
    """The record of a run; None if there is none. Raises LedgerError."""
    return _read(store, run_uri(output, run_id), RUN_RECORD_JSON)


def write_run(store: Store, output: str, record: RunRecord) -> None:
    """Replace the record of a run."""
    store.write_bytes(run_uri(output, record.run_id), RUN_RECORD_JSON.dump_json(record, indent=1))


def _json_stems(store: Store, folder: str) -> list[str]:
    return [name.removesuffix(".json") for name in store.list_names(folder) if name.endswith(".json")]


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
            f"{redact_uri(uri)}: damaged ledger ({place + ': ' if place else ''}{problem['msg']}); {_REMEDY}"
        ) from error
    if record.version != LEDGER_VERSION:
        raise LedgerError(
            f"{redact_uri(uri)}: ledger of version {record.version}, this program reads version {LEDGER_VERSION}; "
            "use the program that wrote it, or another output folder"
        )
    return record
