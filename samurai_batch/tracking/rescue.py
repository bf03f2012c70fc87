"""What may replace the mask that a tracker has chosen: the interface of rescues, and all of them by name.

A rescue stands on top of a tracker, its *host*, and looks at the mask of each frame after the host has chosen it. Where
nothing seems wrong, it only takes notes, and all else is what the host does without it, bit for bit. Otherwise it may
test other masks, and replace the host's by one of them. Needs no torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samurai_batch.prompts import Box
from samurai_batch.schema import Settings
from samurai_batch.tracking.sentry.settings import SentrySettings

if TYPE_CHECKING:
    from torch import Tensor

    from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
    from samurai_batch.tracking.proposals import Facts
    from samurai_batch.tracking.recent_frames import RecentFrames
    from samurai_batch.tracking.settings import TrackerSettings
    from samurai_batch.tracking.track_state import TrackState

RescueName = Literal["none", "sentry"]
RESCUES: Mapping[RescueName, type[Settings]] = {"sentry": SentrySettings}
"""The settings of each rescue."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What all tracks of a step have in common: the network, the frame, and the frames before it.

    ``video_size``, height and width, are those of the frame in the video; ``recent.newest`` is its index.
    """

    model: "SAM2"
    features: "FrameFeatures"
    recent: "RecentFrames"
    video_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Hosted:
    """A track on one frame, as its host has decided it; ``state`` is that before the frame is remembered.

    candidates (M, S / 4, S / 4): the logits of the decoder's masks, of which the host has chosen number ``index``.
    """

    state: "TrackState"
    facts: "Facts"
    candidates: "Tensor"
    index: int
    is_prompted: bool


@dataclass(frozen=True, eq=False)
class Rescued:
    """The mask that replaces the host's: logits (S / 4, S / 4), and its box in pixels of the model's image."""

    low_res: "Tensor"
    box_xyxy: Box


@dataclass(frozen=True, eq=False)
class Review:
    """What has come of a frame: whether other masks were tested, and the one that replaces the host's, if any does."""

    is_tested: bool = False
    rescued: Rescued | None = None


NO_REVIEW = Review()


class Rescue(ABC):
    """What may replace the mask that a tracker has chosen: one of the parts of a tracker. It holds settings only.

    It reads `Facts.masks` of every frame, prompted ones included. What it must know of earlier frames is a note and
    tensors of the track state; the features of the frames that it names are kept for it (`recent_frames`).
    """

    @abstractmethod
    def review(self, track: Hosted, scene: Scene) -> Review:
        """Look at a frame, and update the state's notes. Only where it tests masks may the host wait for the device."""

    @abstractmethod
    def frames_needed(self, state: "TrackState") -> tuple[int, ...]:
        """Indices of the frames whose features a later frame of this track may read: a bounded number."""


def combine(settings: "TrackerSettings") -> Rescue | None:
    """The rescue of these settings; None for none."""
    if settings.rescue == "none":
        return None
    from samurai_batch.tracking.sentry.rescue import Sentry  # loads torch, which settings alone do not need

    return Sentry(settings)
