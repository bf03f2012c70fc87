"""Scenes: what is drawn by chance before a clip is rendered, and how one of its frames is rendered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.synthetic.motion import Camera, Doubles, random_camera, through, wander
from samurai_batch.synthetic.render import NOTHING, Canvas, Labels, affine, camera_map, draw_thing
from samurai_batch.synthetic.settings import Role, SceneSettings
from samurai_batch.synthetic.textures import Bytes, Floats, noise, random_palette, random_texture
from samurai_batch.synthetic.things import Bend, Part, Thing, articulated_parts, simple_parts

# The world picture is this many frames wide; beyond it, it is mirrored, so that no pan meets an end.
_WORLD_SIDE = 1.5
_STANDARD_FRAMES = 24


@dataclass(frozen=True)
class Scene:
    """Everything about a clip but its pixels. ``things`` stand back to front; ``roles`` are theirs, in that order."""

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
    cast: "Cast | None" = None,
    assets: "Assets | None" = None,
) -> Scene:
    """Draw a scene by chance; the same generator state and arguments give the same scene.

    ``cast`` makes the things, back to front, and their roles; by default all of it is left to chance. ``assets`` come
    before what is generated.
    """
    studio = Studio(rng, settings, num_frames, max(32, int(size * 0.4)), photographs, random_palette(rng), assets)
    background = _background(studio, size)
    camera = random_camera(rng, num_frames, settings.camera, settings.lighting)
    things, roles = (cast or random_cast)(studio)
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
    """Things and backgrounds from elsewhere; None leaves one to the generator."""

    def parts(self, rng: np.random.Generator, resolution: int) -> tuple[Part, ...] | None:
        """The parts of a thing, with sprites of about ``resolution`` pixels."""

    def background(self, rng: np.random.Generator, side: int) -> Floats | None:
        """A picture (side, side, 3) in [0, 1] of all that lies behind."""


@dataclass(frozen=True)
class Studio:
    """What the making of a scene's things has at hand; ``resolution`` is their sprites' side in pixels."""

    rng: np.random.Generator
    settings: SceneSettings
    num_frames: int
    resolution: int
    photographs: Sequence[Bytes]
    palette: Floats
    assets: Assets | None = None

    @property
    def pace(self) -> float:
        """How much of a standard clip's time passes in this one."""
        return self.settings.speed * (self.num_frames - 1) / (_STANDARD_FRAMES - 1)


Cast = Callable[[Studio], tuple[tuple[Thing, ...], tuple[Role, ...]]]


def _background(studio: Studio, size: int) -> Image.Image:
    """Regions of different textures with still things among them, mirrored once to both sides."""
    rng, side = studio.rng, int(size * _WORLD_SIDE)
    pixels = studio.assets.background(rng, side) if studio.assets else None
    canvas = Canvas(_ground(studio, side) if pixels is None else pixels, np.full((side, side), NOTHING, dtype=np.int8))
    still = random_camera(rng, 1, 0.0, 0.0)
    for _ in range(int(rng.integers(studio.settings.clutter[0], studio.settings.clutter[1] + 1))):
        place = rng.uniform(0, 1, 2)
        scale = rng.uniform(0.03, 0.16) / _WORLD_SIDE
        draw_thing(canvas, make_thing(studio, make_parts(studio, None), np.array([place]), scale), 0, still, [0.0])
    picture = (np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8)
    picture = np.concatenate([picture, picture[::-1]])
    return Image.fromarray(np.concatenate([picture, picture[:, ::-1]], axis=1))


def _ground(studio: Studio, side: int) -> Floats:
    """Regions of different textures."""
    rng = studio.rng
    pixels = random_texture(rng, side, studio.palette, studio.photographs)
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        other = random_texture(rng, side, None, studio.photographs)
        border = noise(rng, side, int(rng.integers(1, 5)), 3) + np.linspace(0, rng.choice([0.0, 2.0]), side)[:, None]
        share = np.clip((border - np.quantile(border[::8, ::8], rng.uniform(0.3, 0.8))) * 40, 0, 1)[..., None]
        pixels = pixels * (1 - share) + other * share
    ground: Floats = pixels.astype(np.float32)
    return ground


