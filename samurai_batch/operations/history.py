"""What each run changed, and the mask tables that later runs have replaced.

``_ledger/changes/<run_id>.json`` says track by track what a run did and why. ``_superseded/<run_id>/masks`` keeps the
tables of a run that a later run has replaced, so that both can be compared.
"""

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from samurai_batch import storage
from samurai_batch.background import for_each
from samurai_batch.errors import LedgerError, StateError
from samurai_batch.ledger.kept_states import kept_states_uri
from samurai_batch.ledger.schema import RunRecord
from samurai_batch.ledger.store import NUM_TRANSFERS, ledger_uri, list_runs, read_run
from samurai_batch.masks import file_metadata, mask_table_uri
from samurai_batch.redaction import get_logger
from samurai_batch.storage import join, redact_uri
from samurai_batch.tasks import TrackId

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One track in one run: why it was computed, and how it ended; "pruned" if it was removed."""

    video_id: str
    object_id: str
    reason: str
    status: str


@dataclass(frozen=True, kw_only=True)
class RunChanges:
    """All that one run changed."""

    run_id: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class PastRun:
    """One run of an output. Only `reprocess` writes ``changes``; they are None for other runs."""

    record: RunRecord
    changes: tuple[Change, ...] | None


_CHANGES = TypeAdapter(RunChanges)


def write_changes(output: str, changes: RunChanges) -> None:
    """Store what a run changed."""
    storage.write_bytes(_changes_uri(output, changes.run_id), _CHANGES.dump_json(changes, indent=1))


def read_history(output: str) -> list[PastRun]:
    """Every run of an output, the oldest first. Raises LedgerError, StorageError."""
    records = for_each(lambda run_id: read_run(storage, output, run_id), list_runs(storage, output), NUM_TRANSFERS)
    return [PastRun(record, _read_changes(output, record.run_id)) for record in records if record is not None]


def superseded_uri(output: str, run_id: str) -> str:
    """The folder of a run's replaced tables; it is laid out like an output."""
    return join(output, "_superseded", run_id)


def keep_table(output: str, track: TrackId) -> None:
    """Copy a track's table, if there is one, to the replaced tables of the run that made it.

    A table that is damaged, or that other software has written in its place, belongs to no run and is not kept.
    """
    uri = mask_table_uri(output, *track)
    try:
        data = storage.read_bytes(uri)
        made_by = file_metadata(data)["run_id"]
    except FileNotFoundError:
        return
    except (StateError, KeyError):
        logger.warning("%s is damaged, or not as a run has written it; it is replaced and not kept", redact_uri(uri))
        return
    storage.write_bytes(mask_table_uri(superseded_uri(output, made_by), *track), data)


def remove_tables(output: str, track: TrackId) -> None:
    """Delete a track's table, all replaced ones, and what it would go on from."""
    storage.delete(mask_table_uri(output, *track))
    storage.delete(kept_states_uri(output, *track))
    for run_id in storage.list_names(join(output, "_superseded")):
        storage.delete(mask_table_uri(superseded_uri(output, run_id), *track))


def _changes_uri(output: str, run_id: str) -> str:
    return join(ledger_uri(output), "changes", f"{run_id}.json")


def _read_changes(output: str, run_id: str) -> tuple[Change, ...] | None:
    uri = _changes_uri(output, run_id)
    try:
        return _CHANGES.validate_json(storage.read_bytes(uri)).changes
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise LedgerError(f"{redact_uri(uri)}: damaged; delete it, only the history of this run is lost") from error
