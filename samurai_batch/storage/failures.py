"""What an exception of a store's client means, whichever client raised it.

Clients wrap one another and change the class on the way: fsspec's HTTP client raises FileNotFoundError for any status,
gcsfs an OSError without a number, adlfs a RuntimeError. So the whole chain of causes is read: first for an HTTP status
or a store's error code, then for classes that are known by name (the clients are not imported), then for ``errno``.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What went wrong."""

    MISSING = "missing"  # 404 and 410, no other status
    FORBIDDEN = "forbidden"
    EXPIRED = "expired"  # credentials or a signature
    NO_CREDENTIALS = "no_credentials"
    THROTTLED = "throttled"
    SERVER = "server"
    CONNECTION = "connection"  # refused, reset, no such host, no answer in time
    TLS = "tls"
    NO_SPACE = "no_space"
    READ_ONLY = "read_only"
    NAME_TOO_LONG = "name_too_long"
    WRONG_TYPE = "wrong_type"  # a folder where a file should be, or the other way round
    EXISTS = "exists"  # the condition of a conditional write
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"  # any other status from 400 to 499
    TEMPORARY = "temporary"  # what may pass, and is none of the above
    OTHER = "other"


MAY_PASS = frozenset({Kind.THROTTLED, Kind.SERVER, Kind.CONNECTION, Kind.TEMPORARY})
"""What is worth another try."""


@dataclass(frozen=True)
class Failure:
    """One failed request: what it means, and what the store said."""

    kind: Kind
    status: int | None = None
    code: str | None = None
    text: str = ""
    retry_after_s: float | None = None


def read_failure(error: BaseException, until: BaseException | None = None) -> Failure | None:
    """What ``error`` means; None if nothing says that it comes from a store, and it looks like a bug.

    ``until`` was being handled already when the request began: it and what is behind it have other reasons.
    """
    chain = list(_chain(error, until))
    for read in (_by_certain_class, _by_answer, _by_words, _by_class):
        if (found := read(chain)) is not None:
            return found
    if isinstance(error, _NOT_OF_A_STORE):
        return None
    return Failure(Kind.TEMPORARY if isinstance(error, OSError) else Kind.OTHER, text=_text_of(error))


# What is raised for a mistake in a program, or for a path that the locale has no letters for, and by no client for an
# answer of its store.
_NOT_OF_A_STORE = (
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    MemoryError,
    RecursionError,
    UnicodeEncodeError,
)


