"""Requests to a store: retried where that may help, then raised as one readable error.

Throttling, server errors and connection errors are retried for about a minute and a half, as S3's own client does.
Some clients retry for a minute themselves before they raise, so elapsed time is limited as well as attempts.
"""

import itertools
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from samurai_batch.errors import SamuraiBatchError, StorageError
from samurai_batch.redaction import get_logger, redact, redact_error, redact_uri
from samurai_batch.storage.failures import RETRYABLE, Failure, Kind, read_failure
from samurai_batch.storage.uris import AZURE, GOOGLE, HTTP, HUGGING_FACE, S3, protocol_of

logger = get_logger(__name__)

T = TypeVar("T")

NUM_ATTEMPTS = 10
NUM_LOCAL_ATTEMPTS = 4
"""For `Kind.TEMPORARY`, which is an error of a disk most of the time."""
MAX_ELAPSED_S = 100.0
FIRST_WAIT_S = 0.25
MAX_WAIT_S = 20.0
MAX_RETRY_AFTER_S = 60.0
MAX_TEXT_CHARACTERS = 300


def retrying(what: str, uri: str, action: Callable[[], T]) -> T:
    """Call ``action`` up to NUM_ATTEMPTS times with doubling, jittered waits, and return its result.

    ``what`` names the request in errors: "reading", "writing". Raises FileNotFoundError if ``uri`` does not exist and
    StorageError for every other failure of a store. Exceptions that look like bugs are raised unchanged.
    """
    outer, started_s = sys.exception(), time.monotonic()
    for attempt in itertools.count(1):
        try:
            return action()
        except SamuraiBatchError:
            raise
        except Exception as error:
            redact_error(error, uri)
            failure = read_failure(error, outer)
            if failure is None:
                raise
            if not _should_retry(failure, attempt, time.monotonic() - started_s):
                raise _final_error(what, uri, failure, attempt) from error
            wait_s = _wait_s(failure, attempt)
            logger.warning("%s: %s failed (%s), retrying in %.2f s", redact_uri(uri), what, _reason(failure), wait_s)
            time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def translated(what: str, uri: str) -> Iterator[None]:
    """Translate exceptions of a store's client as `retrying` does, without a retry."""
    outer = sys.exception()
    try:
        yield
    except SamuraiBatchError:
        raise
    except Exception as error:
        redact_error(error, uri)
        if (failure := read_failure(error, outer)) is None:
            raise
        raise _final_error(what, uri, failure, 1) from error


def failure_of(error: StorageError) -> Failure | None:
    """The failure behind a StorageError that this module raised."""
    return read_failure(error.__cause__) if error.__cause__ is not None else None


def _should_retry(failure: Failure, attempt: int, elapsed_s: float) -> bool:
    if failure.kind not in RETRYABLE:
        return False
    limit = NUM_LOCAL_ATTEMPTS if failure.kind is Kind.TEMPORARY else NUM_ATTEMPTS
    return attempt < limit and (attempt == 1 or elapsed_s < MAX_ELAPSED_S)