def make_parts(studio: Studio, palette: Floats | None) -> tuple[Part, ...]:
    """The parts of a thing, articulated or simple."""
    rng = studio.rng
    supplied = studio.assets.parts(rng, studio.resolution) if studio.assets else None
    if supplied is not None:
        return supplied
    if rng.random() < studio.settings.articulated:
        return articulated_parts(rng, studio.resolution, studio.photographs)
    return simple_parts(rng, studio.resolution, palette, studio.photographs)


def _cover_parts(studio: Studio) -> tuple[Part, ...]:
    """The parts of what hides others, which is of one piece unless it is supplied."""
    supplied = studio.assets.parts(studio.rng, studio.resolution) if studio.assets else None
    return supplied or simple_parts(studio.rng, studio.resolution, None, studio.photographs)


def make_thing(
    studio: Studio, parts: tuple[Part, ...], position: Doubles, scale: float, anchored: bool = False
) -> Thing:
    """A thing on a path (T, 2), with a size, an angle and a bend of its own."""
    rng, settings, frames = studio.rng, studio.settings, len(position)
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


def _roam(studio: Studio) -> Doubles:
    """A path within the view, or one that leaves it for a while, or for good."""
    rng, settings = studio.rng, studio.settings
    start = rng.uniform(0.2, 0.8, 2)
    if rng.random() < settings.leave:
        direction = rng.uniform(0, 2 * np.pi)
        outside = 0.5 + 1.25 * np.array([np.cos(direction), np.sin(direction)])
        gone = rng.uniform(0.3, 0.6)
        back = rng.uniform(0.25, 0.75, 2) if rng.random() < 0.6 else outside
        path = through([0, gone, gone + 0.1, 1], [start, outside, outside, back], studio.num_frames)
    else:
        middle = np.clip(start + rng.normal(0, 0.12, 2) * studio.pace, 0.12, 0.88)
        end = np.clip(middle + rng.normal(0, 0.12, 2) * studio.pace, 0.12, 0.88)
        path = through([0, rng.uniform(0.35, 0.65), 1], [start, middle, end], studio.num_frames)
    swing = 0.04 * settings.speed
    return path + np.stack([wander(rng, studio.num_frames, swing, 0.06) for _ in range(2)], axis=1)


def _crossing(studio: Studio, other: Doubles) -> Doubles:
    """A path that meets ``other`` half way through the clip and goes on beyond it."""
    rng = studio.rng
    meeting = rng.uniform(0.35, 0.65)
    place = other[int(meeting * (len(other) - 1))] + rng.normal(0, 0.03, 2)
    direction = rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0.35, 0.6) * np.array([np.cos(direction), np.sin(direction)])
    return through([0, meeting, 1], [place - step, place, place + step * rng.uniform(0.7, 1.1)], studio.num_frames)


def random_cast(studio: Studio) -> tuple[tuple[Thing, ...], tuple[Role, ...]]:
    """Objects, look-alikes and others in a random order of depth, then occluders before them all."""
    rng, settings = studio.rng, studio.settings
    cast: list[tuple[Thing, Role]] = []
    for _ in range(_between(rng, settings.objects)):
        hidden_colours = studio.palette if rng.random() < settings.camouflage else None
        parts = make_parts(studio, hidden_colours)
        target = make_thing(studio, parts, _roam(studio), rng.uniform(*settings.scale))
        cast.append((target, "object"))
        for _ in range(_between(rng, settings.lookalikes)):
            path = _crossing(studio, target.position) if rng.random() < settings.crossing else _roam(studio)
            likeness = float(target.scale[0]) * rng.uniform(0.85, 1.2)
            cast.append((make_thing(studio, parts, path, likeness), "lookalike"))
    for _ in range(_between(rng, settings.others)):
        cast.append((make_thing(studio, make_parts(studio, None), _roam(studio), rng.uniform(0.05, 0.2)), "other"))
    targets = [thing for thing, role in cast if role == "object"]
    cast = [cast[index] for index in rng.permutation(len(cast))]
    for target in targets:
        if rng.random() < settings.hiding:
            cast.append((_hider(studio, target), "occluder"))
    for _ in range(_between(rng, settings.occluders)):
        cast.append((_occluder(studio), "occluder"))
    return tuple(thing for thing, _ in cast), tuple(role for _, role in cast)


