"""Discovery on the suite ``arrivals``, against a plain association of the detections alone, by TrackEval's measures.

The baseline is what comes for free with a detector (the matching step of SORT, Bewley et al. 2016, without its Kalman
filter): boxes of one detected frame are assigned to those of the frame before by IoU, and a track that finds no box on
``MAX_AGE`` detected frames in a row ends. Between detections its boxes are interpolated. Both are measured by boxes on
every frame of a clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.evaluation.association import FrameOverlaps, association_scores, best_matches, count_sequence
from samurai_batch.geometry import box_ious
from samurai_batch.job import JobConfig, make_job
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.prompts import DiscoverPrompt
from samurai_batch.runtime.run import run_job
from samurai_batch.synthetic.arrivals import SIZE, DetectedBox, Noise, arrivals_clip, noisy_detections, visible_boxes
from samurai_batch.tasks import Track, Video

EVERY = 10
LEAST_IOU, MAX_AGE = 0.3, 3
MEASURES = ("HOTA", "DetA", "AssA", "IDF1", "IDSW")

Boxes = NDArray[np.float64]
BoxesById = Mapping[str, Mapping[int, Boxes]]
"""Boxes xyxy of tracks, by id and frame."""


@dataclass(frozen=True)
class ArrivalsClip:
    """One clip in storage: its true boxes (T, N, 4), NaN where a thing is not there, and what was detected."""

    video: Video
    truth: Boxes
    detections: Sequence[DetectedBox]


def write_clips(folder: Path, num_clips: int, noise: Noise) -> list[ArrivalsClip]:
    """Generate clips as folders of frames."""
    clips = []
    for index in range(num_clips):
        clip = arrivals_clip(index)
        frames = folder / "videos" / f"clip-{index:02}"
        frames.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(clip.frames):
            Image.fromarray(pixels).save(frames / f"{number:04}.png", compress_level=1)
        truth = visible_boxes(clip)
        found = noisy_detections(truth, index, EVERY, SIZE, noise)
        clips.append(ArrivalsClip(Video(frames.name, str(frames)), truth, found))
    return clips


def discovered(folder: Path, clips: Sequence[ArrivalsClip], **fields: object) -> dict[str, BoxesById]:
    """The boxes of the tracks that a job discovers in each clip. ``fields`` are of the job."""
    config = _job(folder, clips, fields)
    summary = run_job(config)
    assert not summary.problems, summary.problems
    rows = read_masks(config.output)
    boxes: dict[str, dict[str, dict[int, Boxes]]] = {clip.video.video_id: {} for clip in clips}
    present = rows.dropna(subset=["bbox_x"])
    corners = present[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(np.float64)
    corners[:, 2:] += corners[:, :2]
    names = zip(present["video_id"], present["object_id"], present["frame_index"], corners, strict=True)
    for video_id, object_id, frame_index, box in names:
        boxes[video_id].setdefault(object_id, {})[int(frame_index)] = box
    return dict(boxes)


def _job(folder: Path, clips: Sequence[ArrivalsClip], fields: Mapping[str, object]) -> JobConfig:
    tracks = [Track(video=clip.video, object_id="found", prompts=(DiscoverPrompt(0),)) for clip in clips]
    write_prompts(str(folder / "prompts.parquet"), tracks)
    rows = [
        {"video_id": clip.video.video_id, "frame_index": one.frame_index, "class": "thing", "score": 0.9}
        | dict(zip(("x1", "y1", "x2", "y2"), one.box_xyxy, strict=True))
        for clip in clips
        for one in clip.detections
    ]
    pd.DataFrame(rows).to_parquet(folder / "detections.parquet")
    paths = {name: str(folder / f"{name}.parquet") for name in ("prompts", "detections")}
    given = {"output": str(folder / "out"), "pool": "local", "chunk_frames": 40, "discovery": {"every": EVERY}}
    return make_job({**paths, **given, **fields})


def associated(detections: Sequence[DetectedBox], num_frames: int) -> BoxesById:
    """The baseline's tracks."""
    tracks: dict[str, dict[int, Boxes]] = {}
    active: dict[str, int] = {}
    for frame in range(0, num_frames, EVERY):
        boxes = [np.array(one.box_xyxy) for one in detections if one.frame_index == frame]
        active = {name: seen for name, seen in active.items() if frame - seen <= MAX_AGE * EVERY}
        names = list(active)
        ious = _ious([tracks[name][active[name]] for name in names], boxes)
        pairs = zip(*best_matches(np.where(ious >= LEAST_IOU, ious, 0.0)), strict=True)
        matched = {int(column): names[int(row)] for row, column in pairs}
        for place, box in enumerate(boxes):
            name = matched.get(place, f"{frame}-{place}")
            tracks.setdefault(name, {})[frame] = box
            active[name] = frame
    return {name: _interpolated(found) for name, found in tracks.items()}


def _interpolated(found: Mapping[int, Boxes]) -> dict[int, Boxes]:
    seen = sorted(found)
    frames = range(seen[0], seen[-1] + 1)
    sides = np.stack([np.interp(frames, seen, [found[at][side] for at in seen]) for side in range(4)], axis=1)
    return dict(zip(frames, sides, strict=True))


def clip_scores(truth: Boxes, predicted: BoxesById) -> dict[str, float]:
    """MEASURES of one clip, shares from 0 to 1 and a number of switches."""
    names = {name: number for number, name in enumerate(predicted)}
    frames = []
    for frame, boxes in enumerate(truth):
        there = np.flatnonzero(~np.isnan(boxes).any(axis=1))
        here = [name for name, found in predicted.items() if frame in found]
        overlaps = _ious(list(boxes[there]), [predicted[name][frame] for name in here])
        frames.append(FrameOverlaps(there, np.array([names[name] for name in here], np.int64), overlaps))
    scores = association_scores(count_sequence(_with_dense_truth(frames))[0])
    return {name: float(scores[name]) for name in MEASURES}


def _with_dense_truth(frames: Sequence[FrameOverlaps]) -> list[FrameOverlaps]:
    """Number the things that are there at all from 0."""
    there = np.unique(np.concatenate([one.truth_ids for one in frames]))
    return [FrameOverlaps(np.searchsorted(there, one.truth_ids), one.predicted_ids, one.overlaps) for one in frames]


def _ious(some: Sequence[Boxes], others: Sequence[Boxes]) -> Boxes:
    return box_ious(np.reshape(some, (-1, 4)), np.reshape(others, (-1, 4)))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over clips, and its standard error (0 for a single clip)."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return float(np.mean(values)), error


def comparison_table(ours: Sequence[Mapping[str, float]], baseline: Sequence[Mapping[str, float]]) -> str:
    """A Markdown table: a line per measure, means over clips with standard errors, and the difference clip by clip."""
    lines = ["| measure | discovery | association of the detections alone | difference |", "|---|---|---|---|"]
    for name in MEASURES:
        found, others = [one[name] for one in ours], [one[name] for one in baseline]
        gains = [one - other for one, other in zip(found, others, strict=True)]
        cells = (f"{mean:.3f} ± {error:.3f}" for mean, error in map(mean_and_error, (found, others)))
        gain, error = mean_and_error(gains)
        lines.append(f"| {name} | {' | '.join(cells)} | {gain:+.3f} ± {error:.3f} |")
    return "\n".join(lines)
