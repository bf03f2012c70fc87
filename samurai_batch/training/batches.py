"""Batches of generated clips: frames, masks and prompts as tensors, each made from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE
from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.settings import SceneSettings
from samurai_batch.synthetic.textures import Bytes
from samurai_batch.training.bank import Bank
from samurai_batch.training.film import filmed
from samurai_batch.training.furnished import Furnishing
from samurai_batch.training.variation import varied

_HELD_BATCHES = 8  # times ``uses`` are held at once, so that the clips of a batch are met together only once
_PROMPT_KINDS = ("box", "click", "clicks", "mask")


@dataclass(frozen=True)
class Batch:
    """B clips of T frames with N objects in all.

    frames (B, T, S, S, 3) uint8 RGB; masks (N, T, S, S) bool; owner (N,) int64 is the clip of each object; points
    (N, P, 2) float32, x and y in pixels, and labels (N, P) int64 are the prompts on frame 0, as `SAM2.decode` takes
    them. If ``kind`` is "mask", the prompt is the object's mask on frame 0 instead. distractors (N, T, S, S) bool is
    the union of the visible masks of the clip's other objects and look-alikes.
    """

    frames: Tensor
    masks: Tensor
    owner: Tensor
    points: Tensor
    labels: Tensor
    kind: str
    distractors: Tensor

    def to(self, device: str) -> "Batch":
        """The same batch on another device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What batches are made of.

    Scenes last ``span`` frames, and ``frames`` of them are taken, one, two or three apart, so that what happens in a
    scene happens at its natural pace; or, in the share ``leaping`` of clips, any in their order, so that what is
    followed must be known again after it moved far, or was hidden. ``still`` takes a whole scene of ``frames`` as
    pictures of their own (T = 1). To be prompted, a thing must cover ``min_share`` of the first frame, and ``min_fill``
    of its own box: what peeps out from behind others in splinters teaches little. A clip costs more to make than to
    learn from: each is taken about ``uses`` times, varied every time. ``photographs`` (H, W, 3) uint8 lend their
    textures to half of the surfaces. Where there is a ``bank``, ``furnished`` is the share of clips that are made of
    it, as ``furnished_scene`` says, and filmed as real ones are; the others are generated alone.
    """

    scene: SceneSettings
    size: int
    clips: int
    frames: int
    span: int = 24
    objects: int = 2
    leaping: float = 0.0
    still: bool = False
    min_share: float = 0.004
    min_fill: float = 0.0
    uses: int = 1
    photographs: tuple[Bytes, ...] = ()
    bank: Bank | None = None
    furnished: float = 0.65
    furnished_scene: SceneSettings | None = None
    prompt_chances: tuple[float, float, float, float] = (0.65, 0.2, 0.1, 0.05)


class ClipBatches(Dataset[Batch]):
    """Batch ``index`` of a stage, the same for the same seed and number of lanes.

    Clips are numbered. Batch ``index`` draws its own from a range of numbers that moves along with the index. Where
    several workers take turns, each has a lane with clips of its own, which it takes ``uses`` times as one alone would.
    """

    def __init__(
        self, settings: BatchSettings, seed: tuple[int, ...], length: int = 1_000_000, num_lanes: int = 1
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.length = length
        self.num_lanes = num_lanes
        self._held: dict[int, Clip] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        settings = self.settings
        rng = np.random.Generator(np.random.PCG64([*self.seed, index]))
        clips = [self._taken(rng, number) for number in self._numbers(rng, index)]
        if settings.still:
            clips = [_frame_of(clip, frame) for clip in clips for frame in range(settings.frames)]
        chosen = [_choose(rng, clip, settings) for clip in clips]
        masks = np.concatenate(
            [clip.masks[:, keep].transpose(1, 0, 2, 3) for clip, keep in zip(clips, chosen, strict=True)]
        )
        kind = str(rng.choice(_PROMPT_KINDS, p=settings.prompt_chances))
        points, labels = _prompts(rng, masks[:, 0], kind)
        return Batch(
            frames=torch.from_numpy(np.stack([clip.frames for clip in clips])),
            masks=torch.from_numpy(masks),
            owner=torch.tensor(np.repeat(np.arange(len(clips)), [len(keep) for keep in chosen])),
            points=torch.from_numpy(points),
            labels=torch.from_numpy(labels),
            kind=kind,
            distractors=torch.from_numpy(
                np.concatenate([_distractors(clip, keep) for clip, keep in zip(clips, chosen, strict=True)])
            ),
        )

    def _taken(self, rng: np.random.Generator, number: int) -> Clip:
        """A clip as it looks this time."""
        clip = self._clip(number)
        if self._is_furnished(number):
            filmed_clip = filmed(rng, varied(rng, clip, wild=0.25))
            # Reframing may lose what was to be prompted.
            return filmed_clip if len(_promptable(filmed_clip, 0, self.settings)) else varied(rng, clip)
        return varied(rng, clip)

    def _is_furnished(self, number: int) -> bool:
        if self.settings.bank is None:
            return False
        return bool(np.random.default_rng([*self.seed, number, 7]).random() < self.settings.furnished)

    def _numbers(self, rng: np.random.Generator, index: int) -> list[int]:
        clips, uses, lanes = self.settings.clips, self.settings.uses, self.num_lanes
        oldest = index // lanes * clips // uses
        for number in [number for number in self._held if number // lanes < oldest]:
            del self._held[number]
        held = clips if uses == 1 else clips * uses * _HELD_BATCHES
        places = rng.choice(held, clips, replace=False)
        return [(oldest + int(place)) * lanes + index % lanes for place in places]

    def _clip(self, number: int) -> Clip:
        if number not in self._held:
            self._held[number] = self._generate(number)
        return self._held[number]

    def _generate(self, number: int) -> Clip:
        """Clip ``number``: the first of its attempts with something to prompt on every picture that will ask for it."""
        settings, entropy = self.settings, (*self.seed, number)
        for attempt in count():
            rng = np.random.Generator(np.random.PCG64([*entropy, attempt]))
            frames = range(settings.frames) if settings.still else _window(rng, settings)
            length = settings.frames if settings.still else settings.span
            clip = self._clip_of((*entropy, attempt), length, frames, self._is_furnished(number))
            firsts = range(settings.frames if settings.still else 1)
            if all(len(_promptable(clip, first, settings)) for first in firsts):
                return clip
        raise AssertionError

    def _clip_of(self, seed: tuple[int, ...], length: int, frames: Sequence[int], is_furnished: bool) -> Clip:
        settings = self.settings
        if not is_furnished or settings.bank is None:
            return generate_clip(seed, settings.scene, length, settings.size, settings.photographs, frames)
        furnishing = Furnishing.of(np.random.default_rng([*seed, 1]), settings.bank)
        scene = settings.furnished_scene or settings.scene
        return generate_clip(seed, scene, length, settings.size, furnishing.surfaces, frames, furnishing)


def _window(rng: np.random.Generator, settings: BatchSettings) -> Sequence[int]:
    span, frames = settings.span, settings.frames
    if rng.random() < settings.leaping:
        return sorted(rng.choice(span, frames, replace=False).tolist())
    step = min(int(rng.choice([1, 1, 2, 3])), (span - 1) // max(frames - 1, 1))
    start = int(rng.integers(0, span - (frames - 1) * step))
    return range(start, start + (frames - 1) * step + 1, step)


def _frame_of(clip: Clip, frame: int) -> Clip:
    window = slice(frame, frame + 1)
    return Clip(clip.frames[window], clip.masks[window], clip.object_ids, clip.roles)


def _promptable(clip: Clip, frame: int, settings: BatchSettings) -> NDArray[np.int64]:
    """The things that show enough of themselves on a frame."""
    masks = clip.masks[frame]
    areas = masks.sum((1, 2))
    boxes = masks.any(1).sum(1) * masks.any(2).sum(1)
    enough = (areas >= settings.min_share * masks[0].size) & (areas >= settings.min_fill * boxes) & (areas > 0)
    return np.flatnonzero(enough)


def _distractors(clip: Clip, keep: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each of the things ``keep`` what shows of the others that are objects or look-alikes (N, T, S, S)."""
    alike = np.array([role in ("object", "lookalike") for role in clip.roles])
    others = [alike & (np.arange(len(alike)) != index) for index in keep]
    return np.stack([clip.masks[:, other].any(axis=1) for other in others])


