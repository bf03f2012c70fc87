"""Readers of the benchmarks' folders, as they are published: from a root folder to sequences with their ground truth.

Boxes: LaSOT (and its extension), GOT-10k, TrackingNet, OTB, NfS. Masks: DAVIS 2016, DAVIS 2017, SA-V.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.truth import VOID_LABEL, BoxTruth, MaskTruth, Sequence, read_png

# OTB: the annotation of this sequence begins on its 300th frame.
OTB_FIRST_FRAMES = {"David": 299}
NFS_FPS_RATIO = 8  # annotated at 240 frames/s, published at 30 as well


def lasot(root: Path) -> Iterator[Sequence]:
    """``<class>/<sequence>/{img, groundtruth.txt, full_occlusion.txt, out_of_view.txt}``, also for LaSOT-ext.

    Reads the sequences listed in ``testing_set.txt``, or all sequences if there is no such file.
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
    """``<sequence>/{*.jpg, groundtruth.txt, cover.label}`` of the validation set. Cover 0 means hidden."""
    for truth_file in _found(root, "*/groundtruth.txt"):
        folder = truth_file.parent
        boxes = _numbers(truth_file, 4)
        cover = folder / "cover.label"
        visible = _numbers(cover, 1)[:, 0] > 0 if cover.is_file() else np.ones(len(boxes), np.bool_)
        yield _sequence(folder.name, folder, BoxTruth(0, boxes, visible))


def trackingnet(root: Path) -> Iterator[Sequence]:
    """``frames/<sequence>``, ``anno/<sequence>.txt``. The public test set has only the first box."""
    for truth_file in _found(root, "anno/*.txt"):
        boxes = _numbers(truth_file, 4)
        visible = np.ones(len(boxes), np.bool_)
        yield _sequence(truth_file.stem, root / "frames" / truth_file.stem, BoxTruth(0, boxes, visible))


def otb(root: Path) -> Iterator[Sequence]:
    """``<sequence>/{img, groundtruth_rect.txt}``; ``groundtruth_rect.2.txt`` and so on have further objects."""
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

    A line is ``object left top right bottom frame lost ...``; of annotations at 240 frames/s, every eighth is read.
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


def davis16(root: Path) -> Iterator[Sequence]:
    """``JPEGImages/480p``, ``Annotations/480p``; the sequences of ``ImageSets/480p/val.txt``, or all.

    There is one object, "1": all pixels that are not background.
    """
    for name in _davis_names(root, "480p"):
        pngs = _numbered_pngs(root / "Annotations" / "480p" / name)
        yield Sequence(name, root / "JPEGImages" / "480p" / name, {"1": MaskTruth(pngs, "binary")})


def davis17(root: Path) -> Iterator[Sequence]:
    """As DAVIS 2016, with ``ImageSets/2017/val.txt`` and one object per label of the first annotation."""
    for name in _davis_names(root, "2017"):
        pngs = _numbered_pngs(root / "Annotations" / "480p" / name)
        labels = np.unique(read_png(pngs[min(pngs)]))
        objects = {
            str(label): MaskTruth(pngs, "labels", label) for label in labels.tolist() if label not in (0, VOID_LABEL)
        }
        yield Sequence(name, root / "JPEGImages" / "480p" / name, objects)


def sav(root: Path) -> Iterator[Sequence]:
    """``JPEGImages_24fps/<video>``, ``Annotations_6fps/<video>/<object>``, of SA-V val or test."""
    annotations = root / "Annotations_6fps"
    for folder in _folders(annotations):
        objects = {one.name: MaskTruth(_numbered_pngs(one), "binary") for one in _folders(folder)}
        yield Sequence(folder.name, root / "JPEGImages_24fps" / folder.name, objects)


def _sequence(name: str, frames_folder: Path, truth: BoxTruth) -> Sequence:
    if len(truth.visible) != len(truth.boxes_xywh):
        counts = f"{len(truth.boxes_xywh)} boxes, but {len(truth.visible)} marks of visibility"
        raise ConfigError(f"{name}: {counts}; fetch the data set again")
    return Sequence(name, frames_folder, {"1": truth})


def _found(root: Path, pattern: str) -> list[Path]:
    found = sorted(root.glob(pattern))
    if not found:
        raise ConfigError(f"{root}: nothing matches {pattern}; give the root folder of the data set as published")
    return found


def _numbers(path: Path, width: int) -> NDArray[np.float64]:
    """The numbers of a text file, separated by commas, tabs or blanks: (n, width)."""
    lines = [re.split(r"[,\s]+", line.strip()) for line in path.read_text().splitlines() if line.strip()]
    try:
        values = np.array([[float(cell) for cell in line] for line in lines])
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as numbers ({error}); fetch the data set again") from error
    if values.ndim != 2 or values.shape[1] != width:
        raise ConfigError(f"{path}: not every line has {width} number(s); fetch the data set again")
    return values


def _flags(path: Path, count: int) -> NDArray[np.bool_]:
    """The flags (0 or 1) of a LaSOT file, (count,); all False if there is no file."""
    if not path.is_file():
        return np.zeros(count, np.bool_)
    flags = np.array([cell == "1" for cell in re.split(r"[,\s]+", path.read_text().strip())])
    if len(flags) != count:
        raise ConfigError(f"{path}: {len(flags)} marks for {count} boxes; fetch the data set again")
    return flags


def _davis_names(root: Path, year: str) -> list[str]:
    """Sequence names. The lists of 2016 have paths of frames, those of 2017 have names."""
    listed = root / "ImageSets" / year / "val.txt"
    if not listed.is_file():
        return [folder.name for folder in _folders(root / "Annotations" / "480p")]
    lines = [line.split()[0] for line in listed.read_text().splitlines() if line.strip()]
    return list(dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines))


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise ConfigError(f"{parent}: there is no such folder; give the root folder of the data set as published")
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _numbered_pngs(folder: Path) -> dict[int, Path]:
    pngs = {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdigit()}
    if not pngs:
        raise ConfigError(f"{folder}: there are no annotations (numbered PNGs); is the data set complete?")
    return pngs
