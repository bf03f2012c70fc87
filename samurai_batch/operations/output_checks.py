"""Whether the output of a job can be reached: written, read, and created on condition, from every machine alike."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from samurai_batch import storage
from samurai_batch.errors import StorageError
from samurai_batch.runtime.machine_checks import Check

_SUBJECT = "output"


@contextmanager
def marked_output(output: str, *, in_one_process: bool) -> Iterator[tuple[Check, str]]:
    """Within the block there is a small file in the output, for `check_marker`; yields the check here and its URI."""
    uri = storage.join(output, f"doctor-{uuid.uuid4().hex}")
    try:
        yield _check_here(output, uri, in_one_process), uri
    finally:
        with suppress(StorageError):
            storage.delete(uri)


def check_marker(uri: str) -> Check:
    """Check the output on another machine: that it is the same one, and can be written."""
    where = storage.redact_uri(uri.rpartition("/")[0])
    other = f"{uri}-{uuid.uuid4().hex}"
    try:
        if storage.read_bytes(uri) != _contents(uri):
            raise FileNotFoundError
        storage.write_bytes(other, b"")
        storage.delete(other)
    except FileNotFoundError:
        result = (
            f"{where} is another folder here than on the machine that starts the job; use one that all nodes share, or "
            "a bucket"
        )
        return Check(subject=_SUBJECT, result=result, level="problem")
    except StorageError as error:
        return Check(subject=_SUBJECT, result=str(error), level="problem")
    return Check(subject=_SUBJECT, result=f"{where}: reads, writes")


def _check_here(output: str, uri: str, in_one_process: bool) -> Check:
    try:
        storage.check_output(output, in_one_process=in_one_process)
        return _write_and_read(uri)
    except (StorageError, FileNotFoundError) as error:
        return Check(subject=_SUBJECT, result=str(error), level="problem")


def _write_and_read(uri: str) -> Check:
    where = storage.redact_uri(uri.rpartition("/")[0])
    storage.write_bytes(uri, _contents(uri))
    if storage.read_bytes(uri) != _contents(uri):
        return Check(subject=_SUBJECT, result=f"{where} gives other bytes than were written", level="problem")
    if storage.has_conditional_writes(uri):
        return Check(subject=_SUBJECT, result=f"{where}: reads, writes, conditional writes")
    result = f"{where}: reads, writes, no conditional writes; start one run at a time on it"
    return Check(subject=_SUBJECT, result=result, level="warning")


def _contents(uri: str) -> bytes:
    return uri.rpartition("/")[2].encode()
