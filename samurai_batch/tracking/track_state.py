"""The state of a track between two frames, and its exact serialisation."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from samurai_batch.errors import StateError
from samurai_batch.modeling.configs import VideoModelConfig
from samurai_batch.tracking.kalman import KalmanState
from samurai_batch.tracking.mask_choice import Motion
from samurai_batch.tracking.memory_bank import CONDITIONING_SCORE, Memory, MemoryBank, Pointer
from samurai_batch.tracking.rules import AnyNote, Note

STATE_VERSION = 1
_OF_PARTS = "part_"  # begins the names of parts' own tensors in a saved state
Rows = Callable[[int], list[Tensor]]  # so many rows of a tensor that was read
_ADAPTERS: dict[type[Note], TypeAdapter[Any]] = {}  # making one takes longer than using it


@dataclass
class TrackState:
    """The state of one leg (direction) of a track.

    num_frames: number of frames of the leg, fixed at its start; it grows only with files that are added to the video.
    age: number of frames propagated so far; the next frame's age in the memory bank.
    num_carried: how many of both are frames of another video, whose memories it began with (`carried_memories`).
    notes: the notes of the tracker's parts by key, or their plain values as they were read.
    tensors: those that parts keep beside their notes, by name; replaced as a whole, never changed in place.
    other_banks: those of the other lanes, of a tracker with several paths (`paths`); conditioning frames are common.
    """

    num_frames: int
    age: int = 0
    bank: MemoryBank = field(default_factory=MemoryBank)
    motion: Motion = field(default_factory=Motion)
    notes: dict[str, object] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    other_banks: list[MemoryBank] = field(default_factory=list)
    num_carried: int = 0

    @property
    def banks(self) -> list[MemoryBank]:
        """The memory bank of each lane; a tracker with one path has one lane."""
        return [self.bank, *self.other_banks]

    def note(self, kind: type[AnyNote]) -> AnyNote:
        """The note of this kind; one with its defaults if nothing was noted. Raises StateError for wrong values."""
        found = self.notes.get(kind.key)
        if isinstance(found, kind):
            return found
        try:
            made: AnyNote = _adapter(kind).validate_python({} if found is None else found)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise StateError(
                f"the values of {kind.key!r} in a saved track state cannot be used ({reason}); "
                "remove it and the track starts again"
            ) from None
        return made

    def keep(self, note: Note) -> None:
        """Replace the note of this kind."""
        self.notes[note.key] = note

    def num_bytes(self) -> int:
        """Bytes of all tensors; bounded, independent of the length of the video."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    def check_made_by(self, config: VideoModelConfig, image_size: int) -> None:
        """Raise StateError unless the tensors have the shapes of this network at this image size."""
        banks = self.banks
        shapes = {m.spatial.shape for bank in banks for m in (*bank.conditioning, *bank.recent)}
        shapes |= {p.vector.shape for bank in banks for p in (*bank.conditioning_pointers, *bank.recent_pointers)}
        if not shapes <= {config.memory_shape(image_size), (config.hidden_dim,)}:
            raise StateError(
                f"a saved track state was not made by {config.name} at image size {image_size}; "
                "remove it and the track starts again"
            )

    def to_bytes(self) -> bytes:
        """The state as safetensors, with all other values as JSON in the header."""
        bank, motion = self.bank, self.motion
        header = {
            "version": STATE_VERSION,
            "num_frames": self.num_frames,
            "age": self.age,
            "stable": motion.stable,
            "conditioning": [m.age for m in bank.conditioning],
            **_recent_header(bank),
        }
        # Only where there are any, so that the states of trackers without them are what they were before.
        if promoted := [m.age for m in bank.conditioning if m.is_promoted]:
            header["promoted"] = promoted
        if self.num_carried:
            header["carried"] = self.num_carried
        if (ages := [p.age for p in bank.conditioning_pointers]) != header["conditioning"]:
            header["conditioning_pointers"] = ages
        if self.other_banks:
            header["other_banks"] = [_recent_header(other) for other in self.other_banks]
        if self.notes:
            header["notes"] = {key: _plain(note) for key, note in sorted(self.notes.items())}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self._tensors().items()}
        text = json.dumps(header)
        # One entry, because safetensors does not sort several, and equal states must give equal bytes.
        return bytes(save(tensors, metadata={"track_state": f"{_digest(text, tensors)} {text}"}))

    def _tensors(self) -> dict[str, Tensor]:
        bank, tensors = self.bank, {}
        parts = [("conditioning", bank.conditioning, bank.conditioning_pointers)]
        parts += [(_recent_name(lane), one.recent, one.recent_pointers) for lane, one in enumerate(self.banks)]
        for name, memories, pointers in parts:
            if memories:
                tensors[f"{name}_spatial"] = torch.stack([m.spatial for m in memories])
            if pointers:
                tensors[f"{name}_pointers"] = torch.stack([p.vector for p in pointers])
        if self.motion.filter is not None:
            tensors["kalman_mean"] = torch.from_numpy(self.motion.filter.mean)
            tensors["kalman_covariance"] = torch.from_numpy(self.motion.filter.covariance)
        return tensors | {f"{_OF_PARTS}{name}": tensor for name, tensor in self.tensors.items()}

    @classmethod
    def from_bytes(cls, data: bytes, device: torch.device | str = "cpu") -> "TrackState":
        """The state that :meth:`to_bytes` wrote; raises StateError if these bytes are not one."""
        try:
            tensors = load(data)  # validates the header, which is read again below for the values in it
            return cls._from_parts(_read_header(data, tensors), tensors, device)
        except (SafetensorError, ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
            raise StateError(
                f"a saved track state cannot be read ({error}); remove it and the track starts again"
            ) from error

    @classmethod
    def _from_parts(
        cls, header: dict[str, Any], tensors: dict[str, Tensor], device: torch.device | str
    ) -> "TrackState":
        if header["version"] != STATE_VERSION:
            raise ValueError(f"it has version {header['version']}, this program reads {STATE_VERSION}")

        def rows(name: str, count: int) -> list[Tensor]:
            if count == 0:
                return []
            stacked = tensors[name].to(device)
            if len(stacked) != count:
                raise ValueError(f"{name} has {len(stacked)} rows where its header names {count}")
            return list(stacked)

        conditioning = header["conditioning"]
        promoted, notes = {int(age) for age in header.get("promoted", [])}, header.get("notes", {})
        if not isinstance(notes, dict):
            raise TypeError("its notes are not an object")
        memories = zip(conditioning, rows("conditioning_spatial", len(conditioning)), strict=True)
        pointer_ages = header.get("conditioning_pointers", conditioning)
        pointers = zip(pointer_ages, rows("conditioning_pointers", len(pointer_ages)), strict=True)
        first = MemoryBank(
            conditioning=[Memory(int(age), spatial, is_promoted=int(age) in promoted) for age, spatial in memories],
            conditioning_pointers=[Pointer(int(age), vector) for age, vector in pointers],
        )
        banks = [
            _with_recent(
                first.copy(),
                own,
                partial(rows, f"{_recent_name(lane)}_spatial"),
                partial(rows, f"{_recent_name(lane)}_pointers"),
            )
            for lane, own in enumerate([header, *header.get("other_banks", [])])
        ]
        motion = Motion(_filter(tensors), int(header["stable"]))
        num_frames, age, num_carried = (int(header.get(name, 0)) for name in ("num_frames", "age", "carried"))
        kept = {
            name.removeprefix(_OF_PARTS): tensor.to(device)
            for name, tensor in tensors.items()
            if name.startswith(_OF_PARTS)
        }
        return cls(num_frames, age, banks[0], motion, dict(notes), kept, banks[1:], num_carried)


def _recent_name(lane: int) -> str:
    """The beginning of the names of a lane's tensors."""
    return "recent" if lane == 0 else f"recent{lane}"


def _recent_header(bank: MemoryBank) -> dict[str, object]:
    """All but the tensors of a bank's recent frames; object scores only where rules keep them."""
    header: dict[str, object] = {
        "recent": [[m.age, m.is_trusted] for m in bank.recent],
        "recent_pointers": [p.age for p in bank.recent_pointers],
    }
    scores = [[one.object_score for one in part] for part in (bank.recent, bank.recent_pointers)]
    if any(score != CONDITIONING_SCORE for part in scores for score in part):
        header["object_scores"] = scores
    return header


def _with_recent(bank: MemoryBank, header: dict[str, Any], spatial: Rows, vectors: Rows) -> MemoryBank:
    """The bank, with the recent frames of a header that `_recent_header` made."""
    recent, pointers = header["recent"], header["recent_pointers"]
    of_memories, of_pointers = header.get("object_scores") or (
        [CONDITIONING_SCORE] * len(recent),
        [CONDITIONING_SCORE] * len(pointers),
    )
    bank.recent = [
        Memory(int(age), tensor, bool(trusted), object_score=float(score))
        for (age, trusted), tensor, score in zip(recent, spatial(len(recent)), of_memories, strict=True)
    ]
    bank.recent_pointers = [
        Pointer(int(age), tensor, float(score))
        for age, tensor, score in zip(pointers, vectors(len(pointers)), of_pointers, strict=True)
    ]
    return bank


def _plain(note: object) -> object:
    """The values of a note, or those that were read and not used since."""
    return _adapter(type(note)).dump_python(note, mode="json") if isinstance(note, Note) else note


def _adapter(kind: type[Note]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _read_header(data: bytes, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The JSON in the header: a safetensors file begins with the header's length and the header."""
    length = int.from_bytes(data[:8], "little")
    digest, _, text = json.loads(data[8 : 8 + length])["__metadata__"]["track_state"].partition(" ")
    if digest != _digest(text, tensors):
        raise ValueError("its bytes are not those that were written")
    parsed = json.loads(text)
    if not isinstance(parsed, dict):
        raise TypeError("its header is not an object")
    return parsed


def _digest(header: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of a whole state: a wrong bit in a memory would change all later masks unnoticed."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _filter(tensors: dict[str, Tensor]) -> KalmanState | None:
    if "kalman_mean" not in tensors:
        return None
    mean, covariance = tensors["kalman_mean"].numpy(), tensors["kalman_covariance"].numpy()
    if mean.shape != (8,) or covariance.shape != (8, 8) or {mean.dtype, covariance.dtype} != {np.dtype(np.float64)}:
        raise ValueError("its Kalman state has another shape or type")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError("its Kalman state is not finite")
    return KalmanState(mean, covariance)
