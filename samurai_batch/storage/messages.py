"""One sentence for each kind of failure: what happened, and what mends it."""

import os

from samurai_batch.redaction import redact as redact_text
from samurai_batch.storage.failures import Failure, Kind
from samurai_batch.storage.uris import protocol_of, redact

MAX_TEXT = 300

_S3 = ("s3", "s3a")
_GOOGLE = ("gs", "gcs")
_AZURE = ("az", "abfs", "abfss")
_HTTP = ("http", "https")

_CREDENTIALS = {
    _S3: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; for a public bucket FSSPEC_S3_ANON=true",
    _GOOGLE: "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS; for a public bucket "
    "FSSPEC_GS_TOKEN=anon",
    _AZURE: "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or "
    "AZURE_STORAGE_CONNECTION_STRING; for a public container AZURE_STORAGE_ANON=true",
    ("hf",): "run `hf auth login` or set HF_TOKEN",
}
_ACCESS = {
    _HTTP: "not allowed, or the signed URL has expired: ask for access, or sign the URL anew",
    _GOOGLE: f"these credentials may not do it, or there are none: {_CREDENTIALS[_GOOGLE]}",
    _AZURE: f"these credentials may not do it, or there are none: {_CREDENTIALS[_AZURE]}",
    ("hf",): f"not there, or these credentials may not see it: {_CREDENTIALS[('hf',)]}",
    ("file",): "check the path and your rights",
}
_RENEWAL = {
    _HTTP: "sign the URL anew",
    _S3: "get new ones (`aws sso login`, a new AWS_SESSION_TOKEN), and start the same command again",
    _GOOGLE: "run `gcloud auth application-default login`, and start the same command again",
    _AZURE: "run `az login` or make a new SAS token, and start the same command again",
}

_MEANINGS = {
    Kind.FORBIDDEN: "forbidden",
    Kind.EXPIRED: "the credentials or the signature have expired",
    Kind.NO_CREDENTIALS: "there are no credentials",
    Kind.THROTTLED: "the store is busy",
    Kind.SERVER: "the store failed",
    Kind.CONNECTION: "no connection",
    Kind.TLS: "no secure connection",
    Kind.NO_SPACE: "no space is left",
    Kind.READ_ONLY: "it can only be read",
    Kind.NAME_TOO_LONG: "the name is too long",
    Kind.UNSUPPORTED: "the store does not support it",
    Kind.REFUSED: "refused",
}
_REMEDIES = {
    Kind.THROTTLED: "try again later, or with fewer replicas",
    Kind.SERVER: "check storage and network",
    Kind.CONNECTION: "check storage, its address and the network",
    Kind.TLS: "check the certificate and the clock; a certificate of your own is named by SSL_CERT_FILE",
    Kind.NO_SPACE: "make room, or name another place",
    Kind.READ_ONLY: "name another place",
    Kind.NAME_TOO_LONG: "use a shorter name",
    Kind.WRONG_TYPE: "check the path and your rights",
    Kind.EXISTS: "check the path and your rights",
    Kind.UNSUPPORTED: "use another store",
    Kind.REFUSED: "check the URI, and the settings of its store",
    Kind.TEMPORARY: "check storage and network",
    Kind.OTHER: "check the URI, and the settings of its store",
}


def sentence(what: str, uri: str, failure: Failure, attempts: int = 1) -> str:
    """What failed and why, fit for a user: without credentials, on one line."""
    how = f"failed {attempts} times, at last with" if attempts > 1 else "failed"
    return f"{redact(uri)}: {what} {how}: {reason(failure)}; {_remedy(what, uri, failure)}"


def reason(failure: Failure) -> str:
    """``HTTP 503 SlowDown, the store is busy: Please reduce your request rate.``"""
    status = f"HTTP {failure.status}" if failure.status else ""
    head = " ".join(part for part in (status, failure.code or "") if part)
    head = ", ".join(part for part in (head, _MEANINGS.get(failure.kind, "")) if part)
    text = "" if failure.status and _repeats_status(failure) else redact_text(failure.text)[:MAX_TEXT].rstrip(". ")
    return ": ".join(part for part in (head, text) if part)


def _repeats_status(failure: Failure) -> bool:
    """Whether the client has nothing to say but the status (aiohttp adds the whole URL)."""
    text = failure.text.removesuffix(f", {failure.status}")  # gcsfs adds it
    return text in ("", "Forbidden", "Unauthorized") or f"{failure.status}, message=" in text


def _remedy(what: str, uri: str, failure: Failure) -> str:
    protocol = protocol_of(uri)
    if what in ("writing", "creating") and _is_about_checksums(protocol, failure):
        return "a store that knows none of the SDK's checksums needs AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
    match failure.kind:
        case Kind.REFUSED if protocol in _S3 and failure.status == 400 and failure.code is None:
            # The answer to a look-up (HEAD) has no body that could say more.
            return "so S3 answers to temporary credentials that have expired, and to a wrong region: check both"
        case Kind.FORBIDDEN:
            return _of(_ACCESS, protocol, "these credentials may not do it: check them and the rights they have there")
        case Kind.NO_CREDENTIALS:
            return _of(_CREDENTIALS, protocol, "give credentials as this store's client wants them")
        case Kind.EXPIRED:
            return _of(_RENEWAL, protocol, "get new ones, and start the same command again")
    return _REMEDIES[failure.kind]


def _of(table: dict[tuple[str, ...], str], protocol: str, otherwise: str) -> str:
    return next((text for protocols, text in table.items() if protocol in protocols), otherwise)


def _is_about_checksums(protocol: str, failure: Failure) -> bool:
    """Whether an S3-like store may have stumbled over the checksums that newer SDKs add to what they send."""
    if protocol not in _S3 or os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION", "").lower() == "when_required":
        return False
    said = f"{failure.code} {failure.text}".lower()
    if any(word in said for word in ("checksum", "trailer", "aws-chunked", "xamzcontentsha256", "content-sha256")):
        return True
    has_own_endpoint = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    return has_own_endpoint and failure.kind in (Kind.UNSUPPORTED, Kind.REFUSED)
