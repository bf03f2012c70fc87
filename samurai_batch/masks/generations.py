"""What ``compact/_current.json`` says: which generation of compacted files is complete, and what each file holds.

Readers find the files of a track by it without opening the others. Pointers of version 0.1.0 do not list the files.
"""

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.tasks import TrackId

CURRENT_NAME = "_current.json"
PARTITION_KEYS = ("video_id", "object_id")
"""The columns that compacted files can be partitioned by."""

_MAX_PAIRS = 10_000


@dataclass(frozen=True, kw_only=True)
class CompactFile:
    """One compacted file: its path in the generation, and the first and last (video_id, object_id) of its rows."""

    name: str
    num_rows: int
    num_bytes: int
    first: TrackId
    last: TrackId

    def may_hold(self, videos: Collection[str] | None, objects: Collection[str] | None) -> bool:
        """Whether the file can have rows of these videos and objects; None: of any."""
        if videos is None:
            same_video = self.first[0] == self.last[0]
            return objects is None or not same_video or any(self.first[1] <= one <= self.last[1] for one in objects)
        if objects is None or len(videos) * len(objects) > _MAX_PAIRS:
            return any(self.first[0] <= one <= self.last[0] for one in videos)
        return any(self.first <= one <= self.last for one in itertools.product(videos, objects))


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Compacted files of one state of the tracks' tables; ``files`` is None where the pointer does not list them."""

    generation: str
    num_tracks: int
    partition_by: tuple[str, ...] = ()
    files: tuple[CompactFile, ...] | None = field(default=None)


_POINTER = TypeAdapter(Generation)


def read_current(folder: str) -> Generation | None:
    """The complete generation in a ``compact`` folder; None before the first. Raises ConfigError if it is damaged."""
    try:
        return _POINTER.validate_json(storage.read_bytes(storage.join(folder, CURRENT_NAME)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ConfigError(f"{storage.redact_uri(folder)}: {CURRENT_NAME} is damaged; compact again") from error


def write_current(folder: str, current: Generation) -> None:
    """Make a generation the one that readers use, by one write."""
    storage.write_bytes(storage.join(folder, CURRENT_NAME), json.dumps(_POINTER.dump_python(current)).encode())


def partition_folder(values: Mapping[str, str]) -> str:
    """``video_id=a%20b/object_id=1``: the folder of a hive partition; "" without values."""
    return "/".join(f"{name}={storage.quote_id(value)}" for name, value in values.items())


def partition_values(parts: Sequence[str]) -> dict[str, str]:
    """The values that the folders of a path name, such as ``video_id=a%20b``."""
    pairs = [part.partition("=") for part in parts]
    return {name: unquote(value) for name, equals, value in pairs if equals and name in PARTITION_KEYS}