def _between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


def _hider(studio: Studio, target: Thing) -> Thing:
    """Something larger that passes over, or waits over, the target about half way through the clip."""
    rng = studio.rng
    meeting = rng.uniform(0.35, 0.6)
    place = target.position[int(meeting * (len(target.position) - 1))]
    direction = rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0.7, 1.0) * np.array([np.cos(direction), np.sin(direction)])
    times = [0, max(meeting - 0.15, 0.1), min(meeting + 0.15, 0.9), 1]
    path = through(times, [place - step, place, place, place + step], studio.num_frames)
    scale = float(target.scale.max()) * rng.uniform(1.2, 1.9)
    return make_thing(studio, _cover_parts(studio), path, scale)


def _occluder(studio: Studio) -> Thing:
    """Something near the camera: it stands in the world, or drifts."""
    rng = studio.rng
    anchored = bool(rng.random() < 0.6)
    path = np.repeat(rng.uniform(0, 1, (1, 2)), studio.num_frames, axis=0) if anchored else _roam(studio)
    return make_thing(studio, _cover_parts(studio), path, rng.uniform(0.06, 0.22), anchored)


def render_frame(scene: Scene, index: int) -> tuple[Bytes, Labels]:
    """One frame (S, S, 3) uint8 and the index of the thing seen at each pixel (S, S), or -1 for the background."""
    size = scene.size
    world = affine((_WORLD_SIDE * size, _WORLD_SIDE * size), 0.0, (0.0, 0.0)) @ affine(
        (1 / _WORLD_SIDE, 1 / _WORLD_SIDE), 0.0, (0.5, 0.5)
    )
    to_frame = affine((size, size), 0.0, (0.0, 0.0)) @ camera_map(scene.camera, float(index), anchored=True)
    inverse = world @ np.linalg.inv(to_frame)
    view = scene.background.transform(
        (size, size),
        Image.Transform.AFFINE,
        tuple(inverse[:2].ravel()),
        resample=Image.Resampling.BILINEAR,
    )
    canvas = Canvas(
        np.asarray(view, dtype=np.float32) * np.float32(1 / 255),
        np.full((size, size), NOTHING, dtype=np.int8),
    )
    times = [index + scene.shutter * share for share in (-0.5, 0.0, 0.5)] if scene.shutter else [float(index)]
    for label, thing in enumerate(scene.things):
        draw_thing(canvas, thing, label, scene.camera, times)
    return _develop(scene, canvas.pixels, index), canvas.labels


def _develop(scene: Scene, pixels: Floats, index: int) -> Bytes:
    """Lens softness, light and sensor noise: what lies between the scene and the file."""
    if scene.softness:
        share = np.float32(0.25 * scene.softness)
        pixels[1:-1] += share * (pixels[2:] + pixels[:-2] - 2 * pixels[1:-1])
        pixels[:, 1:-1] += share * (pixels[:, 2:] + pixels[:, :-2] - 2 * pixels[:, 1:-1])
    pixels *= scene.camera.light[index].astype(np.float32)
    shift = (index * 37) % scene.size
    pixels += scene.grain[shift : shift + scene.size]
    exposed: NDArray[np.uint8] = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return exposed
