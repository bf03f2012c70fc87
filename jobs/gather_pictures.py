"""Gather the pictures of installed Debian packages into the bank that ``train_nano.py --bank`` takes pictures from.

    python jobs/gather_pictures.py --folder ~/.cache/nano-pictures

Nothing is downloaded and no picture is part of this project: they are read where apt-get installed them, scaled down,
and written to `FOLDER/training` or, for sources that training must not use, to `FOLDER/held-out`. Segmenting
photographs into parts needs scikit-image (`pip install scikit-image`). If packages are missing, the job names them and
stops; with --some it goes on without them.
"""

import argparse
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from samurai_batch.training.bank import PictureFile, store

Bytes = NDArray[np.uint8]
Picture = Path | zipfile.Path
THING_SIDE, SURFACE_SIDE, MIN_SIDE = 192, 512, 20
MAX_PIXELS = 20_000_000
_EMOJI_PACKAGE = "fonts-noto-color-emoji"
EMOJI = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
_EMOJI_CODES = [*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F700), *range(0x1F900, 0x1FA00), *range(0x1FA70, 0x1FB00)]


@dataclass(frozen=True)
class Source:
    """Pictures of one package: files that match ``patterns`` below ``root``, a folder or a zip archive.

    At most ``per_folder`` of each folder are taken, and none whose path contains a word of ``without``. Pictures of a
    ``sheet`` show several things, of which the largest is taken.
    """

    name: str
    package: str
    root: str
    patterns: tuple[str, ...]
    held_out: bool = False
    per_folder: int = 10_000
    without: tuple[str, ...] = ()
    sheet: bool = False

    def paths(self) -> Iterator[Picture]:
        """The files, sorted by name; of a folder with too many, every n-th."""
        folders: dict[str, list[Picture]] = {}
        for path in self._found():
            if not any(word in str(path) for word in self.without):
                folders.setdefault(str(path.parent), []).append(path)
        for paths in folders.values():
            step = max(1, -(-len(paths) // self.per_folder))
            yield from paths[::step]

    def _found(self) -> Iterator[Picture]:
        root = Path(self.root)
        if root.is_file():
            archive = zipfile.ZipFile(root)
            names = [name for name in archive.namelist() if PurePath(name).match(self.patterns[0])]
            yield from (zipfile.Path(archive, name) for name in sorted(names))
        else:
            for pattern in self.patterns:
                yield from sorted(root.glob(pattern))


_WESNOTH = "/usr/share/games/wesnoth"
_CLIPART = "/usr/share/openclipart/png"
_STAMPS = "/usr/share/tuxpaint/stamps"
_SKIMAGE_SPEC = find_spec("skimage")
_SKIMAGE = (
    str(Path(_SKIMAGE_SPEC.origin).parent / "data")
    if _SKIMAGE_SPEC and _SKIMAGE_SPEC.origin
    else "/usr/lib/python3/dist-packages/skimage/data"
)
_SKIMAGE_NAMES = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "hubble*", "rocket")
THINGS = (
    Source("stamps", "tuxpaint-stamps-default", _STAMPS, ("**/*.png",), without=("/vehicles/", "/household/")),
    Source("stamps-apart", "tuxpaint-stamps-default", _STAMPS, ("vehicles/**/*.png", "household/**/*.png"), True),
    Source("clipart", "openclipart-png", _CLIPART, ("**/*.png",), per_folder=60, without=("/shapes/stars/",)),
    Source("units", "wesnoth-1.16-data", _WESNOTH, ("**/images/units/**/*.png",), per_folder=60),
    Source(
        "scenery", "wesnoth-1.16-data", _WESNOTH, ("**/images/scenery/**/*.png", "**/images/items/*.png"), per_folder=80
    ),
    Source("portraits", "wesnoth-1.16-data", _WESNOTH, ("**/images/portraits/**/*.png",)),
    Source(
        "widelands",
        "widelands-data",
        "/usr/share/games/widelands/data",
        ("world/immovables/**/*_1.png", "tribes/immovables/**/*_1.png"),
        held_out=True,
        sheet=True,
    ),
)
SURFACES = (
    Source(
        "plasma",
        "plasma-workspace-wallpapers",
        "/usr/share/wallpapers",
        ("*/contents/images/1920x1080.*", "*/contents/images/2560x1440.*"),
        per_folder=1,
    ),
    Source("gnome", "gnome-backgrounds", "/usr/share/backgrounds/gnome", ("*.webp", "*.jpg")),
    Source("lomiri", "lomiri-wallpapers-16.04", "/usr/share/backgrounds", ("*_by_*.jpg",)),
    Source(
        "templates", "tuxpaint-data", "/usr/share/tuxpaint", ("templates/*.jpg", "starters/*.jpg", "templates/*.png")
    ),
    Source("scikit-image", "python3-skimage", _SKIMAGE, tuple(f"{name}.*" for name in _SKIMAGE_NAMES)),
    Source("colobot", "colobot-common-textures", "/usr/share/games/colobot/textures", ("*.png", "objects/*.png")),
    Source(
        "ufoai",
        "ufoai-textures",
        "/usr/share/games/ufoai/base/0textures.pk3",
        ("*.*",),
        per_folder=120,
        without=("_nm.", "_sm.", "_gm.", "_rm."),
    ),
    Source(
        "supertuxkart",
        "supertuxkart-data",
        "/usr/share/games/supertuxkart/data",
        ("textures/*.jpg", "textures/*.png", "tracks/**/*.jpg", "library/**/*.jpg"),
        per_folder=30,
    ),
    Source("warmux", "warmux-data", "/usr/share/games/warmux", ("**/*.jpg", "**/map/**/*.png"), per_folder=3),
    Source("mate", "mate-backgrounds", "/usr/share/backgrounds/mate", ("nature/*", "desktop/*"), held_out=True),
    Source("ukui", "ukui-wallpapers", "/usr/share/backgrounds", ("*.png", "[!A-Z]*.jpg"), True, without=("_by_",)),
)
# Photographs, which are segmented into parts; the edges in textures of games are rarely those of objects.
PHOTOGRAPHS = ("plasma", "gnome", "lomiri", "templates", "scikit-image", "mate", "ukui")


def main() -> None:
    """Write the files of all sources; files that exist are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the bank, about 2 GB")
    parser.add_argument("--some", action="store_true", help="skip sources whose package is not installed")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    missing = {source.package for source in (*THINGS, *SURFACES) if not any(source.paths())}
    missing |= set() if Path(EMOJI).exists() else {_EMOJI_PACKAGE}
    if missing and not arguments.some:
        parser.error(
            f"packages are missing: run `apt-get install {' '.join(sorted(missing))}`, or give --some to skip them"
        )
    for source in THINGS:
        gather(arguments.folder, "things", source, things_of)
    gather(arguments.folder, "things", Source("emoji", _EMOJI_PACKAGE, "", ()), lambda _: emoji())
    for source in SURFACES:
        gather(arguments.folder, "surfaces", source, surfaces_of)
    for source in SURFACES:
        if source.name in PHOTOGRAPHS:
            whole = target(arguments.folder, "surfaces", source)
            parts = Source(f"parts-of-{source.name}", source.package, "", (), source.held_out)
            gather(arguments.folder, "things", parts, partial(_parts, whole))


def target(folder: Path, kind: str, source: Source) -> Path:
    """The file of a source."""
    return folder / ("held-out" if source.held_out else "training") / f"{kind}-{source.name}.npy"


def gather(folder: Path, kind: str, source: Source, read: Callable[[Source], Iterator[Bytes]]) -> None:
    """Write the file of one source, unless it exists or the source has no pictures."""
    path = target(folder, kind, source)
    if path.exists():
        return
    pictures = list(read(source))
    logging.info("%s: %d %s", source.name, len(pictures), kind)
    if pictures:
        store(path, pictures)


def opened(path: Picture, mode: str, side: int) -> Image.Image | None:
    """A picture, scaled down to ``side`` pixels at most; None if it is too large or Pillow cannot read it."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (side * 2, side * 2))
            picture = image.convert(mode)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        logging.info("skipped %s: %s", path, error)
        return None
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def trimmed(picture: Bytes) -> Bytes | None:
    """A picture (h, w, 4) cropped to its opaque part; None if that is too small, too thin or a full rectangle."""
    inside = picture[..., 3] > 127
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) < MIN_SIDE or len(columns) < MIN_SIDE:
        return None
    box = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = float((box[..., 3] > 127).mean())
    return np.ascontiguousarray(box) if 0.08 < share < 0.97 else None


