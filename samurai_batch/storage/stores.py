"""The store of a URI, and whether it can be used. The only module that imports fsspec."""

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
from samurai_batch.redaction import redact_uri
from samurai_batch.storage.failures import Kind
from samurai_batch.storage.retry import failure_of, retrying
from samurai_batch.storage.uris import AZURE, GOOGLE, HTTP, S3, is_remote, local_path, protocol_of, uris_of_files

_EXTRAS = {
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "hf": ("huggingface_hub", "hf"),
}
"""By protocol: the package it needs, and the extra of samurai-batch that installs it."""

_BUCKETS = frozenset({*S3, *GOOGLE, *AZURE, "oss", "oci", "tos"})
"""Object stores, in which the first part of a path is a bucket."""

_READ_ONLY = {
    **dict.fromkeys(HTTP, "a web server does not accept files"),
    **dict.fromkeys(
        ("ftp", "sftp", "ssh", "smb", "hdfs", "arrow_hdfs", "webhdfs", "webdav", "dbfs", "dropbox", "gdrive", "box"),
        "it cannot replace files atomically",
    ),
    **dict.fromkeys(("zip", "tar", "libarchive"), "archives cannot be written to"),
    **dict.fromkeys(("github", "gist", "git", "data", "reference"), "it is read-only"),
}
"""Protocols that cannot hold an output, and why."""

_CLIENT_LOG_LEVELS = {
    "gcsfs": logging.CRITICAL,  # logs a traceback for each failure, which we report in one sentence
    "azure": logging.ERROR,  # logs a line for each request, and ten for missing credentials
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
}
"""Levels set for the loggers of clients, unless the program has set one."""


def locate(uri: str) -> tuple[Any, str]:
    """The fsspec file system of ``uri``, and its path there.

    Raises StoreError if the store cannot be used, and the errors of `retrying`.
    """
    if not is_remote(uri):
        return LocalFileSystem(), str(local_path(uri))
    protocol = protocol_of(uri)
    _check_protocol(uri, protocol)
    _set_client_log_levels()
    try:
        return retrying("connecting", uri, lambda: _connect(uri, protocol))
    except StorageError as error:
        failure = failure_of(error)
        if failure is not None and failure.kind in (Kind.OTHER, Kind.NO_CREDENTIALS, Kind.REFUSED):
            raise StoreError(str(error)) from error
        raise


def _connect(uri: str, protocol: str) -> tuple[Any, str]:
    """Create the client; most clients send no request yet."""
    options = _options(protocol)
    if protocol in GOOGLE and "::" not in uri:
        files = _google_class()(**options)
        return files, files._strip_protocol(uri)
    files, path = fsspec.core.url_to_fs(uri, **options)
    return files, path


def check_inputs(uris: Iterable[str], *, in_one_process: bool) -> None:
    """Raises StoreError if a URI's store cannot be used here; checks each protocol once, without a request."""
    examples: dict[str, str] = {}
    for uri in (file for of_video in uris for file in uris_of_files(of_video)):
        if is_remote(uri):
            examples.setdefault(protocol_of(uri), uri)
    for protocol, uri in examples.items():
        _check_protocol(uri, protocol)
        _check_memory(uri, protocol, in_one_process)


def check_output(uri: str, *, in_one_process: bool) -> None:
    """Raises StoreError if an output cannot be written, as far as its URI tells; sends no request.

    ``in_one_process`` means that all replicas are threads of this process, which ``memory://`` requires.
    """
    if not is_remote(uri):
        return
    check_writable(uri)
    protocol, path = protocol_of(uri), uri.partition("://")[2]
    _check_protocol(uri, protocol)
    _check_memory(uri, protocol, in_one_process)
    if protocol in _BUCKETS and not path.partition("/")[0]:
        raise StoreError(f"{redact_uri(uri)}: the bucket is missing; write {protocol}://bucket/folder")
    if "//" in path.rstrip("/"):
        raise StoreError(
            f"{redact_uri(uri)}: the path contains //, a folder without a name; write it with single slashes"
        )


