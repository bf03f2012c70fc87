"""Scenes furnished from a bank: real things before real surfaces, for the generator of ``samurai_batch.synthetic``."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from samurai_batch.synthetic.shapes import capsule_field
from samurai_batch.synthetic.textures import Bytes, Floats, photograph_crop, random_texture
from samurai_batch.synthetic.things import Part
from samurai_batch.training.bank import Bank, draw

_RIM = 2  # pixels of a sprite that stay outside, so that a bent thing meets no end


def picture_part(picture: Bytes, resolution: int, half: float = 1.0) -> Part:
    """A picture (h, w, 4) as a part whose longer side covers ±``half``; what is under half its alpha is not of it."""
    height, width = picture.shape[:2]
    inner = resolution - 2 * _RIM
    # Premultiplied, so that no colour of what is transparent gets in.
    image = Image.fromarray(picture).convert("RGBa").resize((inner, inner), Image.Resampling.BOX).convert("RGBA")
    sprite = np.pad(np.asarray(image), ((_RIM, _RIM), (_RIM, _RIM), (0, 0)))
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
    """A part of a photograph, upright or mirrored, as a square whose sides may be of unlike scale."""
    height, width = photograph.shape[:2]
    share = rng.uniform(0.5, 1.0)
    rows = int(min(height, share * height * rng.uniform(0.8, 1.25)))
    columns = int(min(width, share * min(width, height * rng.uniform(0.8, 1.78))))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    image = Image.fromarray(photograph[top : top + rows, left : left + columns])
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return np.ascontiguousarray(pixels[:, :: int(rng.choice([-1, 1]))])


def thin_parts(rng: np.random.Generator, resolution: int, surfaces: list[Bytes]) -> tuple[Part, ...]:
    """Thin limbs that swing about a small middle: a spider, a windmill, a branch."""
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
class Furnishing:
    """What a bank gives a scene; the rest is generated.

    ``surfaces`` are those of this scene, ``ground`` the one of them that lies behind; generated things cut from it look
    like it. ``pictures`` is the chance that a thing is a picture of the bank, ``carrying`` that such a thing has
    another one that swings on it, ``thin`` that a thing is thin limbs, and ``grounds`` that ``ground`` is seen.
    """

    bank: Bank
    surfaces: tuple[Bytes, ...]
    ground: Bytes
    pictures: float = 0.6
    carrying: float = 0.15
    thin: float = 0.08
    grounds: float = 0.8

    @classmethod
    def of(cls, rng: np.random.Generator, bank: Bank, num_surfaces: int = 6) -> "Furnishing":
        """The furnishing of one clip, with a few of the bank's surfaces."""
        surfaces = tuple(draw(rng, bank.surfaces) for _ in range(num_surfaces))
        return cls(bank, surfaces, surfaces[0])

    def parts(self, rng: np.random.Generator, resolution: int) -> tuple[Part, ...] | None:
        """A picture's parts, or thin limbs, or None."""
        chance = rng.random()
        if chance < self.thin:
            return thin_parts(rng, resolution, list(self.surfaces))
        if chance > self.thin + self.pictures:
            return None
        main = picture_part(_recoloured(rng, draw(rng, self.bank.things)), resolution, 0.9)
        if rng.random() >= self.carrying:
            return (main,)
        other = picture_part(_recoloured(rng, draw(rng, self.bank.things)), resolution // 2, rng.uniform(0.25, 0.5))
        angle, reach = rng.uniform(0, 6.3), rng.uniform(0.1, 0.5)
        carried = Part(
            other.sprite,
            half_size=other.half_size,
            pivot=(reach * float(np.cos(angle)), reach * float(np.sin(angle))),
            reach=other.half_size[0] * 0.7,
            angle=rng.uniform(0, 6.3),
            swing=rng.uniform(0, 0.9),
            pace=rng.uniform(0.05, 0.5),
        )
        return (main, carried) if rng.random() < 0.6 else (carried, main)

    def background(self, rng: np.random.Generator, side: int) -> Floats | None:
        """A view of the scene's main surface, or None."""
        if rng.random() >= self.grounds:
            return None
        if rng.random() < 0.2:
            return photograph_crop(rng, self.surfaces, side)
        return photograph_view(rng, self.ground, side)


def _recoloured(rng: np.random.Generator, picture: Bytes) -> Bytes:
    """Mirrored by half; a third in other tones."""
    picture = picture[:, :: int(rng.choice([-1, 1]))]
    if rng.random() < 0.35:
        levels = (np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.35)) * 255 * rng.uniform(0.6, 1.0)).astype(np.uint8)
        order = rng.permutation(3) if rng.random() < 0.4 else np.arange(3)
        picture = np.concatenate([levels[picture[..., order]], picture[..., 3:]], axis=2)
    return np.ascontiguousarray(picture)
