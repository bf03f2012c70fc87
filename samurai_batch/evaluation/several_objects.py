"""Readers of benchmarks with several objects per video: MOTChallenge and DanceTrack, MOTS, YouTube-VIS.

Which annotations count follows TrackEval's readers of the same folders.
"""

import configparser
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.truth import BoxTruth, FrameTruth, RleTruth, Sequence
from samurai_batch.prompts import Rle
from samurai_batch.rle import rle_from_coco

PEDESTRIAN = 1
# Classes of MOT16, MOT17 and MOT20: person on vehicle, static person, distractor, reflection.
MOT17_DISTRACTORS = (2, 7, 8, 12)
MOT20_DISTRACTORS = (*MOT17_DISTRACTORS, 6)  # non-motorised vehicle
MOTS_PEDESTRIAN, MOTS_IGNORED = 2, 10
_MOT_COLUMNS = 8


@dataclass(frozen=True)
class _SequenceInfo:
    """What ``seqinfo.ini`` says of a sequence."""

    frames_folder: Path
    num_frames: int


def mot(root: Path, distractors: tuple[int, ...] | None) -> Iterator[Sequence]:
    """``<sequence>/{img1, gt/gt.txt, seqinfo.ini}``, in ``root`` or one folder below (train, val).

    A line is ``frame,id,left,top,width,height,counts,class,...``; frames and pixels count from 1. ``distractors`` are
    classes; None if the benchmark has no classes (MOT15). Raises ConfigError.
    """
    for truth_file in _sequence_files(root):
        info = _sequence_info(truth_file)
        lines = _mot_lines(truth_file, info.num_frames)
        frames = _mot_frames(truth_file, lines, info.num_frames, distractors)
        yield Sequence(truth_file.parents[1].name, info.frames_folder, _box_truths(frames), frames)


def mots(root: Path) -> Iterator[Sequence]:
    """As `mot`, with lines ``frame id class height width run-lengths``: pedestrians, and regions to ignore."""
    for truth_file in _sequence_files(root):
        info = _sequence_info(truth_file)
        frames, objects = _mots_frames(truth_file, info.num_frames)
        yield Sequence(truth_file.parents[1].name, info.frames_folder, objects, frames)


def youtube_vis(root: Path) -> Iterator[Sequence]:
    """One JSON file in ``root``, such as ``instances.json``, and ``JPEGImages/<video>`` beside it.

    Classes do not count: a track has none. If the folder of a video has more pictures than the annotation, as
    ``valid_all_frames`` has, the frames between are not scored. Raises ConfigError.
    """
    found = sorted(path for path in root.glob("*.json") if path.is_file())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ConfigError(f"{root}: should have one JSON file, the annotations; there are: {names}")
    try:
        annotations = json.loads(found[0].read_text(encoding="utf-8"))
        by_video: dict[Any, list[dict[str, Any]]] = {one["id"]: [] for one in annotations["videos"]}
        for one in annotations["annotations"]:
            by_video[one["video_id"]].append(one)
        for video in annotations["videos"]:
            yield _youtube_vis_sequence(root, video, by_video[video["id"]])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"{found[0]}: cannot be read as YouTube-VIS annotations ({error!r})") from error


READERS: Mapping[str, Callable[[Path], Iterator[Sequence]]] = {
    "mot15": partial(mot, distractors=None),
    "mot17": partial(mot, distractors=MOT17_DISTRACTORS),
    "mot20": partial(mot, distractors=MOT20_DISTRACTORS),
    "dancetrack": partial(mot, distractors=MOT17_DISTRACTORS),
    "mots": mots,
    "youtube-vis": youtube_vis,
}


def _sequence_files(root: Path) -> list[Path]:
    found = sorted(root.glob("*/gt/gt.txt")) or sorted(root.glob("*/*/gt/gt.txt"))
    if not found:
        raise ConfigError(f"{root}: nothing matches */gt/gt.txt; give the folder with the sequences, such as train")
    return found


def _sequence_info(truth_file: Path) -> _SequenceInfo:
    folder = truth_file.parents[1]
    ini = configparser.ConfigParser()
    try:
        read = ini.read(folder / "seqinfo.ini")
        num_frames = int(ini["Sequence"]["seqLength"])
        images = ini["Sequence"].get("imDir", "img1")
    except (configparser.Error, KeyError, ValueError) as error:
        what = f"cannot be read ({error})" if read else "is missing"
        raise ConfigError(f"{folder / 'seqinfo.ini'}: {what}; it should say seqLength") from error
    return _SequenceInfo(folder / images, num_frames)


def _mot_lines(truth_file: Path, num_frames: int) -> NDArray[np.float64]:
    """The first eight columns of a file, (n, 8)."""
    rows = [row for row in csv.reader(truth_file.read_text().splitlines()) if row]
    try:
        lines = np.array([[float(cell) for cell in row[:_MOT_COLUMNS]] for row in rows]).reshape(-1, _MOT_COLUMNS)
    except ValueError as error:
        raise ConfigError(f"{truth_file}: not every line has {_MOT_COLUMNS} numbers ({error})") from error
    if len(lines) and not (lines[:, 0].min() >= 1 and lines[:, 0].max() <= num_frames):
        raise ConfigError(f"{truth_file}: has frames outside 1 to {num_frames}, the seqLength of seqinfo.ini")
    return lines