def check_writable(uri: str) -> None:
    """Raises StoreError for a remote URI of a read-only kind."""
    protocol, path = protocol_of(uri), uri.partition("://")[2]
    if protocol in _READ_ONLY:
        raise StoreError(
            f"{redact_uri(uri)}: {protocol}:// cannot be an output: {_READ_ONLY[protocol]}; give a folder, s3://, "
            "gs:// or az://"
        )
    if "::" in uri.partition("://")[0]:
        raise StoreError(
            f"{redact_uri(uri)}: a chain of stores cannot be an output; give a folder or the URI of one store"
        )
    if protocol == "hf" and not path.startswith("buckets/"):
        raise StoreError(
            f"{redact_uri(uri)}: a repository cannot be an output, because each file would be a commit; give a folder, "
            "s3://, gs:// or az://, and upload the result with `hf upload`"
        )


def missing_bucket(uri: str) -> StoreError:
    """The error of a write that raised FileNotFoundError: object stores have no folders, so the bucket is missing."""
    scheme, _, path = uri.partition("://")
    if scheme not in _BUCKETS | {"hf"}:
        folder = redact_uri(uri.rpartition("/")[0])
        return StoreError(f"{redact_uri(uri)}: the folder {folder} does not exist; create it, or name another output")
    bucket = f"{scheme}://{path.partition('/')[0]}"
    what = "container" if scheme in AZURE else "bucket"
    return StoreError(
        f"{redact_uri(uri)}: the {what} {redact_uri(bucket)} does not exist; create it, or name another output"
    )


@cache
def _set_client_log_levels() -> None:
    for name, level in _CLIENT_LOG_LEVELS.items():
        client = logging.getLogger(name)
        if client.level == logging.NOTSET:
            client.setLevel(level)


def _check_protocol(uri: str, protocol: str) -> None:
    """Raises StoreError if the client of a protocol cannot be imported."""
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        if protocol in _EXTRAS:
            package, extra = _EXTRAS[protocol]
            how = f"needs {package}: pip install 'samurai-batch[{extra}]'"
        else:
            how = f"needs a package that is not installed: {error}"
        raise StoreError(f"{redact_uri(uri)}: {protocol}:// {how}") from error
    except ValueError as error:
        raise StoreError(
            f"{redact_uri(uri)}: {protocol}:// is an unknown protocol; use a path, s3://, gs://, az://, hf://, "
            "https:// or another protocol of fsspec"
        ) from error


def _check_memory(uri: str, protocol: str, in_one_process: bool) -> None:
    if protocol == "memory" and not in_one_process:
        raise StoreError(
            f"{redact_uri(uri)}: memory:// is not shared between processes, and replicas on Ray are processes; give a "
            "folder or a bucket, or run with pool: local"
        )


def _options(protocol: str) -> dict[str, object]:
    """Arguments of the client of a protocol."""
    options: dict[str, object] = {"use_listings_cache": False}
    if protocol in S3:
        if endpoint_url := _endpoint_url():
            # botocore reads the variable too, but fsspec would reuse a cached client of another endpoint.
            options["endpoint_url"] = endpoint_url
    elif protocol in GOOGLE:
        if os.environ.get("STORAGE_EMULATOR_HOST"):
            options["token"] = "anon"  # noqa: S105  as Google's own client does
        options |= _with_timeout(GOOGLE, "session_kwargs")
    elif protocol in AZURE:
        if connection := os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
            options["connection_string"] = connection  # adlfs reads it too; passed for the same reason
    elif protocol in HTTP:
        options |= _with_timeout(HTTP, "client_kwargs")
    return options


def _google_class() -> Any:
    """gcsfs' plain file system. Its default one first reads every bucket's layout by gRPC.

    Only zonal buckets need that, and with emulators and in closed networks each such request times out after a minute.
    """
    if os.environ.get("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "").lower() in ("true", "1"):
        return fsspec.get_filesystem_class("gs")
    return importlib.import_module("gcsfs.core").GCSFileSystem


def _with_timeout(protocols: tuple[str, ...], option: str) -> dict[str, object]:
    """Timeouts of an aiohttp client, unless fsspec's configuration sets options of that client."""
    if any(option in fsspec.config.conf.get(protocol, {}) for protocol in protocols):
        return {}
    import aiohttp  # these clients import it anyway

    # aiohttp's default is 300 seconds for a whole file, whatever its size.
    return {option: {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=60.0)}}


def _endpoint_url() -> str | None:
    """The S3 endpoint in the environment. Raises StoreError if it is no URL."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            parts = urllib.parse.urlsplit(url)
            if parts.scheme not in ("http", "https") or not re.match(r"[^:@]", parts.netloc):
                raise StoreError(f"{name}={redact_uri(url)} is no URL; begin it with http:// or https://")
            return url
    return None
