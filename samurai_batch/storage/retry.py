"""Requests to a store: tried again where that may help, and what remains as one sentence.

How often: what is throttled, fails in the store or on the way, for about a minute and a half in all, the patience that
S3's own client has. Some clients try for a minute by themselves before they give in; so time counts as well.
"""

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from samurai_batch.errors import SamuraiBatchError, StorageError
from samurai_batch.redaction import get_logger, redact_error
from samurai_batch.storage.failures import MAY_PASS, Failure, Kind, read_failure
from samurai_batch.storage.messages import reason, sentence
from samurai_batch.storage.uris import redact

logger = get_logger(__name__)

T = TypeVar("T")

NUM_ATTEMPTS = 10
NUM_LOCAL_ATTEMPTS = 4
"""Of what may pass for reasons unknown: a disk's error most of the time."""
PATIENCE_S = 100.0
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 20.0
LONGEST_RETRY_AFTER_S = 60.0


def retrying(what: str, uri: str, action: Callable[[], T]) -> T:
    """What ``action`` returns, tried up to NUM_ATTEMPTS times with a doubling, jittered wait between.

    Raises FileNotFoundError for what is missing, StorageError for every other failure of a store, and what looks like
    a bug as it is.
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
            if not _is_worth_another(failure, attempt, time.monotonic() - started_s):
                raise _final(what, uri, failure, attempt) from error
            wait_s = _wait_s(failure, attempt)
            logger.warning("%s: %s failed (%s), trying again in %.2f s", redact(uri), what, reason(failure), wait_s)
            time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def translated(what: str, uri: str) -> Iterator[None]:
    """Failures of a store inside become what `retrying` makes of them, at the first time."""
    outer = sys.exception()
    try:
        yield
    except SamuraiBatchError:
        raise
    except Exception as error:
        redact_error(error, uri)
        if (failure := read_failure(error, outer)) is None:
            raise
        raise _final(what, uri, failure, 1) from error


def failure_of(error: StorageError) -> Failure | None:
    """What kind of failure a StorageError made here tells of."""
    return read_failure(error.__cause__) if error.__cause__ is not None else None


def _is_worth_another(failure: Failure, attempt: int, elapsed_s: float) -> bool:
    if failure.kind not in MAY_PASS:
        return False
    limit = NUM_LOCAL_ATTEMPTS if failure.kind is Kind.TEMPORARY else NUM_ATTEMPTS
    return attempt < limit and (attempt == 1 or elapsed_s < PATIENCE_S)


def _wait_s(failure: Failure, attempt: int) -> float:
    wait_s = min(FIRST_WAIT_S * 2.0 ** (attempt - 1), LONGEST_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
    return max(float(wait_s), min(failure.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))


def _final(what: str, uri: str, failure: Failure, attempts: int) -> Exception:
    if failure.kind is Kind.MISSING:
        return FileNotFoundError(f"{redact(uri)} does not exist")
    return StorageError(sentence(what, uri, failure, attempts))
