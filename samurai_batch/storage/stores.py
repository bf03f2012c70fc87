"""Which store a URI belongs to, and whether it can be used. Only this module imports fsspec."""

import importlib
import logging
import os
import re
import urllib.parse
from collections.abc import Iterable
from functools import cache
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from samurai_batch.errors import StorageError, StoreError
from samurai_batch.storage.failures import Kind
from samurai_batch.storage.retry import failure_of, retrying
from samurai_batch.storage.uris import is_remote, local_path, protocol_of, redact

_EXTRAS = {
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "hf": ("huggingface_hub", "hf"),
}
"""The package that a protocol needs, and our extra that brings it."""

_S3 = ("s3", "s3a")
_GOOGLE = ("gs", "gcs")
_AZURE = ("az", "abfs", "abfss")
_BUCKETS = frozenset({*_S3, *_GOOGLE, *_AZURE, "oss", "oci", "tos"})
"""Object stores: the first part of a path is a bucket."""

_ONLY_READ = {
    "http": "a web server takes no files",
    "https": "a web server takes no files",
    "ftp": "a file there cannot be replaced at once",
    "github": "it can only be read",
    "gist": "it can only be read",
    "git": "it can only be read",
    "zip": "an archive cannot be written to",
    "tar": "an archive cannot be written to",
    "libarchive": "an archive cannot be written to",
    "data": "it can only be read",
    "reference": "it can only be read",
}

_LOUD = {
    "gcsfs": logging.CRITICAL,  # a traceback for each failure, of which we make one sentence
    "azure": logging.ERROR,  # a line for each request, ten for missing credentials
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
}
"""Loggers of clients, and from which level on they are heard, where nobody has set another."""


def locate(uri: str) -> tuple[Any, str]:
    """The fsspec file system of ``uri``, and its path there.

    Raises StoreError if it cannot be used, and what `retrying` raises.
    """
    if not is_remote(uri):
        return LocalFileSystem(), str(local_path(uri))
    protocol = protocol_of(uri)
    _check_protocol(uri, protocol)
    _quieten_clients()
    try:
        return retrying("connecting", uri, lambda: _connect(uri, protocol))
    except StorageError as error:
        failure = failure_of(error)
        if failure is not None and failure.kind in (Kind.OTHER, Kind.NO_CREDENTIALS, Kind.REFUSED):
            raise StoreError(str(error)) from error
        raise


def _connect(uri: str, protocol: str) -> tuple[Any, str]:
    """Most clients talk to their store only later."""
    options = _options(protocol)
    if protocol in _GOOGLE and "::" not in uri:
        files = _google_class()(**options)
        return files, files._strip_protocol(uri)
    files, path = fsspec.core.url_to_fs(uri, **options)
    return files, path


def check_inputs(uris: Iterable[str], *, in_one_process: bool) -> None:
    """Refuse URIs of stores that cannot be used here, one look at each store. Raises StoreError."""
    examples: dict[str, str] = {}
    for uri in uris:
        if is_remote(uri):
            examples.setdefault(protocol_of(uri), uri)
    for protocol, uri in examples.items():
        _check_protocol(uri, protocol)
        _check_memory(uri, protocol, in_one_process)


def check_output(uri: str, *, in_one_process: bool) -> None:
    """Refuse an output that cannot be written, without a request to its store. Raises StoreError.

    ``in_one_process`` says that all who write live in this process: only they see each other's ``memory://``.
    """
    if not is_remote(uri):
        return
    check_writable(uri)
    protocol, path = protocol_of(uri), uri.partition("://")[2]
    _check_protocol(uri, protocol)
    _check_memory(uri, protocol, in_one_process)
    if protocol in _BUCKETS and not path.partition("/")[0]:
        raise StoreError(f"{redact(uri)}: it names no bucket; write {protocol}://bucket/folder")
    if "//" in path.rstrip("/"):
        raise StoreError(f"{redact(uri)}: the path holds //, a folder without a name; write it with single slashes")


