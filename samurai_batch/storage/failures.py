"""Classifies the exceptions of storage clients (s3fs, gcsfs, adlfs, aiohttp, huggingface_hub, the local disk).

Clients wrap each other's exceptions and change their class: fsspec's HTTP client raises FileNotFoundError for any
status, gcsfs an OSError without a number, adlfs a RuntimeError. So the whole chain of causes is searched: first for
an HTTP status or a store's error code, then for known classes, by name because the clients are not imported here, then
for ``errno``.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What went wrong.

    If several exceptions of a chain have a kind by their class, the one defined first here counts: a client turns
    specific errors into vaguer ones.
    """

    NO_SPACE = "no_space"
    READ_ONLY = "read_only"
    NAME_TOO_LONG = "name_too_long"
    CLOCK = "clock"  # a signature or token is refused because this machine's clock is wrong
    ARCHIVED = "archived"  # in a storage class from which an object must be restored before it can be read
    CONNECTION = "connection"  # refused, reset, unknown host, timeout
    EXPIRED = "expired"  # credentials or a signature
    NO_CREDENTIALS = "no_credentials"
    FORBIDDEN = "forbidden"
    EXISTS = "exists"  # the condition of a conditional write failed
    WRONG_TYPE = "wrong_type"  # a folder in place of a file, or a file in place of a folder
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"  # any other status from 400 to 499
    TEMPORARY = "temporary"  # any other error that a retry may solve
    MISSING = "missing"  # 404 and 410, no other status
    OTHER = "other"
    THROTTLED = "throttled"
    SERVER = "server"
    TLS = "tls"


RETRYABLE = frozenset({Kind.THROTTLED, Kind.SERVER, Kind.CONNECTION, Kind.TEMPORARY})


@dataclass(frozen=True)
class Failure:
    """One failed request: its kind, and the store's status, error code and text."""

    kind: Kind
    status: int | None = None
    code: str | None = None
    text: str = ""
    retry_after_s: float | None = None


def read_failure(error: BaseException, until: BaseException | None = None) -> Failure | None:
    """Classify ``error``; None if it looks like a bug in a program rather than a failure of a store.

    ``until`` is an exception that was already being handled when the request began; it and its causes are ignored.
    """
    chain = list(_chain(error, until))
    for classify in (_by_decisive_class, _by_answer, _by_text, _by_class):
        if (failure := classify(chain)) is not None:
            return replace(failure, kind=_kind_by_words(failure, chain))
    if isinstance(error, _BUGS):
        return None
    return Failure(Kind.TEMPORARY if isinstance(error, OSError) else Kind.OTHER, text=_text_of(error))


# Raised for mistakes in a program, or for paths that the locale cannot encode; no client raises them for an answer.
_BUGS = (TypeError, AttributeError, NameError, AssertionError, MemoryError, RecursionError, UnicodeEncodeError)


def _chain(error: BaseException, until: BaseException | None) -> Iterator[BaseException]:
    """An exception, its causes, and the exceptions among its arguments; each once, outermost first."""
    seen: set[int] = {id(until)}
    pending: list[BaseException | None] = [error]
    while pending:
        link = pending.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        pending.append(link.__cause__ if link.__suppress_context__ else link.__context__)
        pending += [argument for argument in link.args if isinstance(argument, BaseException)]


# -- by the store's answer

_CODES = {
    # S3 and compatible stores
    Kind.EXPIRED: "ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired InvalidToken",
    Kind.CLOCK: "RequestTimeTooSkewed RequestInTheFuture",
    Kind.ARCHIVED: "InvalidObjectState BlobArchived BlobBeingRehydrated",  # the last two are Azure's
    Kind.THROTTLED: "SlowDown Throttling ThrottlingException TooManyRequests RequestLimitExceeded ServiceUnavailable"
    " ServerBusy",  # the last one is Azure's
    Kind.SERVER: "InternalError",
    Kind.CONNECTION: "RequestTimeout IncompleteBody",
    Kind.TEMPORARY: "OperationAborted ConditionalRequestConflict",
    Kind.UNSUPPORTED: "NotImplemented",
    Kind.NAME_TOO_LONG: "KeyTooLongError",
    Kind.NO_SPACE: "QuotaExceeded XMinioStorageFull",
    Kind.EXISTS: "PreconditionFailed BlobAlreadyExists",  # the last one is Azure's
    # Azure
    Kind.NO_CREDENTIALS: "NoAuthenticationInformation PublicAccessNotPermitted",
    Kind.FORBIDDEN: "BlobImmutableDueToPolicy ContainerDisabled AccountIsDisabled",
    Kind.REFUSED: "InvalidBlobType ResourceTypeMismatch",
}
_STATUSES = {
    Kind.FORBIDDEN: (401, 403),
    Kind.MISSING: (404, 410),
    Kind.UNSUPPORTED: (405, 501),
    Kind.CONNECTION: (408,),
    Kind.TEMPORARY: (409, 425),
    Kind.EXISTS: (412,),
    Kind.NAME_TOO_LONG: (414,),
    Kind.THROTTLED: (429, 503),
    Kind.NO_SPACE: (507,),
}
_KIND_OF_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_KIND_OF_STATUS = {status: kind for kind, statuses in _STATUSES.items() for status in statuses}