def _chain(error: BaseException, until: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised from, and what it was made of; each once."""
    seen: set[int] = {id(until)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting.append(link.__cause__ if link.__suppress_context__ else link.__context__)
        waiting += [argument for argument in link.args if isinstance(argument, BaseException)]


# -- by the answer of a store

_BY_CODE = {
    # S3 and what speaks like it
    "ExpiredToken": Kind.EXPIRED,
    "ExpiredTokenException": Kind.EXPIRED,
    "TokenRefreshRequired": Kind.EXPIRED,
    "RequestExpired": Kind.EXPIRED,
    "InvalidToken": Kind.EXPIRED,
    "SlowDown": Kind.THROTTLED,
    "Throttling": Kind.THROTTLED,
    "ThrottlingException": Kind.THROTTLED,
    "TooManyRequests": Kind.THROTTLED,
    "RequestLimitExceeded": Kind.THROTTLED,
    "ServiceUnavailable": Kind.THROTTLED,
    "InternalError": Kind.SERVER,
    "RequestTimeout": Kind.CONNECTION,
    "IncompleteBody": Kind.CONNECTION,
    "OperationAborted": Kind.TEMPORARY,
    "ConditionalRequestConflict": Kind.TEMPORARY,
    "PreconditionFailed": Kind.EXISTS,
    "NotImplemented": Kind.UNSUPPORTED,
    "KeyTooLongError": Kind.NAME_TOO_LONG,
    "QuotaExceeded": Kind.NO_SPACE,
    "XMinioStorageFull": Kind.NO_SPACE,
    # Azure
    "BlobAlreadyExists": Kind.EXISTS,
    "ServerBusy": Kind.THROTTLED,
    "NoAuthenticationInformation": Kind.NO_CREDENTIALS,
    "PublicAccessNotPermitted": Kind.NO_CREDENTIALS,
}

_BY_STATUS = {
    401: Kind.FORBIDDEN,
    403: Kind.FORBIDDEN,
    404: Kind.MISSING,
    405: Kind.UNSUPPORTED,
    408: Kind.CONNECTION,
    409: Kind.TEMPORARY,
    410: Kind.MISSING,
    412: Kind.EXISTS,
    414: Kind.NAME_TOO_LONG,
    425: Kind.TEMPORARY,
    429: Kind.THROTTLED,
    501: Kind.UNSUPPORTED,
    503: Kind.THROTTLED,
    507: Kind.NO_SPACE,
}


def _by_answer(chain: list[BaseException]) -> Failure | None:
    """The outermost link that carries a store's answer."""
    for link in chain:
        status, code = _status_of(link), _code_of(link)
        if status is None and code not in _BY_CODE:
            continue
        kind = _BY_CODE.get(code or "") or _kind_of_status(status)
        text = _text_of(link)
        if kind in (Kind.FORBIDDEN, Kind.REFUSED) and _says_expired(" ".join(map(str, chain))):
            kind = Kind.EXPIRED
        return Failure(kind, status, code, text, _retry_after_s(link))
    return None


def _kind_of_status(status: int | None) -> Kind:
    assert status is not None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Kind.SERVER if status >= 500 else Kind.REFUSED


def _says_expired(text: str) -> bool:
    return "expired" in text.lower() or "not valid in the specified time frame" in text


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception carries, as the clients of S3, HTTP, Google, Azure and Hugging Face do."""
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
    if type(error).__module__.partition(".")[0] != "aiohttp":  # there it is deprecated, or that of a body cut short
        yield getattr(error, "code", None)


def _code_of(error: BaseException) -> str | None:
    """The store's own word for it."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "error_code", None)
    code = getattr(code, "value", code)  # Azure's are members of an enumeration
    return code if isinstance(code, str) and not code.isdigit() else None


def _text_of(error: BaseException) -> str:
    """What the store said, on one line."""
    response = getattr(error, "response", None)
    text = response.get("Error", {}).get("Message") if isinstance(response, dict) else None
    text = text or getattr(error, "message", None) or str(error) or type(error).__name__
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def _retry_after_s(error: BaseException) -> float | None:
    """What the store asks to wait, if it says so in seconds."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        headers = getattr(error, "headers", None) or getattr(response, "headers", None)
    get: Callable[[str], Any] = getattr(headers, "get", lambda name: None)
    value = get("Retry-After") or get("retry-after")
    return float(value) if isinstance(value, str) and value.strip().isdigit() else None


# -- by class, where there was no answer

_CERTAIN = {
    "botocore.NoCredentialsError": Kind.NO_CREDENTIALS,
    "botocore.PartialCredentialsError": Kind.NO_CREDENTIALS,
    "botocore.ProfileNotFound": Kind.NO_CREDENTIALS,
    "botocore.SSLError": Kind.TLS,
    "google.DefaultCredentialsError": Kind.NO_CREDENTIALS,
    "azure.CredentialUnavailableError": Kind.NO_CREDENTIALS,
    "azure.ClientAuthenticationError": Kind.NO_CREDENTIALS,  # with an answer it is read by that
    "ssl.SSLCertVerificationError": Kind.TLS,
    "aiohttp.ClientConnectorCertificateError": Kind.TLS,
    "aiohttp.ClientConnectorSSLError": Kind.TLS,
    "requests.SSLError": Kind.TLS,
    "ssl.SSLEOFError": Kind.CONNECTION,
    "ssl.SSLZeroReturnError": Kind.CONNECTION,
    "ssl.SSLError": Kind.TLS,
}
"""These hold whatever else stands in the chain: looking for credentials, a client meets other errors."""

_BY_CLASS = {
    "botocore.SSOError": Kind.EXPIRED,
    "botocore.TokenRetrievalError": Kind.EXPIRED,
    "botocore.CredentialRetrievalError": Kind.EXPIRED,
    "botocore.HTTPClientError": Kind.CONNECTION,
    "botocore.ConnectionError": Kind.CONNECTION,
    "botocore.IncompleteReadError": Kind.CONNECTION,
    "botocore.ResponseStreamingError": Kind.CONNECTION,
    "botocore.BotoCoreError": Kind.OTHER,
    "aiohttp.ClientConnectionError": Kind.CONNECTION,
    "aiohttp.ClientPayloadError": Kind.CONNECTION,
    "aiohttp.InvalidURL": Kind.REFUSED,
    "aiohttp.ClientError": Kind.CONNECTION,
    "aiohttp.ContentLengthError": Kind.CONNECTION,
    "requests.ConnectionError": Kind.CONNECTION,
    "requests.Timeout": Kind.CONNECTION,
    "requests.ChunkedEncodingError": Kind.CONNECTION,
    "requests.InvalidURL": Kind.REFUSED,
    "urllib3.HTTPError": Kind.CONNECTION,
    "httpx.TransportError": Kind.CONNECTION,
    "httpx2.TransportError": Kind.CONNECTION,
    "google.RefreshError": Kind.EXPIRED,
    "google.TransportError": Kind.CONNECTION,
    "google.RetryError": Kind.CONNECTION,
    "google.GoogleAuthError": Kind.NO_CREDENTIALS,
    "gcsfs.ChecksumError": Kind.TEMPORARY,
    "azure.ServiceRequestError": Kind.CONNECTION,
    "azure.ServiceResponseError": Kind.CONNECTION,
    "azure.IncompleteReadError": Kind.CONNECTION,
    "huggingface_hub.OfflineModeIsEnabled": Kind.CONNECTION,
    "socket.gaierror": Kind.CONNECTION,
    "builtins.ConnectionError": Kind.CONNECTION,
    "builtins.TimeoutError": Kind.CONNECTION,
    "asyncio.IncompleteReadError": Kind.CONNECTION,
    "builtins.PermissionError": Kind.FORBIDDEN,
    "builtins.FileExistsError": Kind.EXISTS,
    "builtins.IsADirectoryError": Kind.WRONG_TYPE,
    "builtins.NotADirectoryError": Kind.WRONG_TYPE,
    "builtins.NotImplementedError": Kind.UNSUPPORTED,
    "builtins.FileNotFoundError": Kind.MISSING,
}

_BY_ERRNO = {
    errno.ENOSPC: Kind.NO_SPACE,
    errno.EDQUOT: Kind.NO_SPACE,
    errno.EROFS: Kind.READ_ONLY,
    errno.ENAMETOOLONG: Kind.NAME_TOO_LONG,
    errno.ENOSYS: Kind.UNSUPPORTED,
    errno.EOPNOTSUPP: Kind.UNSUPPORTED,
    errno.ELOOP: Kind.WRONG_TYPE,
    errno.EHOSTUNREACH: Kind.CONNECTION,
    errno.ENETUNREACH: Kind.CONNECTION,
    errno.EINVAL: Kind.REFUSED,
}

# Of several links with a kind of their own, the first of these counts: the outer ones are what a client made of it.
_PRECEDENCE = (
    Kind.NO_SPACE,
    Kind.READ_ONLY,
    Kind.NAME_TOO_LONG,
    Kind.CONNECTION,
    Kind.EXPIRED,
    Kind.NO_CREDENTIALS,
    Kind.FORBIDDEN,
    Kind.EXISTS,
    Kind.WRONG_TYPE,
    Kind.UNSUPPORTED,
    Kind.REFUSED,
    Kind.TEMPORARY,
    Kind.MISSING,
    Kind.OTHER,
)


def _by_certain_class(chain: list[BaseException]) -> Failure | None:
    for link in chain:
        kind = _looked_up(link, _CERTAIN)
        if kind is not None and _status_of(link) is None:
            return Failure(kind, text=_text_of(link))
    return None


def _by_class(chain: list[BaseException]) -> Failure | None:
    found = [(kind, link) for link in chain if (kind := _kind_of_class(link)) is not None]
    if not found:
        return None
    kind, link = min(found, key=lambda pair: _PRECEDENCE.index(pair[0]))
    return Failure(kind, text=_text_of(link))


def _by_words(chain: list[BaseException]) -> Failure | None:
    """What two clients say by words alone: gcsfs of 403, adlfs where it is not told of an account."""
    for link in chain:
        head, _, text = str(link).partition("\n")
        if type(link) is OSError and head.startswith("Forbidden: "):
            return Failure(Kind.EXPIRED if _says_expired(text) else Kind.FORBIDDEN, 403, text=text.strip())
        if type(link) is ValueError and head.startswith("unable to connect to account for"):
            return Failure(Kind.NO_CREDENTIALS, text=head.removeprefix("unable to connect to account for "))
    return None


def _kind_of_class(error: BaseException) -> Kind | None:
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    return _looked_up(error, _BY_CLASS)


def _looked_up(error: BaseException, table: dict[str, Kind]) -> Kind | None:
    names = (f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(error).__mro__)
    return next((table[name] for name in names if name in table), None)
