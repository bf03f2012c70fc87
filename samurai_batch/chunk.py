"""A chunk, what goes into it and what comes out: `pipeline` follows one, replicas load and save around it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from samurai_batch.tasks import Leg, Track


@dataclass(frozen=True)
class Member:
    """One leg to follow through a chunk, with its state after the chunk before (None: it starts in this one)."""

    track: Track
    leg: Leg
    state: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class ChunkResult:
    """What following a chunk gives, by object id, and where the seconds went.

    ``tables`` hold the mask rows of the frames each leg writes, ``states`` the track states after the last frame.
    ``frames_encoded`` frames went through the image encoder, ``track_frames`` steps of single tracks were made;
    ``decode_s`` is the time spent waiting for frames, ``follow_s`` that after the image encoder.
    """

    tables: Mapping[str, pa.Table]
    states: Mapping[str, bytes]
    frames_encoded: int
    track_frames: int
    decode_s: float
    encode_s: float
    follow_s: float