def _by_answer(chain: list[BaseException]) -> Failure | None:
    """By the outermost exception that carries a store's status or a known error code."""
    for link in chain:
        status, code = _status_of(link), _code_of(link)
        if status is None and code not in _KIND_OF_CODE:
            continue
        kind = _KIND_OF_CODE.get(code or "")
        if kind is None:
            assert status is not None
            kind = _KIND_OF_STATUS.get(status, Kind.SERVER if status >= 500 else Kind.REFUSED)
        return Failure(kind, status, code, _text_of(link), _retry_after_s(link))
    return None


_WORDS = (
    (
        Kind.CLOCK,
        ("time is too large", "too skewed", "date header too old", "check your iat", "used too early"),
    ),
    (Kind.THROTTLED, ("rate limit exceeded", "ratelimitexceeded")),  # Google's, with status 403
    (Kind.EXPIRED, ("expired", "not valid in the specified time frame")),
)
MAX_CLOCK_ERROR_S = 900.0
"""Stores refuse signatures of clocks that differ by more."""


def _kind_by_words(failure: Failure, chain: list[BaseException]) -> Kind:
    """The kind of a refused request by what the store says of its reason, and by its clock.

    An answer to a HEAD request has no text; every answer has a date.
    """
    is_answer = failure.status is not None and failure.kind in (Kind.FORBIDDEN, Kind.REFUSED)
    if not is_answer and failure.kind is not Kind.EXPIRED:
        return failure.kind
    if any(_clock_error_s(link) > MAX_CLOCK_ERROR_S for link in chain):
        return Kind.CLOCK
    text = " ".join(map(str, chain)).lower()
    return next((found for found, words in _WORDS if any(word in text for word in words)), failure.kind)


