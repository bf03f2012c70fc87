"""A small world of boxes that enter, cross and leave, a detector of them, and the masks that a tracker would give."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from samurai_batch.geometry import box_iou
from samurai_batch.manifest import parse_detections
from samurai_batch.manifest.detections import Detections
from samurai_batch.prompts import Box, BoxPrompt, Rle
from samurai_batch.rle import encode_mask
from samurai_batch.tasks import Track

HEIGHT, WIDTH = 48, 64


@dataclass(frozen=True)
class Thing:
    """A box of 12 x 12 pixels that is there from ``start`` to ``stop`` (excluded) and moves by (dx, dy) a frame."""

    start: int
    stop: int
    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    name: str = "car"

    def box(self, frame: int) -> Box | None:
        """Its box in the picture; None if nothing of it is there."""
        left, top = self.x + self.dx * (frame - self.start), self.y + self.dy * (frame - self.start)
        box = (max(left, 0.0), max(top, 0.0), min(left + 12, WIDTH), min(top + 12, HEIGHT))
        is_there = self.start <= frame < self.stop and box[2] - box[0] > 2 and box[3] - box[1] > 2
        return box if is_there else None


def mask_of_box(box: Box) -> Rle | None:
    """The filled box."""
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    x1, y1, x2, y2 = (round(side) for side in box)
    pixels[y1:y2, x1:x2] = True
    return encode_mask(pixels)


@dataclass(frozen=True)
class World:
    """A tracker holds on to the thing that its first prompt is on; a prompt on nothing keeps its box for ten frames."""

    things: Sequence[Thing]

    def mask_of(self, track: Track, frame: int) -> Rle | None:
        """The mask of a track that was started by a detection."""
        first = track.prompts[0]
        assert isinstance(first, BoxPrompt)
        boxes = [(thing, thing.box(first.frame_index)) for thing in self.things]
        near = [(box_iou(box, first.box_xyxy), at) for at, (_, box) in enumerate(boxes) if box is not None]
        iou, at = max(near, default=(0.0, 0))
        box = self.things[at].box(frame) if iou > 0.3 else first.box_xyxy if frame < first.frame_index + 10 else None
        return None if box is None else mask_of_box(box)

    def detections(self, video_id: str, num_frames: int, chance: random.Random, noise: float = 0.2) -> Detections:
        """Every thing on every frame, but some are missed, some are jittered, and some are of nothing."""
        rows = []
        for frame in range(num_frames):
            found = [(thing.name, box) for thing in self.things if (box := thing.box(frame)) is not None]
            kept = [one for one in found if chance.random() >= noise]
            if chance.random() < noise / 4:
                x, y = chance.uniform(0, WIDTH - 12), chance.uniform(0, HEIGHT - 12)
                kept.append(("ghost", (x, y, x + 12, y + 12)))
            for name, (x1, y1, x2, y2) in kept:
                jitter = chance.choice([0.0, 0.0, 0.5, 1.0])
                rows.append(
                    (video_id, frame, name, round(chance.uniform(0.75, 1), 3), x1 + jitter, y1, x2 + jitter, y2)
                )
        columns = ["video_id", "frame_index", "class", "score", "x1", "y1", "x2", "y2"]
        rows = rows or [(video_id, 0, "ghost", 0.1, 1.0, 1.0, 9.0, 9.0)]
        return parse_detections(pd.DataFrame(rows, columns=columns))


WORLD = World([Thing(0, 60, 4, 4, 0.5, 0.1), Thing(23, 60, 40, 30, -0.2, 0, "person"), Thing(0, 25, 30, 20)])
"""Two cars, one of which is gone from frame 25 on, and a person that comes on frame 23."""


def draw_world(chance: random.Random, num_frames: int) -> World:
    """One to four things that come and go."""
    things = []
    for _ in range(chance.randint(1, 4)):
        start = chance.choice([0, 0, chance.randrange(num_frames)])
        stop = chance.choice([num_frames, chance.randint(start + 1, num_frames)])
        x, y = chance.uniform(0, WIDTH - 12), chance.uniform(0, HEIGHT - 12)
        name = chance.choice(["car", "person"])
        things.append(Thing(start, stop, x, y, chance.uniform(-1, 1), chance.uniform(-1, 1), name))
    return World(things)
