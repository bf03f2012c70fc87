"""Reading and writing bytes on local disk, ``s3://``, ``gs://``, ``az://``, ``hf://`` and every other fsspec store.

A URI is a local path, ``file://`` followed by a path, or ``protocol://...``. Nothing in it is percent-decoded, so
names made by `quote_id` stay as they are. Credentials and endpoints come from each store's usual environment variables
(``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_NAME``,
``HF_TOKEN``, ...).

Writes are atomic: a reader sees the old bytes or the new ones. Listings are never cached, so writes of other processes
are seen at once. Errors that a retry may solve are retried a limited number of times; then a `StorageError` is raised.
A URI that does not exist raises `FileNotFoundError`.

    uris.py         URIs as text
    stores.py       the store of a URI and its client; the only module that imports fsspec
    objects.py      reading, writing, listing, deleting
    identities.py   size, version and modification time
    patterns.py     files that match a URI with * or ?
    local.py        atomic writes of local files
    arrow_files.py  how pyarrow reads files of remote stores
    failures.py     the kind of failure behind a client's exception
    retry.py        which failures are retried, and the message of those that remain
"""

from samurai_batch.redaction import redact_uri
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
    has_conditional_writes,
    is_directory,
    list_children,
    list_names,
    read_bytes,
    write_bytes,
)
from samurai_batch.storage.patterns import is_pattern, matches, with_matches
from samurai_batch.storage.retry import NUM_ATTEMPTS, NUM_LOCAL_ATTEMPTS, failure_of, translated
from samurai_batch.storage.stores import check_inputs, check_output
from samurai_batch.storage.uris import (
    as_one,
    file_name,
    is_remote,
    join,
    local_path,
    numbered_name,
    protocol_of,
    quote_id,
    unquote_id,
    uris_of_files,
    without_signature,
)

__all__ = [
    "FRAME_SUFFIXES", "NUM_ATTEMPTS", "NUM_LOCAL_ATTEMPTS", "TEMPORARIES_FOLDER", "TEMPORARY_PREFIX", "Children",
    "Failure", "Identity", "Kind", "arrow_filesystem", "as_one", "check_inputs", "check_output", "copy_to_local",
    "create_bytes", "delete", "exists", "failure_of", "file_name", "files_of", "has_conditional_writes", "identity",
    "is_directory", "is_pattern", "is_remote", "join", "list_children", "list_names", "local_path", "matches",
    "modified_s", "numbered_name", "protocol_of", "quote_id", "read_bytes", "redact_uri", "sweep_temporaries",
    "translated", "unquote_id", "uris_of_files", "with_matches", "without_signature", "write_bytes",
]  # fmt: skip
