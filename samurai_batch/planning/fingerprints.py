"""The fingerprint of a track: one hash of everything that decides its masks.

Chunk length, sharding and replicas do not enter: they change where and when, not what.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from samurai_batch.prompts import (
    BoxPrompt,
    DiscoverPrompt,
    EverythingPrompt,
    FromVideoPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    TextPrompt,
)
from samurai_batch.tasks import Track

SCENE_CUTS_VERSION = 1
"""Raise it when other scene cuts are measured in the same frames: tracks of jobs with ``on_cut`` become stale."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The network and the rules that propagate all tracks of a job.

    ``settings`` are the tracker's thresholds by name, as JSON values; ``tracker_version`` moves when the code
    computes other masks from the same settings. ``detection`` has the settings of auto prompts,
    and counts for those alone; ``discovery`` those of discover prompts, with the length of their windows.
    """

    model: str
    weights_digest: str
    image_size: int
    dtype: str
    settings: Mapping[str, object]
    tracker_version: int
    detection: Mapping[str, object] = field(default_factory=dict)
    discovery: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoIdentity:
    """One state of a video's bytes: another size or version is another video."""

    uri: str
    size_bytes: int
    version: str


def fingerprint(track: Track, video: VideoIdentity, recipe: Recipe) -> str:
    """SHA-256 (64 hexadecimal digits) over the canonical JSON of all that decides the rows of ``track``.

    Its ids stand in its rows, so they count as well: two objects with the same prompts are two tracks.
    """
    if track.origin:
        return fingerprint_of_found(track)
    content: dict[str, list[object]] = {
        "ids": [track.video.video_id, track.object_id],
        "video": [video.uri, video.size_bytes, video.version],
        "prompts": [_prompt_values(prompt) for prompt in track.prompts],
        "span": [track.start_frame, track.end_frame, track.direction],
        "model": [recipe.model, recipe.weights_digest, recipe.image_size, recipe.dtype],
        "tracker": [recipe.tracker_version, dict(recipe.settings)],
    }
    if isinstance(track.auto_prompt, DiscoverPrompt):
        content["discovery"] = [dict(recipe.discovery)]
    sampling = track.sampling
    if sampling.every > 1 or sampling.interpolates:
        content["sampling"] = [sampling.every, sampling.interpolates]
    if sampling.on_cut != "ignore":
        content["on_cut"] = [sampling.on_cut, SCENE_CUTS_VERSION]
    if track.auto_prompt is not None:
        content["look_up"] = [dict(recipe.detection)]
    return _hash(content)


def fingerprint_of_found(track: Track) -> str:
    """The same of a track that a discovery has started: its fingerprint, ``origin``, decides all of the track."""
    return _hash({"ids": [track.video.video_id, track.object_id], "origin": [track.origin]})


def fingerprint_of_detections(track: Track, video: VideoIdentity, recipe: Recipe) -> str:
    """The same of what a job detects for a discover prompt on its sampled frames, whatever becomes of it."""
    (prompt,) = track.prompts
    return _hash(
        {
            "video": [video.uri, video.size_bytes, video.version],
            "prompt": [_prompt_values(prompt), track.end_frame],
            "model": [recipe.model, recipe.weights_digest, recipe.image_size, recipe.dtype],
            "look_up": [dict(recipe.detection)],
            "frames": [recipe.discovery["every"], recipe.discovery["chunk_frames"]],
        }
    )


def _hash(content: Mapping[str, object]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _prompt_values(prompt: Prompt) -> list[object]:
    match prompt:
        case BoxPrompt():
            return ["box", prompt.frame_index, prompt.box_xyxy]
        case PointsPrompt():
            return ["points", prompt.frame_index, prompt.points_xy, prompt.labels]
        case MaskPrompt():
            return ["mask", prompt.frame_index, prompt.mask.height, prompt.mask.width, prompt.mask.counts]
        case FromVideoPrompt():
            return ["from_video", prompt.frame_index, prompt.video_id, prompt.object_id, prompt.source]
        case TextPrompt():
            return ["text", prompt.frame_index, prompt.text]
        case EverythingPrompt():
            return ["everything", prompt.frame_index]
        case DiscoverPrompt():
            return ["discover", prompt.frame_index, prompt.classes, prompt.detections]