def _mot_frames(
    truth_file: Path, lines: NDArray[np.float64], num_frames: int, distractors: tuple[int, ...] | None
) -> dict[int, FrameTruth]:
    lines = lines[np.argsort(lines[:, 0], kind="stable")]
    borders = np.searchsorted(lines[:, 0], np.arange(num_frames + 1) + 1)
    frames = {}
    for frame_index in range(num_frames):
        own = lines[borders[frame_index] : borders[frame_index + 1]]
        object_ids = tuple(str(int(one)) for one in own[:, 1])
        if len(set(object_ids)) != len(object_ids):
            raise ConfigError(f"{truth_file}: an object stands twice on frame {frame_index + 1}")
        is_scored = own[:, 6].astype(np.int64) != 0
        if distractors is not None:
            is_scored &= own[:, 7] == PEDESTRIAN
        boxes = own[:, 2:6] - (1, 1, 0, 0)
        frames[frame_index] = FrameTruth(object_ids, boxes, is_scored, np.isin(own[:, 7], distractors or ()))
    return frames


def _mots_frames(truth_file: Path, num_frames: int) -> tuple[dict[int, FrameTruth], dict[str, RleTruth]]:
    found: dict[int, dict[str, Rle]] = {frame_index: {} for frame_index in range(num_frames)}
    ignored: dict[int, list[Rle]] = {}
    for number, line in enumerate(truth_file.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            frame, object_id, kind, height, width, counts = line.split()
            rle = rle_from_coco({"size": [int(height), int(width)], "counts": counts})
            frame_index, kind_number = int(frame) - 1, int(kind)
            own = found[frame_index]
        except (ValueError, KeyError) as error:
            raise ConfigError(f"{truth_file}:{number}: cannot be read as a MOTS line ({error})") from error
        if kind_number == MOTS_IGNORED:
            ignored.setdefault(frame_index, []).append(rle)
        elif kind_number == MOTS_PEDESTRIAN:
            if object_id in own:
                raise ConfigError(f"{truth_file}:{number}: object {object_id} stands twice on frame {frame}")
            own[object_id] = rle
    frames = {index: _mask_frame(own, ignored.get(index, ())) for index, own in found.items()}
    return frames, _rle_truths(found)


def _youtube_vis_sequence(root: Path, video: dict[str, Any], annotations: list[dict[str, Any]]) -> Sequence:
    names = video["file_names"]
    name = names[0].split("/")[0]
    folder = root / "JPEGImages" / name
    indices = _frame_indices(folder, [Path(one).name for one in names])
    found: dict[int, dict[str, Rle]] = {index: {} for index in indices}
    for one in annotations:
        for index, segmentation in zip(indices, one["segmentations"], strict=True):
            if segmentation:
                found[index][str(one["id"])] = _rle(segmentation, int(video["height"]), int(video["width"]))
    frames = {index: _mask_frame(own, ()) for index, own in found.items()}
    return Sequence(name, folder, _rle_truths(found), frames)


def _frame_indices(folder: Path, names: list[str]) -> list[int]:
    """The places of the annotated pictures among those of the folder; without a folder, they are all there are."""
    pictures = sorted(path.name for path in folder.glob("*.jpg")) if folder.is_dir() else names
    place = {name: index for index, name in enumerate(pictures)}
    missing = [name for name in names if name not in place]
    if missing:
        raise ConfigError(f"{folder}: picture {missing[0]} of the annotations is missing; fetch the data set again")
    return [place[name] for name in names]


def _rle(segmentation: Any, height: int, width: int) -> Rle:
    """A mask out of run lengths (a list or compressed) or polygons."""
    if isinstance(segmentation, Mapping):
        return rle_from_coco(segmentation)
    return rle_from_coco(coco.merge(coco.frPyObjects(segmentation, height, width)))


def _mask_frame(masks: Mapping[str, Rle], ignored: Iterable[Rle]) -> FrameTruth:
    all_true = np.ones(len(masks), np.bool_)
    return FrameTruth(tuple(masks), tuple(masks.values()), all_true, ~all_true, union(list(ignored)))


def union(masks: list[Rle]) -> Rle | None:
    """The pixels of any of these masks; None if there is no mask."""
    if not masks:
        return None
    sizes = [{"size": [one.height, one.width], "counts": one.counts} for one in masks]
    return rle_from_coco(coco.merge(sizes, intersect=False))


def _rle_truths(frames: Mapping[int, Mapping[str, Rle]]) -> dict[str, RleTruth]:
    masks: dict[str, dict[int, Rle]] = {}
    for frame_index, own in frames.items():
        for object_id, rle in own.items():
            masks.setdefault(object_id, {})[frame_index] = rle
    return {object_id: RleTruth(by_frame) for object_id, by_frame in masks.items()}


def _box_truths(frames: Mapping[int, FrameTruth]) -> dict[str, BoxTruth]:
    """Each object's boxes from its first frame to its last; NaN and not visible where it has none between."""
    found: dict[str, dict[int, Any]] = {}
    for frame_index, frame in frames.items():
        for object_id, box, is_scored in zip(frame.object_ids, frame.shapes, frame.is_scored, strict=True):
            if is_scored:
                found.setdefault(object_id, {})[frame_index] = box
    truths = {}
    for object_id, boxes in found.items():
        start, absent = min(boxes), (np.nan,) * 4
        whole = np.array([boxes.get(index, absent) for index in range(start, max(boxes) + 1)], np.float64)
        truths[object_id] = BoxTruth(start, whole, np.isfinite(whole[:, 0]))
    return truths
