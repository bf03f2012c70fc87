"""Rendering: things are drawn over one another by affine maps; a label image holds the topmost thing of each pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samurai_batch.synthetic.textures import Floats
from samurai_batch.synthetic.things import Bend, Doubles, Part, Thing, wander

Labels = NDArray[np.int8]
NOTHING = -1


@dataclass(frozen=True)
class Camera:
    """The camera on each of T frames.

    ``centre`` (T, 2) in scene units (1 = the frame's side at zoom 1), ``zoom`` (T,), ``angle`` (T,) in radians,
    ``jitter`` (T, 2) in frame sides, ``light`` (T, 3) gains on the colours.
    """

    centre: Doubles
    zoom: Doubles
    angle: Doubles
    jitter: Doubles
    light: Doubles


def random_camera(rng: np.random.Generator, num_frames: int, amount: float, lighting: float) -> Camera:
    """Random pan, zoom, rotation, shake and light; ``amount`` 0 is a tripod, 1 a hand-held camera in motion."""
    moving = amount * float(rng.choice([0.0, 0.3, 1.0, 1.0]))
    velocity = rng.normal(0, 0.010, 2) * moving
    frames = np.arange(num_frames) - num_frames / 2
    centre = 0.5 + velocity * frames[:, None]
    centre = centre + np.stack([wander(rng, num_frames, 0.05 * moving, 0.05) for _ in range(2)], axis=1)
    zoom = np.exp(rng.normal(0, 0.008) * moving * frames + wander(rng, num_frames, 0.06 * moving, 0.04))
    angle = rng.normal(0, 0.006) * moving * frames + wander(rng, num_frames, 0.06 * moving, 0.05)
    shake = float(rng.choice([0.0, 0.002, 0.006])) * amount
    light = 1 + wander(rng, num_frames, 0.07 * lighting, 0.06)[:, None]
    light = light + np.stack([wander(rng, num_frames, 0.02 * lighting, 0.05) for _ in range(3)], axis=1)
    return Camera(centre, zoom, angle, rng.normal(0, 1, (num_frames, 2)) * shake, light)


@dataclass(frozen=True)
class Canvas:
    """The image to draw on: ``pixels`` (H, W, 3) float32 in [0, 1], ``labels`` (H, W) int8 of the topmost thing."""

    pixels: Floats
    labels: Labels


def affine(scale: tuple[float, float], angle: float, shift: tuple[float, float]) -> Doubles:
    """A 3×3 matrix that scales, then rotates (radians), then translates."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array(
        [
            [scale[0] * cosine, -scale[1] * sine, shift[0]],
            [scale[0] * sine, scale[1] * cosine, shift[1]],
            [0.0, 0.0, 1.0],
        ]
    )


def _at(track: Doubles, time: float) -> Doubles:
    """The value of a (T, ...) array at a fractional frame, interpolated linearly."""
    low = min(max(int(np.floor(time)), 0), len(track) - 1)
    high = min(low + 1, len(track) - 1)
    return np.asarray(track[low] + (track[high] - track[low]) * (time - low))


def camera_map(camera: Camera, time: float, anchored: bool) -> Doubles:
    """The 3×3 map from scene units (1 = the frame's side at zoom 1) to frame coordinates [0, 1]², at a frame."""
    centre = _at(camera.centre, time) if anchored else np.array([0.5, 0.5])
    jitter = _at(camera.jitter, time)
    zoom, angle = float(_at(camera.zoom, time)), float(_at(camera.angle, time))
    turn = affine((zoom, zoom), angle, (0.5 + jitter[0], 0.5 + jitter[1]))
    return turn @ affine((1.0, 1.0), 0.0, (-centre[0], -centre[1]))


def _part_map(part: Part, time: float) -> Doubles:
    angle = part.angle + part.swing * float(np.sin(part.phase + part.pace * time))
    along = affine((1.0, 1.0), 0.0, (part.reach, 0.0)) @ affine(part.half_size, 0.0, (0.0, 0.0))
    return affine((1.0, 1.0), angle, part.pivot) @ along


