"""Banks of pictures that training draws from: things with alpha, and surfaces; kept as flat files, read where needed.

A folder holds a pair of files for each source: `things-NAME.npy` or `surfaces-NAME.npy` with all pixels one after the
other, and `…-NAME.shapes.npy` (K, 3) with each picture's height, width and channels. `jobs/gather_pictures.py` makes
them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from samurai_batch.synthetic.textures import Bytes


class Bank(Protocol):
    """What a scene may be furnished with.

    ``things`` are groups of pictures (h, w, 4) uint8, colour and alpha; ``surfaces`` groups of pictures (h, w, 3).
    A group is what comes from one source.
    """

    @property
    def things(self) -> Sequence[Sequence[Bytes]]: ...  # noqa: D102
    @property
    def surfaces(self) -> Sequence[Sequence[Bytes]]: ...  # noqa: D102


def draw(rng: np.random.Generator, groups: Sequence[Sequence[Bytes]]) -> Bytes:
    """A picture by chance, its group by the cube root of the group's length: large groups must not drown small ones."""
    weights = np.cbrt([len(group) for group in groups])
    group = groups[int(rng.choice(len(groups), p=weights / weights.sum()))]
    return group[int(rng.integers(len(group)))]


class PictureFile(Sequence[Bytes]):
    """Pictures of one source, mapped from their file: processes share what they read."""

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
    """The bank in a folder."""

    things: tuple[PictureFile, ...]
    surfaces: tuple[PictureFile, ...]

    @classmethod
    def open(cls, folder: Path) -> "StoredBank":
        """Map all files of a folder. Raises FileNotFoundError where things or surfaces are missing."""
        kinds = []
        for kind in ("things", "surfaces"):
            paths = sorted(path for path in folder.glob(f"{kind}-*.npy") if not path.name.endswith(".shapes.npy"))
            if not paths:
                raise FileNotFoundError(f"{folder}: there are no {kind} here; make them by jobs/gather_pictures.py")
            kinds.append(tuple(PictureFile(path) for path in paths))
        return cls(*kinds)


def store(path: Path, pictures: Iterable[Bytes]) -> int:
    """Write pictures (h, w, channels) as one source's pair of files; returns how many there are."""
    kept = list(pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.concatenate([picture.ravel() for picture in kept]))
    np.save(path.with_suffix(".shapes.npy"), np.array([picture.shape for picture in kept], dtype=np.int64))
    return len(kept)