def largest(picture: Bytes) -> Bytes:
    """A picture (h, w, 4) with its largest connected component only; the others become transparent."""
    labels, _ = ndimage.label(picture[..., 3] > 0)
    areas = np.bincount(labels.ravel())[1:]
    kept = labels == 1 + areas.argmax() if len(areas) else labels > 0
    return np.concatenate([picture[..., :3], np.where(kept, picture[..., 3], 0)[..., None]], axis=2)


def things_of(source: Source) -> Iterator[Bytes]:
    """All things (h, w, 4) of a source, without near duplicates."""
    seen: set[bytes] = set()
    for path in source.paths():
        picture = opened(path, "RGBA", THING_SIDE)
        if picture is None:
            continue
        thing = trimmed(largest(np.asarray(picture)) if source.sheet else np.asarray(picture))
        if thing is None:
            continue
        thumbnail = np.asarray(Image.fromarray(thing).resize((6, 6)))[..., :] // 64
        if thumbnail.tobytes() not in seen:
            seen.add(thumbnail.tobytes())
            yield thing


def surfaces_of(source: Source) -> Iterator[Bytes]:
    """All surfaces (h, w, 3) of a source that are large enough and not of a single colour."""
    for path in source.paths():
        picture = opened(path, "RGB", SURFACE_SIDE)
        if picture is not None and min(picture.size) >= 96:
            pixels = np.asarray(picture)
            if pixels.std(axis=(0, 1)).max() > 6:
                yield pixels