def _thing_map(thing: Thing, time: float) -> Doubles:
    scale, position = float(_at(thing.scale, time)), _at(thing.position, time)
    shape = (scale * thing.stretch**0.5, scale / thing.stretch**0.5)
    return affine(shape, float(_at(thing.angle, time)), (position[0], position[1]))


def _window(matrix: Doubles, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of pixels that the map of [-1, 1]² can touch."""
    reach = np.abs(matrix[:2, :2]).sum(axis=1) + 1
    low = np.floor(matrix[:2, 2] - reach).astype(int)
    high = np.ceil(matrix[:2, 2] + reach).astype(int) + 1
    return slice(max(low[1], 0), min(high[1], height)), slice(max(low[0], 0), min(high[0], width))


def _sample(part: Part, bend: Bend | None, matrix: Doubles, window: tuple[slice, slice], time: float) -> Floats:
    """A part's premultiplied colour and coverage (h, w, 4) in a window of the frame, bilinear, with soft edges."""
    rows, columns = window
    inverse = np.linalg.inv(matrix).astype(np.float32)
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5
    u = inverse[0, 0] * x + (inverse[0, 1] * y + inverse[0, 2])
    v = inverse[1, 0] * x + (inverse[1, 1] * y + inverse[1, 2])
    if bend is not None:
        angle = np.float32(bend.phase + bend.pace * time)
        u = u + np.float32(bend.depth) * np.sin(np.float32(bend.waves) * v + angle)
        v = v + np.float32(bend.depth) * np.sin(np.float32(bend.waves) * u - angle)
    colours = _bilinear(part.sprite, u, v)
    pixels_per_unit = np.float32(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    cover = np.clip(colours[..., 3:] * pixels_per_unit + 0.5, 0, 1)
    return np.concatenate([colours[..., :3] * cover, cover], axis=2, dtype=np.float32)


def _bilinear(sprite: Floats, u: Floats, v: Floats) -> Floats:
    size = len(sprite)
    x = np.clip((u + 1) * np.float32(size / 2) - 0.5, 0, size - 1.001)
    y = np.clip((v + 1) * np.float32(size / 2) - 0.5, 0, size - 1.001)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x_share, y_share = (x - left)[..., None], (y - top)[..., None]
    texels, corner = sprite.reshape(size * size, -1), top * size + left
    upper, lower = texels.take(corner, axis=0), texels.take(corner + size, axis=0)
    upper += (texels.take(corner + 1, axis=0) - upper) * x_share
    lower += (texels.take(corner + size + 1, axis=0) - lower) * x_share
    blended: Floats = upper + (lower - upper) * y_share
    return blended


def _layer(thing: Thing, camera: Camera, time: float, canvas: Canvas) -> Floats | None:
    """A thing alone, premultiplied colour and coverage (H, W, 4) float32; None if out of view."""
    height, width = canvas.labels.shape
    to_frame = affine((width, height), 0.0, (0.0, 0.0)) @ camera_map(camera, time, thing.anchored)
    layer: Floats | None = None
    for part in thing.parts:
        matrix = to_frame @ _thing_map(thing, time) @ _part_map(part, time)
        window = _window(matrix, height, width)
        if window[0].start >= window[0].stop or window[1].start >= window[1].stop:
            continue
        drawn = _sample(part, thing.bend, matrix, window, time)
        if layer is None:
            layer = np.zeros((height, width, 4), dtype=np.float32)
        layer[window] *= 1 - drawn[..., 3:]
        layer[window] += drawn
    return layer


def draw_thing(canvas: Canvas, thing: Thing, label: int, camera: Camera, times: list[float]) -> None:
    """Draw a thing, averaged over ``times`` (fractional frames); it labels the pixels that it covers by half."""
    layers = [layer for time in times if (layer := _layer(thing, camera, time, canvas)) is not None]
    if not layers:
        return
    layer = sum(layers[1:], start=layers[0]) / np.float32(len(times)) if len(times) > 1 else layers[0]
    rows = np.flatnonzero(layer[..., 3].any(axis=1))
    if not rows.size:
        return
    band = slice(rows[0], rows[-1] + 1)
    cover = layer[band, :, 3:]
    canvas.pixels[band] *= 1 - cover
    canvas.pixels[band] += layer[band, :, :3] * thing.light
    canvas.labels[band][cover[..., 0] > 0.5] = label
