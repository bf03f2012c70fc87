"""Clips: frames with exact masks, made from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from samurai_batch.synthetic.scene import Assets, Scene, build_scene, render_frame
from samurai_batch.synthetic.settings import ROLES, Role, SceneSettings
from samurai_batch.synthetic.textures import Bytes

_MIN_VISIBLE_SHARE = 0.004


@dataclass(frozen=True)
class Clip:
    """``frames`` (T, S, S, 3) uint8 RGB and ``masks`` (T, N, S, S), what is visible of each of N things.

    Things stand in the order of ``ROLES``: objects first, then their look-alikes; ``object_ids`` names all of them.
    """

    frames: Bytes
    masks: NDArray[np.bool_]
    object_ids: tuple[str, ...]
    roles: tuple[Role, ...]

    @property
    def num_objects(self) -> int:
        """How many of the things are objects to follow (they come first); at least one is well visible on frame 0."""
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
    """Generate a clip of ``num_frames`` frames of ``size`` × ``size`` pixels, or the frames of ``window`` among them.

    The same arguments give the same clip: scenes are drawn from numpy's PCG64 until every "object" is visible on the
    first frame rendered. ``photographs`` (H, W, 3) uint8 lend their texture to half of the surfaces, and ``assets``
    give things and backgrounds; neither is needed.
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
    """The frames of a scene whose indices ``window`` names."""
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
