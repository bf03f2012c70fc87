"""What a generated scene may hold, and how lively it is."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["object", "lookalike", "other", "occluder"]
# First word of the seeds of everything that is measured or shown; training's begin with another.
MEASURED_SEED = 900_000

ROLES: tuple[Role, ...] = ("object", "lookalike", "other", "occluder")


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """Ranges and chances a scene is drawn from.

    Pairs of whole numbers are inclusive ranges of counts; chances lie in [0, 1]; amounts are 1 for a lively hand-held
    clip and 0 for none at all. ``scale`` is an object's half size as a share of the frame's side; ``speed`` 1 moves an
    object by about a fifth of the frame in 24 frames; ``noise`` is the sensor noise's largest deviation, of 1.
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
