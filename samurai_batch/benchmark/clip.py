"""The clip that benchmarks track: deterministic and fast to generate; its content does not change the cost."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samurai_batch.prompts import BoxPrompt
from samurai_batch.rendering.output import write_mp4
from samurai_batch.tasks import Track, Video

HEIGHT, WIDTH = 360, 640
FRAMES_PER_SECOND = 25
_SQUARE_PX = 60


def frames(count: int) -> Iterator[NDArray[np.uint8]]:
    """Frames (HEIGHT, WIDTH, 3) uint8 RGB of a white square that moves over a gradient."""
    ground = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ground[..., 0] = np.linspace(0, 255, WIDTH).astype(np.uint8)
    ground[..., 1] = np.linspace(0, 255, HEIGHT).astype(np.uint8)[:, None]
    for index in range(count):
        picture = ground.copy()
        left = 20 + 2 * index % (WIDTH - _SQUARE_PX - 40)
        picture[100 : 100 + _SQUARE_PX, left : left + _SQUARE_PX] = 255
        yield picture


def write_clip(path: Path, count: int) -> Path:
    """Write ``count`` frames as an mp4."""
    write_mp4(path, ((index / FRAMES_PER_SECOND, picture) for index, picture in enumerate(frames(count))))
    return path


def clip_tracks(path: Path, count: int) -> list[Track]:
    """``count`` tracks, each prompted by a box of its own on frame 0."""
    video = Video(path.stem, str(path))
    boxes = [(20.0 + 5 * number, 100.0, 80.0 + 5 * number, 160.0) for number in range(count)]
    return [Track(video=video, object_id=f"o{n}", prompts=(BoxPrompt(0, box),)) for n, box in enumerate(boxes)]
