"""Benchmarks with masks: DAVIS 2016, DAVIS 2017, SA-V. From their folders, as they are published, to sequences."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.truth import VOID_LABEL, MaskTruth, Sequence, read_png


def davis16(root: Path) -> Iterator[Sequence]:
    """``JPEGImages/480p``, ``Annotations/480p``; the set of ``ImageSets/480p/val.txt``, or all without that file.

    One object, "1": all that is not background.
    """
    for name in _davis_names(root, "480p"):
        pngs = _numbered_pngs(root / "Annotations" / "480p" / name)
        yield Sequence(name, root / "JPEGImages" / "480p" / name, {"1": MaskTruth(pngs, "binary")})


def davis17(root: Path) -> Iterator[Sequence]:
    """As DAVIS 2016, with ``ImageSets/2017/val.txt`` and one object for each label of the first annotation."""
    for name in _davis_names(root, "2017"):
        pngs = _numbered_pngs(root / "Annotations" / "480p" / name)
        labels = np.unique(read_png(pngs[min(pngs)]))
        objects = {
            str(label): MaskTruth(pngs, "labels", label) for label in labels.tolist() if label not in (0, VOID_LABEL)
        }
        yield Sequence(name, root / "JPEGImages" / "480p" / name, objects)


def sav(root: Path) -> Iterator[Sequence]:
    """``JPEGImages_24fps/<video>``, ``Annotations_6fps/<video>/<object>``: of SA-V val or test."""
    annotations = root / "Annotations_6fps"
    for folder in _folders(annotations):
        objects = {one.name: MaskTruth(_numbered_pngs(one), "binary") for one in _folders(folder)}
        yield Sequence(folder.name, root / "JPEGImages_24fps" / folder.name, objects)


def _davis_names(root: Path, year: str) -> list[str]:
    """Sequence names; lists of 2016 hold the paths of pictures, those of 2017 names."""
    listed = root / "ImageSets" / year / "val.txt"
    if not listed.is_file():
        return [folder.name for folder in _folders(root / "Annotations" / "480p")]
    lines = [line.split()[0] for line in listed.read_text().splitlines() if line.strip()]
    return list(dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines))


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise ConfigError(f"{parent}: there is no such folder; give the root of the data set as it is published")
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _numbered_pngs(folder: Path) -> dict[int, Path]:
    pngs = {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdigit()}
    if not pngs:
        raise ConfigError(f"{folder}: there are no annotations (numbered PNGs); is the data set complete?")
    return pngs