def _choose(rng: np.random.Generator, clip: Clip, settings: BatchSettings) -> NDArray[np.int64]:
    """Up to ``objects`` things that are well visible on the first frame, objects and look-alikes before others."""
    visible = _promptable(clip, 0, settings)
    order = rng.random(len(visible)) + np.array([clip.roles[index] in ("other", "occluder") for index in visible])
    return visible[np.argsort(order)][: settings.objects]


def _prompts(
    rng: np.random.Generator, masks: NDArray[np.bool_], kind: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if kind == "click" or kind == "clicks":
        return _clicks(rng, masks, 1 if kind == "click" else int(rng.integers(2, 5)))
    labels = np.tile(np.array([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]), (len(masks), 1))
    return np.stack([_loose_box(rng, mask) for mask in masks]), labels


def _loose_box(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The corners (2, 2) of the mask's box, each side moved by a few percent, most often very little."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    corners = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=np.float32)
    slack = float(rng.choice([0.01, 0.03, 0.08])) * (corners[1] - corners[0])
    loose: NDArray[np.float32] = (corners + rng.normal(0, 1, (2, 2)) * slack).clip(0, len(mask)).astype(np.float32)
    return loose


def _clicks(
    rng: np.random.Generator, masks: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """``count`` clicks per mask, the first on the object, later ones on it or beside it."""
    points = np.zeros((len(masks), count, 2), dtype=np.float32)
    labels = np.full((len(masks), count), POSITIVE)
    labels[:, 1:] = np.where(rng.random((len(masks), count - 1)) < 0.6, POSITIVE, NEGATIVE)
    for number, mask in enumerate(masks):
        for click, label in enumerate(labels[number]):
            rows, columns = np.nonzero(mask == (label == POSITIVE))
            pick = int(rng.integers(len(rows)))
            points[number, click] = columns[pick], rows[pick]
    return points, labels
