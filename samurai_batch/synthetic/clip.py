"""Clips: frames with exact masks, generated from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.synthetic.render import NOTHING, Canvas, Labels, affine, camera_map, draw_thing
from samurai_batch.synthetic.scene import BACKGROUND_SIDE, ROLES, Assets, Role, Scene, SceneSettings, build_scene
from samurai_batch.synthetic.textures import Bytes, Floats

_MIN_VISIBLE_SHARE = 0.004


@dataclass(frozen=True)
class Clip:
    """``frames`` (T, S, S, 3) uint8 RGB, and ``masks`` (T, N, S, S) bool of the visible pixels of each of N things.

    Things are sorted by role, in the order of ``ROLES``; ``object_ids`` and ``roles`` are theirs.
    """

    frames: Bytes
    masks: NDArray[np.bool_]
    object_ids: tuple[str, ...]
    roles: tuple[Role, ...]

    @property
    def num_objects(self) -> int:
        """How many of the things are objects to track; they come first, and all are well visible on frame 0."""
        return self.roles.count("object")


def generate_clip(
    seed: int | Sequence[int],
    settings: SceneSettings,
    num_frames: int,
    size: int,
    photographs: Sequence[Bytes] = (),
    window: Sequence[int] | None = None,
    assets: Assets | None = None,
) -> Clip:
    """Generate a clip of ``num_frames`` frames of ``size`` × ``size`` pixels, or the frames of ``window`` only.

    The same arguments give the same clip: scenes are drawn with numpy's PCG64 until every object is visible on the
    first frame. Optional: ``photographs`` (H, W, 3) uint8 RGB give half of the surfaces their textures, and ``assets``
    some things and backgrounds.
    """
    window = range(num_frames) if window is None else window
    entropy = (seed,) if isinstance(seed, int) else tuple(seed)
    for attempt in count():
        rng = np.random.Generator(np.random.PCG64([*entropy, attempt]))
        scene = build_scene(rng, settings, num_frames, size, photographs, assets=assets)
        if _objects_visible(scene, render_frame(scene, window[0])[1]):
            break
    return render_clip(scene, window)


def render_clip(scene: Scene, window: Sequence[int]) -> Clip:
    """Render the frames of a scene whose indices are in ``window``."""
    rendered = [render_frame(scene, index) for index in window]
    order = sorted(range(len(scene.roles)), key=lambda index: ROLES.index(scene.roles[index]))
    labels = np.stack([frame_labels for _, frame_labels in rendered])
    roles = tuple(scene.roles[index] for index in order)
    return Clip(
        frames=np.stack([pixels for pixels, _ in rendered]),
        masks=labels[:, None] == np.array(order, dtype=np.int8)[:, None, None],
        object_ids=tuple(f"{role}-{index}" for index, role in enumerate(roles)),
        roles=roles,
    )


def _objects_visible(scene: Scene, labels: NDArray[np.int8]) -> bool:
    areas = np.bincount(labels.ravel().astype(np.int64) + 1, minlength=len(scene.roles) + 1)[1:]
    enough = _MIN_VISIBLE_SHARE * labels.size
    return all(areas[index] >= enough for index, role in enumerate(scene.roles) if role == "object")


def render_frame(scene: Scene, index: int) -> tuple[Bytes, Labels]:
    """One frame (S, S, 3) uint8 RGB, and the topmost thing's index at each pixel (S, S) int8, -1 for background."""
    size = scene.size
    to_background = affine((BACKGROUND_SIDE * size, BACKGROUND_SIDE * size), 0.0, (0.0, 0.0)) @ affine(
        (1 / BACKGROUND_SIDE, 1 / BACKGROUND_SIDE), 0.0, (0.5, 0.5)
    )
    to_frame = affine((size, size), 0.0, (0.0, 0.0)) @ camera_map(scene.camera, float(index), anchored=True)
    inverse = to_background @ np.linalg.inv(to_frame)
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
    return _apply_lens_and_sensor(scene, canvas.pixels, index), canvas.labels


def _apply_lens_and_sensor(scene: Scene, pixels: Floats, index: int) -> Bytes:
    """Apply lens blur, light and sensor noise: float pixels in, uint8 out."""
    if scene.softness:
        share = np.float32(0.25 * scene.softness)
        pixels[1:-1] += share * (pixels[2:] + pixels[:-2] - 2 * pixels[1:-1])
        pixels[:, 1:-1] += share * (pixels[:, 2:] + pixels[:, :-2] - 2 * pixels[:, 1:-1])
    pixels *= scene.camera.light[index].astype(np.float32)
    shift = (index * 37) % scene.size
    pixels += scene.grain[shift : shift + scene.size]
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
