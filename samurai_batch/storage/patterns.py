"""URIs with ``*`` or ``?`` in their last part, and the files that match them."""

import fnmatch
import re

from samurai_batch.errors import ConfigError
from samurai_batch.redaction import redact_uri
from samurai_batch.storage.objects import exists, list_names
from samurai_batch.storage.uris import HTTP, as_one, is_remote, join, protocol_of


def is_pattern(uri: str) -> bool:
    """Whether a URI has ``*`` or ``?``. In a remote URI, ``?`` begins a query and makes no pattern."""
    if is_remote(uri):
        uri = uri.partition("?")[0]
    return "*" in uri or "?" in uri


def matches(pattern: str) -> list[str]:
    """What a folder holds that matches the last part of ``pattern``, sorted; names with a leading dot aside.

    Raises ConfigError for ``*`` and ``?`` in other parts, StorageError.
    """
    folder, _, last = pattern.rpartition("/")
    if is_pattern(folder):
        raise ConfigError(f"{redact_uri(pattern)}: * and ? may stand in the last part alone; name one folder")
    names = [name for name in list_names(folder or ".") if not name.startswith(".")]
    return [join(folder, name) for name in names if fnmatch.fnmatchcase(name, last)]


def with_matches(uri: str) -> str:
    """The files that match a URI with ``*`` or ``?`` in its last part, as one video, in the natural order of names.

    Numbers in names count as numbers, so ``cam_9`` is before ``cam_10``. Other URIs stay as they are, and so does that
    of a file whose own name has a ``*``, and one that nothing matches. Raises as `matches` does.
    """
    if not is_pattern(uri) or "\n" in uri or protocol_of(uri) in HTTP or (not is_remote(uri) and exists(uri)):
        return uri
    return as_one(sorted(matches(uri), key=_natural)) or uri


def _natural(uri: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", uri)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