def check_writable(uri: str) -> None:
    """Refuse a remote URI of a kind that is only read. Raises StoreError."""
    protocol, path = protocol_of(uri), uri.partition("://")[2]
    if protocol in _ONLY_READ:
        raise StoreError(
            f"{redact(uri)}: {protocol}:// is no output: {_ONLY_READ[protocol]}; give a folder, or s3://, gs:// or az://"
        )
    if "::" in uri.partition("://")[0]:
        raise StoreError(f"{redact(uri)}: a chain of stores is no output; give a folder, or one store's URI")
    if protocol == "hf" and not path.startswith("buckets/"):
        raise StoreError(
            f"{redact(uri)}: a repository is no output: each file would be a commit; give a folder, s3://, gs:// or "
            "az://, and upload the result with `hf upload`"
        )


def missing_bucket(uri: str) -> StoreError:
    """What a write says that found no place: an object store has no folders, so it is the bucket."""
    scheme, _, path = uri.partition("://")
    bucket = f"{scheme}://{path.partition('/')[0]}"
    what = "container" if scheme in _AZURE else "bucket"
    return StoreError(f"{redact(uri)}: the {what} {redact(bucket)} does not exist; create it, or name another output")


@cache
def _quieten_clients() -> None:
    for name, level in _LOUD.items():
        client = logging.getLogger(name)
        if client.level == logging.NOTSET:
            client.setLevel(level)


def _check_protocol(uri: str, protocol: str) -> None:
    """Load the client of a protocol."""
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        if protocol in _EXTRAS:
            package, extra = _EXTRAS[protocol]
            how = f"needs {package}: pip install 'samurai-batch[{extra}]'"
        else:
            how = f"needs a package that is not installed: {error}"
        raise StoreError(f"{redact(uri)}: it cannot be used: {protocol}:// {how}") from error
    except ValueError as error:
        raise StoreError(
            f"{redact(uri)}: it cannot be used: {protocol}:// is no store that is known; use a path, s3://, gs://, "
            "az://, hf://, https:// or another protocol of fsspec"
        ) from error


def _check_memory(uri: str, protocol: str, in_one_process: bool) -> None:
    if protocol == "memory" and not in_one_process:
        raise StoreError(
            f"{redact(uri)}: memory:// is each process's own, and replicas on Ray are processes; give a folder or a "
            "bucket, or run with pool: local"
        )


def _options(protocol: str) -> dict[str, object]:
    """What the client of a protocol is made with."""
    options: dict[str, object] = {"use_listings_cache": False}
    if protocol in _S3:
        if endpoint_url := _endpoint_url():
            # botocore reads it as well, but fsspec would go on using the client it made for another endpoint.
            options["endpoint_url"] = endpoint_url
    elif protocol in _GOOGLE:
        if os.environ.get("STORAGE_EMULATOR_HOST"):
            options["token"] = "anon"  # noqa: S105  as Google's own client does
        options |= _with_timeout(_GOOGLE, "session_kwargs")
    elif protocol in _AZURE:
        if connection := os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
            options["connection_string"] = connection  # adlfs reads it as well; the reason is that of the endpoint
    elif protocol in ("http", "https"):
        options |= _with_timeout(("http", "https"), "client_kwargs")
    return options


def _google_class() -> Any:
    """Google's plain file system. The one that gcsfs gives by default asks every bucket for its layout first, by gRPC.

    Only zonal buckets need that; emulators and closed networks let it wait for a minute, at each request.
    """
    if os.environ.get("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "").lower() in ("true", "1"):
        return fsspec.get_filesystem_class("gs")
    return importlib.import_module("gcsfs.core").GCSFileSystem


def _with_timeout(protocols: tuple[str, ...], option: str) -> dict[str, object]:
    """The timeouts of an aiohttp client, unless fsspec's configuration says something of that client."""
    if any(option in fsspec.config.conf.get(protocol, {}) for protocol in protocols):
        return {}
    import aiohttp  # loaded by those clients anyway

    # aiohttp's default is 300 seconds for the whole of a file, however long it is.
    return {option: {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=60.0)}}


def _endpoint_url() -> str | None:
    """The endpoint of S3 that the environment names. Raises StoreError if it is no URL."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            parts = urllib.parse.urlsplit(url)
            if parts.scheme not in ("http", "https") or not re.match(r"[^:@]", parts.netloc):
                raise StoreError(f"{name}={redact(url)} is no URL; write it with http:// or https:// in front")
            return url
    return None
