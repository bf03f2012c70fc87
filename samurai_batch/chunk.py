"""A chunk, what goes into it and what comes out: `pipeline` follows one, replicas load and save around it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Leg, Track


@dataclass(frozen=True)
class Member:
    """One leg to follow through a chunk, with its state after the chunk before (None: it starts in this one)."""

    track: Track
    leg: Leg
    state: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class ChunkResult:
    """What following a chunk gives, by object id, and what was measured.

    ``tables`` hold the mask rows of the frames each leg writes, ``states`` the track states after the last frame.
    """

    tables: Mapping[str, pa.Table]
    states: Mapping[str, bytes]
    stats: WorkStats