def emoji() -> Iterator[Bytes]:
    """The glyphs (h, w, 4) of Noto Color Emoji, drawn at the only size that the font has."""
    if not Path(EMOJI).exists():
        return
    font = ImageFont.truetype(EMOJI, 109)
    for code in _EMOJI_CODES:
        canvas = Image.new("RGBA", (150, 150))
        ImageDraw.Draw(canvas).text((6, 6), chr(code), font=font, embedded_color=True)
        thing = trimmed(np.asarray(canvas))
        if thing is not None:
            yield thing


def _parts(photographs: Path, _: Source) -> Iterator[Bytes]:
    return parts_of(photographs)


def parts_of(photographs: Path) -> Iterator[Bytes]:
    """Segments (h, w, 4) of photographs, by Felzenszwalb's method at several scales; up to 40 of each."""
    from skimage.segmentation import felzenszwalb  # optional dependency

    if not photographs.exists():
        return
    for number, photograph in enumerate(PictureFile(photographs)):
        rng = np.random.default_rng(number)
        found = 0
        for scale in (60, 150, 400, 1000):
            labels = felzenszwalb(photograph, scale=scale, sigma=0.9, min_size=500)
            for label in rng.permutation(labels.max() + 1):
                part = cut_out(photograph, labels == label)
                if part is not None and found < 40:
                    found += 1
                    yield part


def cut_out(photograph: Bytes, mask: NDArray[np.bool_]) -> Bytes | None:
    """The masked part (h, w, 4), holes filled and outline smoothed; None if size or shape are not those of a thing."""
    share = float(mask.mean())
    if not 0.004 < share < 0.25:
        return None
    cover = ndimage.gaussian_filter(ndimage.binary_fill_holes(mask).astype(np.float32), 1.5)
    inside = cover > 0.5
    rim = inside[[0, -1]].sum() + inside[:, [0, -1]].sum()
    if rim > 0.25 * inside.sum() ** 0.5:
        return None
    alpha = (np.clip((cover - 0.5) * 3 + 0.5, 0, 1) * 255).astype(np.uint8)
    part = trimmed(np.concatenate([photograph, alpha[..., None]], axis=2))
    if part is None or (part[..., 3] > 127).mean() < 0.3:
        return None
    image = Image.fromarray(part)
    image.thumbnail((THING_SIDE, THING_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


if __name__ == "__main__":
    main()
