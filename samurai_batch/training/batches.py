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
from samurai_batch.synthetic.scene import SceneSettings
from samurai_batch.synthetic.textures import Bytes
from samurai_batch.training.augmentation import add_camera_effects, flip_and_recolour
from samurai_batch.training.bank import Bank, BankAssets

_CACHED_BATCHES = 8  # times ``repeats``, so that two clips rarely meet in a batch twice
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
    """How batches of ``clips`` clips of ``frames`` frames (``size`` × ``size`` pixels) are generated.

    A scene lasts ``scene_frames`` frames. A clip takes frames that are one, two or three apart; in the share
    ``irregular`` of clips, any frames in ascending order, so that objects must be recognised after long gaps. With
    ``single_frames`` every frame of a scene of ``frames`` frames is a clip of its own (T = 1). Up to ``objects`` things
    of a clip are prompted: those that cover at least ``min_share`` of the first frame and ``min_fill`` of their own
    box, as little is learned from splinters of occluded things. Generating a clip takes longer than training on it, so
    each is used about ``repeats`` times, augmented anew each time. ``photographs`` (H, W, 3) uint8 RGB give textures to
    half of the surfaces. If there is a ``bank``, ``bank_share`` of the clips show its pictures in scenes of
    ``bank_scene`` (default: ``scene``), with camera effects. ``prompt_chances`` are the probabilities of the prompts
    box, click, several clicks and mask.
    """

    scene: SceneSettings
    size: int
    clips: int
    frames: int
    scene_frames: int = 24
    objects: int = 2
    irregular: float = 0.0
    single_frames: bool = False
    min_share: float = 0.004
    min_fill: float = 0.0
    repeats: int = 1
    photographs: tuple[Bytes, ...] = ()
    bank: Bank | None = None
    bank_share: float = 0.65
    bank_scene: SceneSettings | None = None
    prompt_chances: tuple[float, float, float, float] = (0.65, 0.2, 0.1, 0.05)


