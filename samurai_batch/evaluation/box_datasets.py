"""Benchmarks with boxes: LaSOT (and its extension), GOT-10k, TrackingNet, OTB, NfS. From their folders to sequences."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.truth import BoxTruth, Sequence

# OTB: the annotation of this sequence begins on its 300th picture.
OTB_FIRST_FRAMES = {"David": 299}
NFS_FPS_RATIO = 8  # annotated at 240 frames/s, published at 30 as well


def lasot(root: Path) -> Iterator[Sequence]:
    """``<class>/<sequence>/{img, groundtruth.txt, full_occlusion.txt, out_of_view.txt}``, LaSOT-ext alike.

    The sequences that ``testing_set.txt`` lists, or all without that file.
    """
    listed = root / "testing_set.txt"
    names = set(listed.read_text().split()) if listed.is_file() else None
    for truth_file in _found(root, "*/*/groundtruth.txt"):
        folder = truth_file.parent
        if names is None or folder.name in names:
            boxes = _numbers(truth_file, 4)
            hidden = _flags(folder / "full_occlusion.txt", len(boxes)) | _flags(folder / "out_of_view.txt", len(boxes))
            yield _sequence(folder.name, folder / "img", BoxTruth(0, boxes, ~hidden))


def got10k(root: Path) -> Iterator[Sequence]:
    """``<sequence>/{*.jpg, groundtruth.txt, cover.label}`` of the validation set; the target hides at cover 0."""
    for truth_file in _found(root, "*/groundtruth.txt"):
        folder = truth_file.parent
        boxes = _numbers(truth_file, 4)
        cover = folder / "cover.label"
        visible = _numbers(cover, 1)[:, 0] > 0 if cover.is_file() else np.ones(len(boxes), np.bool_)
        yield _sequence(folder.name, folder, BoxTruth(0, boxes, visible))


def trackingnet(root: Path) -> Iterator[Sequence]:
    """``frames/<sequence>``, ``anno/<sequence>.txt``. The public test set tells the first box alone."""
    for truth_file in _found(root, "anno/*.txt"):
        boxes = _numbers(truth_file, 4)
        visible = np.ones(len(boxes), np.bool_)
        yield _sequence(truth_file.stem, root / "frames" / truth_file.stem, BoxTruth(0, boxes, visible))


def otb(root: Path) -> Iterator[Sequence]:
    """``<sequence>/{img, groundtruth_rect.txt}``; ``groundtruth_rect.2.txt`` and so on are further objects."""
    by_folder: dict[Path, list[Path]] = {}
    for truth_file in _found(root, "*/groundtruth_rect*.txt"):
        by_folder.setdefault(truth_file.parent, []).append(truth_file)
    for folder, truth_files in by_folder.items():
        first = OTB_FIRST_FRAMES.get(folder.name, 0)
        objects = {}
        for number, truth_file in enumerate(truth_files, start=1):
            boxes = _numbers(truth_file, 4)
            objects[str(number)] = BoxTruth(first, boxes, np.ones(len(boxes), np.bool_))
        yield Sequence(folder.name, folder / "img", objects)


def nfs(root: Path) -> Iterator[Sequence]:
    """``<sequence>/30/<sequence>`` and its ``.txt``: the 30 frames/s version of NfS.

    A line is ``object left top right bottom frame lost ...``; annotations at 240 frames/s are thinned out.
    """
    for truth_file in _found(root, "*/30/*.txt"):
        columns = [line.split() for line in truth_file.read_text().splitlines() if line.strip()]
        try:
            values = np.array([[float(cell) for cell in cells[1:7]] for cells in columns])
        except ValueError as error:
            raise ConfigError(f"{truth_file}: cannot be read as NfS annotations ({error})") from error
        folder = truth_file.with_suffix("")
        num_frames = sum(1 for path in folder.glob("*.jpg"))
        if num_frames and round(len(values) / num_frames) == NFS_FPS_RATIO:
            values = values[::NFS_FPS_RATIO]
        values = values[:num_frames]
        boxes = np.concatenate([values[:, :2], values[:, 2:4] - values[:, :2]], axis=1)
        yield _sequence(truth_file.stem, folder, BoxTruth(0, boxes, values[:, 5] == 0))


def _sequence(name: str, frames_folder: Path, truth: BoxTruth) -> Sequence:
    if len(truth.visible) != len(truth.boxes_xywh):
        counts = f"{len(truth.boxes_xywh)} boxes, but {len(truth.visible)} marks of visibility"
        raise ConfigError(f"{name}: {counts}; fetch the data set again")
    return Sequence(name, frames_folder, {"1": truth})


def _found(root: Path, pattern: str) -> list[Path]:
    found = sorted(root.glob(pattern))
    if not found:
        raise ConfigError(f"{root}: nothing matches {pattern}; give the root of the data set as it is published")
    return found


def _numbers(path: Path, width: int) -> NDArray[np.float64]:
    """A table of numbers that commas, tabs or blanks separate, (n, width)."""
    lines = [re.split(r"[,\s]+", line.strip()) for line in path.read_text().splitlines() if line.strip()]
    try:
        values = np.array([[float(cell) for cell in line] for line in lines])
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as numbers ({error}); fetch the data set again") from error
    if values.ndim != 2 or values.shape[1] != width:
        raise ConfigError(f"{path}: not every line has {width} number(s); fetch the data set again")
    return values


def _flags(path: Path, count: int) -> NDArray[np.bool_]:
    """The 0s and 1s of one line, as LaSOT writes them; all False without the file."""
    if not path.is_file():
        return np.zeros(count, np.bool_)
    flags = np.array([cell == "1" for cell in re.split(r"[,\s]+", path.read_text().strip())])
    if len(flags) != count:
        raise ConfigError(f"{path}: {len(flags)} marks for {count} boxes; fetch the data set again")
    return flags
