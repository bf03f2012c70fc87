"""URIs as text; no function here accesses a store."""

import posixpath
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samurai_batch.errors import StoreError

S3 = ("s3", "s3a")
GOOGLE = ("gs", "gcs")
AZURE = ("az", "abfs", "abfss")
HTTP = ("http", "https")
HUGGING_FACE = ("hf",)
"""Protocols of the stores with settings and messages of their own."""

_NUMBERED = re.compile(r"(.*?)[_-]?([0-9]+)")
_LOCAL_PROTOCOLS = ("file://", "local://")
_ONE_SLASH = re.compile(
    rf"({'|'.join((*S3, *GOOGLE, *AZURE, *HTTP, *HUGGING_FACE, 'memory', 'file', 'local'))}):/(?!/)"
)
_SIGNATURE_PARAMETERS = frozenset({"x-amz-signature", "x-goog-signature", "signature", "sig"})
_SIGNING_PARAMETERS = _SIGNATURE_PARAMETERS.union(
    ("awsaccesskeyid", "expires", "googleaccessid", "key-pair-id", "policy"),  # AWS and Google version 2, CloudFront
    ("sv", "se", "sp", "sr", "st", "spr", "sip", "ss", "srt", "skoid", "sktid", "skt", "ske", "sks", "skv"),  # Azure
)


def uris_of_files(uri: str) -> list[str]:
    """The URIs of the files of a video, in their order. Those of several files are joined by line ends."""
    return uri.split("\n")


def as_one(uris: Sequence[str]) -> str:
    """Several URIs as the URI of one video."""
    return "\n".join(uris)


def join(uri: str, *parts: str) -> str:
    """``uri`` extended by relative parts, separated by single slashes."""
    assert not any(part.startswith("/") for part in parts), parts
    return posixpath.join(uri, *parts)


def quote_id(identifier: str) -> str:
    """An id as a safe file name: URL-quoted, and never starting with ``.`` or ``_``."""
    assert identifier, "an id is never empty"
    quoted = urllib.parse.quote(identifier, safe="")
    return f"%{ord(quoted[0]):02X}{quoted[1:]}" if quoted[0] in "._" else quoted


def unquote_id(name: str) -> str:
    """The id that `quote_id` turned into this name."""
    return urllib.parse.unquote(name)


def is_remote(uri: str) -> bool:
    """Whether a URI is outside this machine's file system; ``memory://`` counts as outside."""
    return "://" in uri and not uri.startswith(_LOCAL_PROTOCOLS)


def without_signature(uri: str) -> str:
    """``uri`` without the signing parameters of its query (AWS, Google Cloud, Azure SAS, CloudFront).

    So a file keeps its identity when its URL is signed again. Other parameters, and a URI without a signature, are
    kept.
    """
    address, mark, query = uri.partition("?")
    pairs = [pair for pair in query.split("&") if pair]
    names = [urllib.parse.unquote(pair.partition("=")[0]).lower() for pair in pairs]
    if not is_remote(uri) or not mark or not _SIGNATURE_PARAMETERS.intersection(names):
        return uri
    kept = [
        pair
        for pair, name in zip(pairs, names, strict=True)
        if name not in _SIGNING_PARAMETERS and not name.startswith(("x-amz-", "x-goog-"))
    ]
    return f"{address}?{'&'.join(kept)}" if kept else address


def local_path(uri: str) -> Path:
    """The path of a local URI.

    Raises StoreError for a URI with one slash, as ``pathlib`` makes it of one with two, for a ``~`` without a home
    folder, and for a relative path if the current folder has been deleted.
    """
    assert not is_remote(uri), uri
    if found := _ONE_SLASH.match(uri):
        meant = f"{found[1]}://{'/' if found[1] in ('file', 'local') else ''}{uri[found.end() :]}"
        raise StoreError(f"{uri}: one slash after {found[1]}: makes it a folder of this machine; write {meant}")
    for protocol in _LOCAL_PROTOCOLS:
        uri = uri.removeprefix(protocol)
    try:
        return Path(uri).expanduser().absolute()
    except RuntimeError as error:
        raise StoreError(f"{uri}: ~ names no home folder here; give the whole path") from error
    except FileNotFoundError as error:
        raise StoreError(
            f"{uri}: the current folder has been deleted; change to one that exists, or give the whole path"
        ) from error


def protocol_of(uri: str) -> str:
    """``s3`` of ``s3://...``, ``zip`` of the chain ``zip://a.mp4::s3://...``, ``file`` of a local URI."""
    return re.split("://|::", uri, maxsplit=1)[0] if is_remote(uri) else "file"


def file_name(uri: str) -> str:
    """The last part of a URI's path. A query is removed from ``http(s)://`` URIs only; others may contain ``?``."""
    if protocol_of(uri) in HTTP:
        uri = uri.partition("?")[0].partition("#")[0]
    return uri.rstrip("/").rpartition("/")[2]


def numbered_name(uri: str) -> tuple[str, int] | None:
    """What a file's name has before the number that it ends with, and the number; None if it ends with none.

    ``("frame", 12)`` of ``folder/frame_000012.png``.
    """
    found = _NUMBERED.fullmatch(PurePosixPath(file_name(uri)).stem)
    return None if found is None else (found[1], int(found[2]))