def _wait_s(failure: Failure, attempt: int) -> float:
    wait_s = min(FIRST_WAIT_S * 2.0 ** (attempt - 1), MAX_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
    return max(float(wait_s), min(failure.retry_after_s or 0.0, MAX_RETRY_AFTER_S))


# -- messages

_CREDENTIALS = {
    S3: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; for a public bucket FSSPEC_S3_ANON=true",
    GOOGLE: "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS; for a public bucket "
    "FSSPEC_GS_TOKEN=anon",
    AZURE: "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or "
    "AZURE_STORAGE_CONNECTION_STRING; for a public container AZURE_STORAGE_ANON=true",
    HUGGING_FACE: "run `hf auth login` or set HF_TOKEN",
}
_ACCESS = {
    HTTP: "access is denied or the signed URL has expired: get access, or sign the URL again",
    GOOGLE: f"the credentials are missing or lack this permission: {_CREDENTIALS[GOOGLE]}",
    AZURE: f"the credentials are missing or lack this permission: {_CREDENTIALS[AZURE]}",
    HUGGING_FACE: f"it does not exist, or the credentials do not give access to it: {_CREDENTIALS[HUGGING_FACE]}",
    ("file",): "check the path and your permissions",
}
_RENEWAL = {
    HTTP: "sign the URL again",
    S3: "get new credentials (`aws sso login`, a new AWS_SESSION_TOKEN) and run the same command again",
    GOOGLE: "run `gcloud auth application-default login`, then the same command again",
    AZURE: "run `az login` or create a new SAS token, then run the same command again",
}
_MEANING_AND_REMEDY = {
    Kind.FORBIDDEN: ("forbidden", "check the credentials and their permissions"),
    Kind.EXPIRED: (
        "the credentials or the signature have expired",
        "get new credentials and run the same command again",
    ),
    Kind.CLOCK: ("the clock of this machine is wrong", "set it, with NTP, and run the same command again"),
    Kind.ARCHIVED: (
        "it is archived",
        "restore it to a storage class that can be read at once, and run the same command again",
    ),
    Kind.NO_CREDENTIALS: ("there are no credentials", "set them as the client of this store expects"),
    Kind.THROTTLED: ("the store is busy", "try again later, or with fewer replicas"),
    Kind.SERVER: ("the store failed", "check storage and network"),
    Kind.CONNECTION: ("no connection", "check storage, its address and the network"),
    Kind.TLS: (
        "no secure connection",
        "check the certificate and the clock; for a certificate of your own set SSL_CERT_FILE",
    ),
    Kind.NO_SPACE: ("no space is left", "free space, or use another location"),
    Kind.READ_ONLY: ("it is read-only", "use another location"),
    Kind.NAME_TOO_LONG: ("the name is too long", "use a shorter name"),
    Kind.WRONG_TYPE: ("", "check the path and your permissions"),
    Kind.EXISTS: ("", "check the path and your permissions"),
    Kind.UNSUPPORTED: ("the store does not support it", "use another store"),
    Kind.REFUSED: ("refused", "check the URI and the settings of its store"),
    Kind.TEMPORARY: ("", "check storage and network"),
    Kind.OTHER: ("", "check the URI and the settings of its store"),
}
_REMEDY_BY_PROTOCOL = {Kind.FORBIDDEN: _ACCESS, Kind.EXPIRED: _RENEWAL, Kind.NO_CREDENTIALS: _CREDENTIALS}


def _final_error(what: str, uri: str, failure: Failure, attempts: int) -> Exception:
    """``<uri>: writing failed: <reason>; <remedy>``, on one line and without credentials."""
    if failure.kind is Kind.MISSING:
        return FileNotFoundError(f"{redact_uri(uri)} does not exist")
    how = f"failed {attempts} times, last error" if attempts > 1 else "failed"
    return StorageError(f"{redact_uri(uri)}: {what} {how}: {_reason(failure)}; {_remedy(what, uri, failure)}")


def _reason(failure: Failure) -> str:
    """``HTTP 503 SlowDown, the store is busy: Please reduce your request rate.``"""
    status = f"HTTP {failure.status}" if failure.status else ""
    head = " ".join(part for part in (status, failure.code or "") if part)
    head = ", ".join(part for part in (head, _MEANING_AND_REMEDY[failure.kind][0]) if part)
    has_text = not failure.status or not _repeats_status(failure)
    text = redact(failure.text)[:MAX_TEXT_CHARACTERS].rstrip(". ") if has_text else ""
    return ": ".join(part for part in (head, text) if part)


def _repeats_status(failure: Failure) -> bool:
    """Whether the client's text contains only the status (aiohttp adds the whole URL)."""
    text = failure.text.removesuffix(f", {failure.status}")  # gcsfs adds it
    return text in ("", "Forbidden", "Unauthorized") or f"{failure.status}, message=" in text


def _remedy(what: str, uri: str, failure: Failure) -> str:
    protocol = protocol_of(uri)
    if what in ("writing", "creating") and _is_about_checksums(protocol, failure):
        return "if the store does not support the SDK's checksums, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
    if failure.kind is Kind.REFUSED and protocol in S3 and failure.status == 400 and failure.code is None:
        # The answer to a HEAD request has no body that could say more.
        return "S3 answers so to temporary credentials that have expired and to a wrong region: check both"
    by_protocol = _REMEDY_BY_PROTOCOL.get(failure.kind, {})
    remedy = _MEANING_AND_REMEDY[failure.kind][1]
    return next((text for protocols, text in by_protocol.items() if protocol in protocols), remedy)


def _is_about_checksums(protocol: str, failure: Failure) -> bool:
    """Whether an S3-compatible store may have rejected the checksums that newer SDKs add to uploads."""
    if protocol not in S3 or os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION", "").lower() == "when_required":
        return False
    answer = f"{failure.code} {failure.text}".lower()
    if any(word in answer for word in ("checksum", "trailer", "aws-chunked", "xamzcontentsha256", "content-sha256")):
        return True
    has_own_endpoint = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    return has_own_endpoint and failure.kind in (Kind.UNSUPPORTED, Kind.REFUSED)
