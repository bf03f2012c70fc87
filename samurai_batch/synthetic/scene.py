"""Scenes: all that a clip shows, drawn at random by settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from samurai_batch.synthetic.render import (
    NOTHING,
    Camera,
    Canvas,
    draw_thing,
    random_camera,
)
from samurai_batch.synthetic.textures import Bytes, Floats, noise, random_palette, random_texture
from samurai_batch.synthetic.things import (
    Bend,
    Doubles,
    Part,
    Thing,
    articulated_parts,
    simple_parts,
    through,
    wander,
)

Role = Literal["object", "lookalike", "other", "occluder"]
ROLES: tuple[Role, ...] = ("object", "lookalike", "other", "occluder")

# The background is this many frames wide, and mirrored beyond that, so that no pan reaches an end.
BACKGROUND_SIDE = 1.5
_STANDARD_FRAMES = 24


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """The distribution that scenes are drawn from.

    Pairs of integers are inclusive ranges of counts; ``articulated``, ``camouflage``, ``crossing``, ``leave``,
    ``hiding``, ``deformation`` and ``motion_blur`` are probabilities; ``camera``, ``lighting`` and ``softness`` are
    amounts, 0 for none and 1 for a lively hand-held clip. ``scale`` is the range of half an object's size, as a share
    of the frame's side; at ``speed`` 1 an object moves by about a fifth of the frame in 24 frames; ``noise`` is the
    largest standard deviation of the sensor noise, with pixels in [0, 1].
    """

    objects: tuple[int, int] = (1, 2)
    lookalikes: tuple[int, int] = (0, 1)
    others: tuple[int, int] = (0, 2)
    occluders: tuple[int, int] = (0, 1)
    clutter: tuple[int, int] = (2, 10)
    scale: tuple[float, float] = (0.08, 0.32)
    speed: float = 1.0
    camera: float = 1.0
    lighting: float = 1.0
    deformation: float = 0.5
    articulated: float = 0.45
    camouflage: float = 0.2
    crossing: float = 0.5
    leave: float = 0.2
    hiding: float = 0.25
    motion_blur: float = 0.25
    noise: float = 0.03
    softness: float = 1.0


@dataclass(frozen=True)
class Scene:
    """All that decides a clip's pixels. ``things`` are sorted back to front, ``roles`` are theirs.

    ``shutter`` is the exposure time in frames, ``grain`` (2S, S, 1) float32 the sensor noise.
    """

    size: int
    num_frames: int
    background: Image.Image
    camera: Camera
    things: tuple[Thing, ...]
    roles: tuple[Role, ...]
    shutter: float
    grain: Floats
    softness: float


def build_scene(
    rng: np.random.Generator,
    settings: SceneSettings,
    num_frames: int,
    size: int,
    photographs: Sequence[Bytes] = (),
    make_things: "Callable[[SceneContext], tuple[tuple[Thing, ...], tuple[Role, ...]]] | None" = None,
    assets: "Assets | None" = None,
) -> Scene:
    """Draw a random scene; the same generator state and arguments give the same scene.

    ``make_things`` returns the things, back to front, and their roles; by default they are random. ``assets`` may
    replace generated things and backgrounds.
    """
    context = SceneContext(
        rng, settings, num_frames, max(32, int(size * 0.4)), photographs, random_palette(rng), assets
    )
    background = _background(context, size)
    camera = random_camera(rng, num_frames, settings.camera, settings.lighting)
    things, roles = (make_things or random_things)(context)
    blurred = rng.random() < settings.motion_blur
    grain = rng.normal(0, settings.noise * rng.random(), (2 * size, size, 1)).astype(np.float32)
    return Scene(
        size=size,
        num_frames=num_frames,
        background=background,
        camera=camera,
        things=things,
        roles=roles,
        shutter=float(rng.uniform(0.3, 1.0)) if blurred else 0.0,
        grain=grain,
        softness=float(rng.choice([0.0, 0.0, 0.5, 1.0])) * settings.softness,
    )


class Assets(Protocol):
    """A source of things and backgrounds; where it returns None, the generator makes them."""

    def parts(self, rng: np.random.Generator, resolution: int) -> tuple[Part, ...] | None:
        """The parts of a thing, with sprites of about ``resolution`` pixels."""

    def background(self, rng: np.random.Generator, side: int) -> Floats | None:
        """A background (side, side, 3) float32 in [0, 1]."""


@dataclass(frozen=True)
class SceneContext:
    """What the functions that generate a scene share; ``resolution`` is the side of sprites in pixels."""

    rng: np.random.Generator
    settings: SceneSettings
    num_frames: int
    resolution: int
    photographs: Sequence[Bytes]
    palette: Floats
    assets: Assets | None = None

    @property
    def pace(self) -> float:
        """The distance factor of random motion: speed times the clip's length relative to a standard clip's."""
        return self.settings.speed * (self.num_frames - 1) / (_STANDARD_FRAMES - 1)


def _background(context: SceneContext, size: int) -> Image.Image:
    """Regions of different textures, or an asset, with still things on it; mirrored in both directions."""
    rng, side = context.rng, int(size * BACKGROUND_SIDE)
    pixels = context.assets.background(rng, side) if context.assets else None
    canvas = Canvas(
        _regions(context, side) if pixels is None else pixels, np.full((side, side), NOTHING, dtype=np.int8)
    )
    still = random_camera(rng, 1, 0.0, 0.0)
    for _ in range(int(rng.integers(context.settings.clutter[0], context.settings.clutter[1] + 1))):
        place = rng.uniform(0, 1, 2)
        scale = rng.uniform(0.03, 0.16) / BACKGROUND_SIDE
        draw_thing(canvas, make_thing(context, make_parts(context, None), np.array([place]), scale), 0, still, [0.0])
    picture = (np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8)
    picture = np.concatenate([picture, picture[::-1]])
    return Image.fromarray(np.concatenate([picture, picture[:, ::-1]], axis=1))


def _regions(context: SceneContext, side: int) -> Floats:
    """A background (side, side, 3) float32 of regions with different textures."""
    rng = context.rng
    pixels = random_texture(rng, side, context.palette, context.photographs)
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        other = random_texture(rng, side, None, context.photographs)
        border = noise(rng, side, int(rng.integers(1, 5)), 3) + np.linspace(0, rng.choice([0.0, 2.0]), side)[:, None]
        share = np.clip((border - np.quantile(border[::8, ::8], rng.uniform(0.3, 0.8))) * 40, 0, 1)[..., None]
        pixels = pixels * (1 - share) + other * share
    return pixels.astype(np.float32)


def make_parts(context: SceneContext, palette: Floats | None) -> tuple[Part, ...]:
    """The parts of a thing, articulated or simple."""
    rng = context.rng
    asset = context.assets.parts(rng, context.resolution) if context.assets else None
    if asset is not None:
        return asset
    if rng.random() < context.settings.articulated:
        return articulated_parts(rng, context.resolution, context.photographs)
    return simple_parts(rng, context.resolution, palette, context.photographs)


def _cover_parts(context: SceneContext) -> tuple[Part, ...]:
    """The parts of an occluder: simple ones unless they are an asset."""
    asset = context.assets.parts(context.rng, context.resolution) if context.assets else None
    return asset or simple_parts(context.rng, context.resolution, None, context.photographs)


def make_thing(
    context: SceneContext, parts: tuple[Part, ...], position: Doubles, scale: float, anchored: bool = False
) -> Thing:
    """A thing that moves along ``position`` (T, 2), with random size, angle and deformation."""
    rng, settings, frames = context.rng, context.settings, len(position)
    bend = None
    if rng.random() < settings.deformation:
        bend = Bend(rng.uniform(0.02, 0.12), rng.uniform(1.5, 4.0), rng.uniform(0.05, 0.4), rng.uniform(0, 6.3))
    growth = rng.normal(0, 0.015) * settings.speed * np.arange(frames)
    turning = rng.normal(0, 0.03) * settings.speed * rng.choice([0.0, 1.0]) * np.arange(frames)
    return Thing(
        parts=parts,
        bend=bend,
        position=position,
        scale=scale * np.exp(np.clip(growth + wander(rng, frames, 0.06, 0.05), -0.5, 0.5)),
        angle=rng.choice([0.0, 1.0]) * rng.uniform(-3.1, 3.1) + turning + wander(rng, frames, 0.1, 0.05),
        stretch=float(np.exp(rng.normal(0, 0.25))),
        anchored=anchored,
        light=(1 + rng.uniform(-0.12, 0.12, 3)).astype(np.float32),
    )


def _random_path(context: SceneContext) -> Doubles:
    """A random path (T, 2) within the frame, or one that leaves it, maybe to return."""
    rng, settings = context.rng, context.settings
    start = rng.uniform(0.2, 0.8, 2)
    if rng.random() < settings.leave:
        direction = rng.uniform(0, 2 * np.pi)
        outside = 0.5 + 1.25 * np.array([np.cos(direction), np.sin(direction)])
        gone = rng.uniform(0.3, 0.6)
        back = rng.uniform(0.25, 0.75, 2) if rng.random() < 0.6 else outside
        path = through([0, gone, gone + 0.1, 1], [start, outside, outside, back], context.num_frames)
    else:
        middle = np.clip(start + rng.normal(0, 0.12, 2) * context.pace, 0.12, 0.88)
        end = np.clip(middle + rng.normal(0, 0.12, 2) * context.pace, 0.12, 0.88)
        path = through([0, rng.uniform(0.35, 0.65), 1], [start, middle, end], context.num_frames)
    swing = 0.04 * settings.speed
    return path + np.stack([wander(rng, context.num_frames, swing, 0.06) for _ in range(2)], axis=1)


def _crossing_path(context: SceneContext, other: Doubles) -> Doubles:
    """A path (T, 2) that crosses ``other`` about half way through the clip."""
    rng = context.rng
    meeting = rng.uniform(0.35, 0.65)
    place = other[int(meeting * (len(other) - 1))] + rng.normal(0, 0.03, 2)
    direction = rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0.35, 0.6) * np.array([np.cos(direction), np.sin(direction)])
    return through([0, meeting, 1], [place - step, place, place + step * rng.uniform(0.7, 1.1)], context.num_frames)


def random_things(context: SceneContext) -> tuple[tuple[Thing, ...], tuple[Role, ...]]:
    """Objects, look-alikes and others in random order of depth, and occluders in front of them all."""
    rng, settings = context.rng, context.settings
    things: list[tuple[Thing, Role]] = []
    for _ in range(_between(rng, settings.objects)):
        camouflage = context.palette if rng.random() < settings.camouflage else None
        parts = make_parts(context, camouflage)
        target = make_thing(context, parts, _random_path(context), rng.uniform(*settings.scale))
        things.append((target, "object"))
        for _ in range(_between(rng, settings.lookalikes)):
            path = (
                _crossing_path(context, target.position) if rng.random() < settings.crossing else _random_path(context)
            )
            likeness = float(target.scale[0]) * rng.uniform(0.85, 1.2)
            things.append((make_thing(context, parts, path, likeness), "lookalike"))
    for _ in range(_between(rng, settings.others)):
        things.append(
            (make_thing(context, make_parts(context, None), _random_path(context), rng.uniform(0.05, 0.2)), "other")
        )
    targets = [thing for thing, role in things if role == "object"]
    things = [things[index] for index in rng.permutation(len(things))]
    for target in targets:
        if rng.random() < settings.hiding:
            things.append((_covering_occluder(context, target), "occluder"))
    for _ in range(_between(rng, settings.occluders)):
        things.append((_occluder(context), "occluder"))
    return tuple(thing for thing, _ in things), tuple(role for _, role in things)


def _between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


def _covering_occluder(context: SceneContext, target: Thing) -> Thing:
    """A larger thing that covers the target for a while, about half way through the clip."""
    rng = context.rng
    meeting = rng.uniform(0.35, 0.6)
    place = target.position[int(meeting * (len(target.position) - 1))]
    direction = rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0.7, 1.0) * np.array([np.cos(direction), np.sin(direction)])
    times = [0, max(meeting - 0.15, 0.1), min(meeting + 0.15, 0.9), 1]
    path = through(times, [place - step, place, place, place + step], context.num_frames)
    scale = float(target.scale.max()) * rng.uniform(1.2, 1.9)
    return make_thing(context, _cover_parts(context), path, scale)


def _occluder(context: SceneContext) -> Thing:
    """A thing in front of all others, fixed to the background or moving."""
    rng = context.rng
    anchored = bool(rng.random() < 0.6)
    path = np.repeat(rng.uniform(0, 1, (1, 2)), context.num_frames, axis=0) if anchored else _random_path(context)
    return make_thing(context, _cover_parts(context), path, rng.uniform(0.06, 0.22), anchored)
