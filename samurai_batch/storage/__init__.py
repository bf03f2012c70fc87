"""Where bytes live: local paths, ``s3://``, ``gs://``, ``az://``, ``hf://`` and whatever else fsspec knows.

A URI is a plain local path, ``file://`` followed by a path, or ``protocol://...``. Nothing in it is
percent-decoded, so the names made by `quote_id` stay as they are. Credentials and endpoints come from the
usual variables of each store (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``,
``AZURE_STORAGE_ACCOUNT_NAME``, ``HF_TOKEN``, ...).

Writes are atomic: a reader sees the old bytes or the new ones. Listings are never cached, so what another
process wrote is seen. Errors that may pass are retried a bounded number of times; what remains is a
`StorageError`, and what is missing a `FileNotFoundError`.

    uris.py         URIs as text
    objects.py      reading, writing, listing
    identities.py   one state of a file or folder told from another
    local.py        files put in place at once
    stores.py       which store a URI belongs to, and whether it can be used; the only place that imports fsspec
    failures.py     what an exception of a store's client means
    messages.py     ... as one sentence
    retry.py        what is tried again
"""

from samurai_batch.storage.failures import Failure, Kind
from samurai_batch.storage.identities import FRAME_SUFFIXES, Identity, files_of, identity, modified_s
from samurai_batch.storage.local import TEMPORARIES_FOLDER, TEMPORARY_PREFIX, sweep_temporaries
from samurai_batch.storage.objects import (
    Children,
    arrow_filesystem,
    copy_to_local,
    create_bytes,
    delete,
    exists,
    is_directory,
    list_children,
    list_names,
    open_input,
    read_bytes,
    write_bytes,
)
from samurai_batch.storage.retry import NUM_ATTEMPTS, NUM_LOCAL_ATTEMPTS, failure_of, translated
from samurai_batch.storage.stores import check_inputs, check_output
from samurai_batch.storage.uris import (
    file_name,
    is_remote,
    join,
    local_path,
    protocol_of,
    quote_id,
    redact,
    unquote_id,
    without_signature,
)

__all__ = [
    "FRAME_SUFFIXES",
    "NUM_ATTEMPTS",
    "NUM_LOCAL_ATTEMPTS",
    "TEMPORARIES_FOLDER",
    "TEMPORARY_PREFIX",
    "Children",
    "Failure",
    "Identity",
    "Kind",
    "arrow_filesystem",
    "check_inputs",
    "check_output",
    "copy_to_local",
    "create_bytes",
    "delete",
    "exists",
    "failure_of",
    "file_name",
    "files_of",
    "identity",
    "is_directory",
    "is_remote",
    "join",
    "list_children",
    "list_names",
    "local_path",
    "modified_s",
    "open_input",
    "protocol_of",
    "quote_id",
    "read_bytes",
    "redact",
    "sweep_temporaries",
    "translated",
    "unquote_id",
    "without_signature",
    "write_bytes",
]
