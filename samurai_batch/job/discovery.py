"""The settings of discover prompts. Needs no torch."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from samurai_batch.planning.discovery import DiscoveryRules
from samurai_batch.schema import SETTINGS_CONFIG, Count, Positive, Settings, Share


@dataclass(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class DiscoverySettings(DiscoveryRules, Settings):
    """Which detections start tracks, and which tracks are dropped or ended: the rules of SAM 3 (facebookresearch/sam3).

    SAM 3 detects on every frame; here detections are of every n-th frame, and counts are of those frames. "Ours" marks
    numbers that SAM 3 does not have. Raises ConfigError for a value that cannot be used.
    """

    group: ClassVar[str] = "discovery"

    every: Positive = 10
    """Number of frames from one sampled frame to the next; detections on other frames are not used. Ours; SAM 3: 1."""

    detection_score: Share = 0.5
    """Score that a detection must reach to be used at all. SAM 3."""

    detection_nms: Share = 0.1
    """IoU of two detected masks above which the one with the lower score is dropped. SAM 3."""

    detection_box_nms: Share = 0.7
    """IoU of two detections of which one is only a box, above which the one with the lower score is dropped. Ours."""

    new_track_score: Share = 0.7
    """Score that a detection must reach to start a track. SAM 3."""

    new_track_iou: Share = 0.1
    """IoU with every track's mask below which a detected mask starts a track. SAM 3."""

    new_track_box_iou: Share = 0.3
    """The same for a detection that is only a box, against the box of every track's mask. Ours: boxes of neighbours
    overlap where masks do not."""

    match_iou: Share = 0.5
    """IoU with a detection that a track's mask must reach to be matched by it. SAM 3."""

    hold_back: Positive = 15
    """Number of sampled frames, from a track's first, within which it may still be dropped. Nothing of it is published
    before. SAM 3, where every frame is sampled."""

    max_unmatched: Positive = 8
    """Number of sampled frames of the hold-back on which a track has a mask but no matching detection, at which it is
    dropped. Shorter hold-backs, near the end of a video, have a proportional limit. SAM 3."""

    max_shared: Positive = 8
    """The same for frames on which its detection is that of an older track. SAM 3."""

    reprompt_every: Count = 16
    """Least number of frames between two prompts of a track. A track is prompted anew only on the first frame of a
    chunk, if that is sampled. 0: never. SAM 3."""

    reprompt_score: Share = 0.8
    """Score that a detection must reach to prompt a track anew. SAM 3."""

    reprompt_iou: Share = 0.8
    """IoU of a detection and the track's mask on the frame before that it takes to prompt the track anew. SAM 3."""

    reprompt_track_score: Share = 0.8
    """Score that the track's mask must exceed to be prompted anew. SAM 3."""

    merge_iou: Share = 0.7
    """IoU of two tracks' masks from which on they are taken for one object: the track that was absent more recently
    ends where that begins. SAM 3, which empties its mask for the frame instead."""

    merge_frames: Positive = 2
    """Number of sampled frames in a row for which that holds before the track is ended. Ours."""

    end_after: Count = 300
    """Number of frames without a mask after which a track ends. 0: never; then a long video may have ever more tracks
    to propagate. Ours."""