def _clock_error_s(error: BaseException) -> float:
    """How much this machine's clock differs from the store's, 0 if an answer does not tell."""
    try:
        return abs((datetime.now().astimezone() - parsedate_to_datetime(_header(error, "Date") or "")).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception of a client carries."""
    for value in _numbers_of(error):
        number = int(value) if isinstance(value, str) and value.isdigit() else value
        if isinstance(number, int) and 300 <= number < 600:
            return int(number)
    return None


def _numbers_of(error: BaseException) -> Iterator[Any]:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        yield response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        yield response.get("Error", {}).get("Code")
        return
    yield getattr(error, "status", None)
    yield getattr(error, "status_code", None)
    yield getattr(response, "status_code", None)
    if type(error).__module__.partition(".")[0] != "aiohttp":  # deprecated there, or that of a body cut short
        yield getattr(error, "code", None)


def _code_of(error: BaseException) -> str | None:
    """The store's own error code."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "error_code", None)
    code = getattr(code, "value", code)  # Azure's are members of an enumeration
    return code if isinstance(code, str) and not code.isdigit() else None


def _text_of(error: BaseException) -> str:
    """The first line of the store's message; the first two where it announces the second."""
    response = getattr(error, "response", None)
    text = response.get("Error", {}).get("Message") if isinstance(response, dict) else None
    text = text or getattr(error, "message", None) or str(error) or type(error).__name__
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def _retry_after_s(error: BaseException) -> float | None:
    """The Retry-After header in seconds, if the answer has one in that form."""
    value = _header(error, "Retry-After") or ""
    return float(value) if value.strip().isdigit() else None


def _header(error: BaseException, name: str) -> str | None:
    """A header of the answer that an exception carries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        headers = getattr(error, "headers", None) or getattr(response, "headers", None)
    get: Callable[[str], Any] = getattr(headers, "get", lambda name: None)
    value = get(name) or get(name.lower())
    return value if isinstance(value, str) else None


# -- by class, where no exception carries an answer

# Decisive whatever else is in the chain: a client that searches for credentials meets other errors on the way.
_DECISIVE_CLASSES = {
    Kind.NO_CREDENTIALS: "botocore.NoCredentialsError botocore.PartialCredentialsError botocore.ProfileNotFound"
    " google.DefaultCredentialsError azure.CredentialUnavailableError azure.ClientAuthenticationError",
    Kind.TLS: "botocore.SSLError requests.SSLError ssl.SSLError ssl.SSLCertVerificationError"
    " aiohttp.ClientConnectorCertificateError aiohttp.ClientConnectorSSLError",
    Kind.CONNECTION: "ssl.SSLEOFError ssl.SSLZeroReturnError",
}
_CLASSES = {
    Kind.EXPIRED: "botocore.SSOError botocore.TokenRetrievalError botocore.CredentialRetrievalError"
    " google.RefreshError",
    Kind.NO_CREDENTIALS: "google.GoogleAuthError",
    Kind.CONNECTION: "botocore.HTTPClientError botocore.ConnectionError botocore.IncompleteReadError"
    " botocore.ResponseStreamingError aiohttp.ClientConnectionError aiohttp.ClientPayloadError aiohttp.ClientError"
    " aiohttp.ContentLengthError requests.ConnectionError requests.Timeout requests.ChunkedEncodingError"
    " urllib3.HTTPError httpx.TransportError httpx2.TransportError google.TransportError google.RetryError"
    " azure.ServiceRequestError azure.ServiceResponseError azure.IncompleteReadError"
    " huggingface_hub.OfflineModeIsEnabled socket.gaierror builtins.ConnectionError builtins.TimeoutError"
    " asyncio.IncompleteReadError",
    Kind.REFUSED: "aiohttp.InvalidURL requests.InvalidURL",
    Kind.TEMPORARY: "gcsfs.ChecksumError",
    Kind.FORBIDDEN: "builtins.PermissionError",
    Kind.EXISTS: "builtins.FileExistsError",
    Kind.WRONG_TYPE: "builtins.IsADirectoryError builtins.NotADirectoryError",
    Kind.UNSUPPORTED: "builtins.NotImplementedError",
    Kind.MISSING: "builtins.FileNotFoundError",
    Kind.OTHER: "botocore.BotoCoreError",
}
_KIND_OF_DECISIVE_CLASS = {name: kind for kind, names in _DECISIVE_CLASSES.items() for name in names.split()}
_KIND_OF_CLASS = {name: kind for kind, names in _CLASSES.items() for name in names.split()}
_KIND_OF_ERRNO = {
    errno.ENOSPC: Kind.NO_SPACE,
    errno.EDQUOT: Kind.NO_SPACE,
    errno.EFBIG: Kind.NO_SPACE,
    errno.EROFS: Kind.READ_ONLY,
    errno.ENAMETOOLONG: Kind.NAME_TOO_LONG,
    errno.ENOSYS: Kind.UNSUPPORTED,
    errno.EOPNOTSUPP: Kind.UNSUPPORTED,
    errno.ELOOP: Kind.WRONG_TYPE,
    errno.EHOSTUNREACH: Kind.CONNECTION,
    errno.ENETUNREACH: Kind.CONNECTION,
    errno.EINVAL: Kind.REFUSED,
    errno.EILSEQ: Kind.REFUSED,  # a name that the file system cannot hold
}


def _by_decisive_class(chain: list[BaseException]) -> Failure | None:
    for link in chain:
        kind = _kind_by_name(link, _KIND_OF_DECISIVE_CLASS)
        if kind is not None and _status_of(link) is None:  # with a status, the answer is more specific
            return Failure(kind, text=_text_of(link))
    return None


def _by_class(chain: list[BaseException]) -> Failure | None:
    kinds = []
    for link in chain:
        by_errno = _KIND_OF_ERRNO.get(link.errno or 0) if isinstance(link, OSError) else None
        if kind := by_errno or _kind_by_name(link, _KIND_OF_CLASS):
            kinds.append((kind, link))
    if not kinds:
        return None
    kind, link = min(kinds, key=lambda pair: list(Kind).index(pair[0]))
    return Failure(kind, text=_text_of(link))


def _by_text(chain: list[BaseException]) -> Failure | None:
    """By the message of errors without class or status: gcsfs for 403, adlfs without an account, a wrong port."""
    for link in chain:
        head, _, text = str(link).partition("\n")
        if type(link) is OSError and head.startswith("Forbidden: "):
            return Failure(Kind.FORBIDDEN, 403, text=text.strip())
        if type(link) is ValueError and head.startswith("unable to connect to account for"):
            return Failure(Kind.NO_CREDENTIALS, text=head.removeprefix("unable to connect to account for "))
        if type(link) is ValueError and head.startswith("Port out of range"):
            return Failure(Kind.REFUSED, text=head)
    return None


def _kind_by_name(error: BaseException, kinds: dict[str, Kind]) -> Kind | None:
    """The kind of an exception's class, or of its nearest base class in ``kinds``."""
    names = (f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(error).__mro__)
    return next((kinds[name] for name in names if name in kinds), None)