class ClipBatches(Dataset[Batch]):
    """The batches of a stage: batch ``index`` is the same for the same seed and ``num_workers``.

    Clips are numbered. A batch draws its clips from a range of numbers that moves along with its index. The workers of
    a DataLoader take batches in turn, and each has clips of its own, so that it can cache and repeat them.
    """

    def __init__(
        self, settings: BatchSettings, seed: tuple[int, ...], length: int = 1_000_000, num_workers: int = 1
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.length = length
        self.num_workers = num_workers
        self._cache: dict[int, Clip] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        settings = self.settings
        rng = np.random.Generator(np.random.PCG64([*self.seed, index]))
        clips = [self._augmented(rng, number) for number in self._numbers(rng, index)]
        if settings.single_frames:
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

    def _augmented(self, rng: np.random.Generator, number: int) -> Clip:
        """Clip ``number`` with a new augmentation."""
        if number not in self._cache:
            self._cache[number] = self._generate(number)
        clip = self._cache[number]
        if self._uses_bank(number):
            augmented = add_camera_effects(rng, flip_and_recolour(rng, clip, strong_share=0.25))
            if len(_promptable(augmented, 0, self.settings)):  # the new framing may not show any
                return augmented
        return flip_and_recolour(rng, clip)

    def _uses_bank(self, number: int) -> bool:
        if self.settings.bank is None:
            return False
        return bool(np.random.default_rng([*self.seed, number, 7]).random() < self.settings.bank_share)

    def _numbers(self, rng: np.random.Generator, index: int) -> list[int]:
        clips, repeats, workers = self.settings.clips, self.settings.repeats, self.num_workers
        oldest = index // workers * clips // repeats
        for number in [number for number in self._cache if number // workers < oldest]:
            del self._cache[number]
        num_cached = clips if repeats == 1 else clips * repeats * _CACHED_BATCHES
        places = rng.choice(num_cached, clips, replace=False)
        return [(oldest + int(place)) * workers + index % workers for place in places]

    def _generate(self, number: int) -> Clip:
        """Clip ``number``: the first attempt that shows something to prompt on every frame that is prompted."""
        settings, entropy = self.settings, (*self.seed, number)
        for attempt in count():
            rng = np.random.Generator(np.random.PCG64([*entropy, attempt]))
            frames = range(settings.frames) if settings.single_frames else _window(rng, settings)
            length = settings.frames if settings.single_frames else settings.scene_frames
            clip = self._clip_of((*entropy, attempt), length, frames, self._uses_bank(number))
            firsts = range(settings.frames if settings.single_frames else 1)
            if all(len(_promptable(clip, first, settings)) for first in firsts):
                return clip
        raise AssertionError

    def _clip_of(self, seed: tuple[int, ...], length: int, frames: Sequence[int], uses_bank: bool) -> Clip:
        settings = self.settings
        if not uses_bank or settings.bank is None:
            return generate_clip(seed, settings.scene, length, settings.size, settings.photographs, frames)
        assets = BankAssets.of(np.random.default_rng([*seed, 1]), settings.bank)
        scene = settings.bank_scene or settings.scene
        return generate_clip(seed, scene, length, settings.size, assets.surfaces, frames, assets)


def _window(rng: np.random.Generator, settings: BatchSettings) -> Sequence[int]:
    length, frames = settings.scene_frames, settings.frames
    if rng.random() < settings.irregular:
        return sorted(rng.choice(length, frames, replace=False).tolist())
    step = min(int(rng.choice([1, 1, 2, 3])), (length - 1) // max(frames - 1, 1))
    start = int(rng.integers(0, length - (frames - 1) * step))
    return range(start, start + (frames - 1) * step + 1, step)


def _frame_of(clip: Clip, frame: int) -> Clip:
    window = slice(frame, frame + 1)
    return Clip(clip.frames[window], clip.masks[window], clip.object_ids, clip.roles)


def _promptable(clip: Clip, frame: int, settings: BatchSettings) -> NDArray[np.int64]:
    """Indices (K,) of the things that are visible enough on a frame to be prompted."""
    masks = clip.masks[frame]
    areas = masks.sum((1, 2))
    boxes = masks.any(1).sum(1) * masks.any(2).sum(1)
    enough = (areas >= settings.min_share * masks[0].size) & (areas >= settings.min_fill * boxes) & (areas > 0)
    return np.flatnonzero(enough)


def _distractors(clip: Clip, keep: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each of the things ``keep``, the union of the masks of other objects and look-alikes: (N, T, S, S) bool."""
    alike = np.array([role in ("object", "lookalike") for role in clip.roles])
    others = [alike & (np.arange(len(alike)) != index) for index in keep]
    return np.stack([clip.masks[:, other].any(axis=1) for other in others])


def _choose(rng: np.random.Generator, clip: Clip, settings: BatchSettings) -> NDArray[np.int64]:
    """Indices of up to ``objects`` promptable things, objects and look-alikes before others."""
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
    """The corners (2, 2), x before y, of the mask's box, with normally distributed noise of 1, 3 or 8 % of its size."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    corners = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=np.float32)
    slack = float(rng.choice([0.01, 0.03, 0.08])) * (corners[1] - corners[0])
    loose: NDArray[np.float32] = (corners + rng.normal(0, 1, (2, 2)) * slack).clip(0, len(mask)).astype(np.float32)
    return loose


def _clicks(
    rng: np.random.Generator, masks: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points (N, P, 2) and labels (N, P) of ``count`` clicks per mask: the first positive, the others either."""
    points = np.zeros((len(masks), count, 2), dtype=np.float32)
    labels = np.full((len(masks), count), POSITIVE)
    labels[:, 1:] = np.where(rng.random((len(masks), count - 1)) < 0.6, POSITIVE, NEGATIVE)
    for number, mask in enumerate(masks):
        for click, label in enumerate(labels[number]):
            rows, columns = np.nonzero(mask == (label == POSITIVE))
            pick = int(rng.integers(len(rows)))
            points[number, click] = columns[pick], rows[pick]
    return points, labels
