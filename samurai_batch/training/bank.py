"""A bank of pictures, cut-outs of things and surfaces, from which generated clips take their things and backgrounds.

A folder holds two files for each source of pictures: `things-NAME.npy` or `surfaces-NAME.npy` with the pixels of all
pictures, concatenated, and `things-NAME.shapes.npy` or `surfaces-NAME.shapes.npy`, (K, 3) int64, with each picture's
height, width and channels. `jobs/gather_pictures.py` writes them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from samurai_batch.synthetic.shapes import capsule_field
from samurai_batch.synthetic.textures import Bytes, Floats, photograph_crop, random_texture
from samurai_batch.synthetic.things import Part

_RIM_PX = 2  # of a sprite, outside the shape, so that a bent thing is not cut off


class Bank(Protocol):
    """Pictures by source: ``things`` (h, w, 4) uint8 RGBA, and ``surfaces`` (h, w, 3) uint8 RGB."""

    @property
    def things(self) -> Sequence[Sequence[Bytes]]: ...  # noqa: D102
    @property
    def surfaces(self) -> Sequence[Sequence[Bytes]]: ...  # noqa: D102


def draw(rng: np.random.Generator, groups: Sequence[Sequence[Bytes]]) -> Bytes:
    """A random picture of a random group.

    Groups are weighted by the cube root of their lengths, so that large ones do not dominate small ones.
    """
    weights = np.cbrt([len(group) for group in groups])
    group = groups[int(rng.choice(len(groups), p=weights / weights.sum()))]
    return group[int(rng.integers(len(group)))]


class PictureFile(Sequence[Bytes]):
    """The pictures of one source, memory-mapped: processes share the pages they read."""

    def __init__(self, path: Path) -> None:
        self._pixels: Bytes = np.load(path, mmap_mode="r")
        self._shapes: NDArray[np.int64] = np.load(path.with_suffix(".shapes.npy"))
        self._ends = np.cumsum(self._shapes.prod(axis=1))

    def __len__(self) -> int:
        return len(self._shapes)

    @overload
    def __getitem__(self, index: int) -> Bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[Bytes]: ...
    def __getitem__(self, index: int | slice) -> Bytes | list[Bytes]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        shape = self._shapes[index]
        end = int(self._ends[index])
        return np.asarray(self._pixels[end - int(shape.prod()) : end]).reshape(shape)


@dataclass(frozen=True)
class StoredBank:
    """The bank of a folder."""

    things: tuple[PictureFile, ...]
    surfaces: tuple[PictureFile, ...]

    @classmethod
    def open(cls, folder: Path) -> "StoredBank":
        """Memory-map all files of a folder. Raises FileNotFoundError if it has no things or no surfaces."""
        kinds = []
        for kind in ("things", "surfaces"):
            paths = sorted(path for path in folder.glob(f"{kind}-*.npy") if not path.name.endswith(".shapes.npy"))
            if not paths:
                raise FileNotFoundError(f"{folder} has no {kind}-*.npy; create them with jobs/gather_pictures.py")
            kinds.append(tuple(PictureFile(path) for path in paths))
        return cls(*kinds)


def store(path: Path, pictures: Iterable[Bytes]) -> int:
    """Write pictures (h, w, channels) uint8 as the two files of one source; returns how many there are."""
    kept = list(pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.concatenate([picture.ravel() for picture in kept]))
    np.save(path.with_suffix(".shapes.npy"), np.array([picture.shape for picture in kept], dtype=np.int64))
    return len(kept)


def picture_part(picture: Bytes, resolution: int, half: float = 1.0) -> Part:
    """A picture (h, w, 4) uint8 RGBA as a part whose longer side covers ±``half``; its shape is alpha > 127."""
    height, width = picture.shape[:2]
    inner = resolution - 2 * _RIM_PX
    # Premultiplied, so that the colours of transparent pixels do not blend in.
    image = Image.fromarray(picture).convert("RGBa").resize((inner, inner), Image.Resampling.BOX).convert("RGBA")
    sprite = np.pad(np.asarray(image), ((_RIM_PX, _RIM_PX), (_RIM_PX, _RIM_PX), (0, 0)))
    inside = sprite[..., 3] > 127
    if not inside.any():
        inside[resolution // 2, resolution // 2] = True
    outward, (rows, columns) = ndimage.distance_transform_edt(~inside, return_indices=True)
    field = np.where(inside, ndimage.distance_transform_edt(inside) - 0.5, 0.5 - outward) * (2 / resolution)
    colours = sprite[rows, columns, :3].astype(np.float32) / 255
    longer = max(height, width)
    return Part(
        np.concatenate([colours, field[..., None]], axis=2, dtype=np.float32),
        half_size=(half * width / longer, half * height / longer),
    )


def photograph_view(rng: np.random.Generator, photograph: Bytes, side: int) -> Floats:
    """A random crop of a photograph (H, W, 3) uint8, maybe mirrored, resized to (side, side, 3) float32 in [0, 1]."""
    height, width = photograph.shape[:2]
    share = rng.uniform(0.5, 1.0)
    rows = int(min(height, share * height * rng.uniform(0.8, 1.25)))
    columns = int(min(width, share * min(width, height * rng.uniform(0.8, 1.78))))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    image = Image.fromarray(photograph[top : top + rows, left : left + columns])
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return np.ascontiguousarray(pixels[:, :: int(rng.choice([-1, 1]))])


def thin_parts(rng: np.random.Generator, resolution: int, surfaces: list[Bytes]) -> tuple[Part, ...]:
    """Thin limbs that swing about a centre, like a spider, a windmill or a branch."""
    texture = random_texture(rng, resolution, None, surfaces)
    parts = []
    for _ in range(int(rng.integers(2, 8))):
        field = capsule_field(resolution, 0.8, rng.uniform(0.1, 0.3), rng.uniform(0.05, 0.2))
        length = rng.uniform(0.3, 0.5)
        parts.append(
            Part(
                np.concatenate([texture, field[..., None]], axis=2, dtype=np.float32),
                half_size=(length, length * rng.uniform(0.3, 0.8)),
                pivot=(rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)),
                reach=length * 0.8,
                angle=rng.uniform(0, 6.3),
                swing=rng.uniform(0.0, 0.7),
                pace=rng.uniform(0.05, 0.5),
                phase=rng.uniform(0, 6.3),
            )
        )
    return tuple(parts)


@dataclass(frozen=True)
class BankAssets:
    """The assets that one scene takes from a bank; the rest is generated.

    ``surfaces`` are a few of the bank's: ``background`` is the first of them, and generated things are textured with
    all of them, so some match the background. Probabilities: ``picture_share`` that a thing is a picture of the bank,
    ``attached_share`` that another picture swings on it, ``thin_share`` that a thing is made of thin limbs instead, and
    ``background_share`` that the background is a surface.
    """

    bank: Bank
    surfaces: tuple[Bytes, ...]
    picture_share: float = 0.6
    attached_share: float = 0.15
    thin_share: float = 0.08
    background_share: float = 0.8

    @classmethod
    def of(cls, rng: np.random.Generator, bank: Bank, num_surfaces: int = 6) -> "BankAssets":
        """Random assets for one clip."""
        return cls(bank, tuple(draw(rng, bank.surfaces) for _ in range(num_surfaces)))

    def parts(self, rng: np.random.Generator, resolution: int) -> tuple[Part, ...] | None:
        """The parts of one thing, or None if it is to be generated."""
        chance = rng.random()
        if chance < self.thin_share:
            return thin_parts(rng, resolution, list(self.surfaces))
        if chance > self.thin_share + self.picture_share:
            return None
        main = picture_part(_recoloured(rng, draw(rng, self.bank.things)), resolution, 0.9)
        if rng.random() >= self.attached_share:
            return (main,)
        other = picture_part(_recoloured(rng, draw(rng, self.bank.things)), resolution // 2, rng.uniform(0.25, 0.5))
        angle, reach = rng.uniform(0, 6.3), rng.uniform(0.1, 0.5)
        attached = Part(
            other.sprite,
            half_size=other.half_size,
            pivot=(reach * float(np.cos(angle)), reach * float(np.sin(angle))),
            reach=other.half_size[0] * 0.7,
            angle=rng.uniform(0, 6.3),
            swing=rng.uniform(0, 0.9),
            pace=rng.uniform(0.05, 0.5),
        )
        return (main, attached) if rng.random() < 0.6 else (attached, main)

    def background(self, rng: np.random.Generator, side: int) -> Floats | None:
        """A background (side, side, 3) float32 in [0, 1], or None if it is to be generated."""
        if rng.random() >= self.background_share:
            return None
        if rng.random() < 0.2:
            return photograph_crop(rng, self.surfaces, side)
        return photograph_view(rng, self.surfaces[0], side)


def _recoloured(rng: np.random.Generator, picture: Bytes) -> Bytes:
    """Mirrored with probability 1/2; in other tones, and maybe with permuted channels, with probability 0.35."""
    picture = picture[:, :: int(rng.choice([-1, 1]))]
    if rng.random() < 0.35:
        levels = (np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.35)) * 255 * rng.uniform(0.6, 1.0)).astype(np.uint8)
        order = rng.permutation(3) if rng.random() < 0.4 else np.arange(3)
        picture = np.concatenate([levels[picture[..., order]], picture[..., 3:]], axis=2)
    return np.ascontiguousarray(picture)
