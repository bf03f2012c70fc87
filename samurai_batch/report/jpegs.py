"""The JPEGs of a report: a contact sheet for each video and a picture for each moment, and where they are stored.

Beside ``report.html`` they are ``report_files/<video>/sheet.jpg``, and ``report_files/<video>/3-00120.jpg`` for frame
120 of the video's object number 3. A video with a page of its own has it there too, as ``index.html``.
"""

import base64
import io
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import quote

from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import SamuraiBatchError
from samurai_batch.rendering.annotate import RenderedTracks, annotate
from samurai_batch.rendering.output import contact_sheet, spread
from samurai_batch.rendering.render import opened_video

SHEET_TILES, SHEET_COLUMNS, SHEET_TILE_PX, SHEET_TEXT_PX = 8, 4, 300, 11
MOMENT_PX, MOMENT_TEXT_PX, JPEG_QUALITY = 320, 12, 70
MAX_MOMENTS_OF_VIDEO = 40

PAGE_NAME = "index.html"
_OUR_NAME = re.compile(r"sheet\.jpg|\d+-\d+\.jpg|index\.html")

ObjectFrame = tuple[str, int]
"""An object id and a frame index."""


@dataclass(frozen=True)
class Picture:
    """A picture's address for ``src``, and its size in pixels, so that a browser reserves the space before loading."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The contact ``sheet`` of a video, and pictures of its ``moments`` by object and frame.

    A video has at most `MAX_MOMENTS_OF_VIDEO` pictures of moments; ``num_left_out`` counts the moments without one.
    ``problem`` is the error that prevented all pictures.
    """

    sheet: Picture | None = None
    sheet_frames: list[int] = field(default_factory=list)
    moments: dict[ObjectFrame, Picture] = field(default_factory=dict)
    num_left_out: int = 0
    problem: str | None = None


def in_their_folder(pictures: Pictures) -> Pictures:
    """The same pictures as a page in the folder of their video addresses them."""

    def renamed(picture: Picture) -> Picture:
        return replace(picture, src=posixpath.basename(picture.src))

    sheet = renamed(pictures.sheet) if pictures.sheet else None
    return replace(pictures, sheet=sheet, moments={key: renamed(one) for key, one in pictures.moments.items()})


class PictureStore(Protocol):
    """Where the JPEGs go: into the page or beside it."""

    def save(self, video_id: str, name: str, data: bytes) -> str:
        """Keep a file of a video under a name; returns its address for a link of the page."""
        ...

    def tidy(self) -> None:
        """Remove files of an earlier page. Called after the page is written."""
        ...


class InPage:
    """Pictures inside the page, as data URIs: one file, which a browser loads as a whole."""

    def save(self, video_id: str, name: str, data: bytes) -> str:
        """The picture as a data URI."""
        return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")

    def tidy(self) -> None:
        """Does nothing: there are no files."""


@dataclass(frozen=True)
class BesidePage:
    """Pictures in the folder ``<page>_files`` beside the page, by video, loaded when they scroll into view."""

    page_uri: str
    _saved: set[tuple[str, str]] = field(default_factory=set)

    @property
    def folder(self) -> str:
        """The URI of the folder."""
        return f"{posixpath.splitext(self.page_uri)[0]}_files"

    def save(self, video_id: str, name: str, data: bytes) -> str:
        """Write the file; its address is relative to the page."""
        folder = storage.quote_id(video_id)
        storage.write_bytes(storage.join(self.folder, folder, name), data)
        self._saved.add((folder, name))
        return quote(f"{posixpath.basename(self.folder)}/{folder}/{name}")

    def tidy(self) -> None:
        """Remove files that this page does not show. Files with names that a report never writes are kept."""
        for folder in storage.list_names(self.folder):
            for name in storage.list_names(storage.join(self.folder, folder)):
                if _OUR_NAME.fullmatch(name) and (folder, name) not in self._saved:
                    storage.delete(storage.join(self.folder, folder, name))


def video_pictures(
    masks_uri: str, video_id: str, video_uri: str, moments: Sequence[ObjectFrame], store: PictureStore
) -> Pictures:
    """The contact sheet of a video with all masks drawn, and the first moments, each with the mask of its object.

    A video that cannot be read is not an error: the result has ``problem``, which the page shows.
    """
    unique = list(dict.fromkeys(moments))
    try:
        sheet, frames, drawn = _draw(masks_uri, video_id, video_uri, unique[:MAX_MOMENTS_OF_VIDEO], store)
    except (SamuraiBatchError, FileNotFoundError) as error:
        return Pictures(problem=str(error))
    return Pictures(sheet, frames, drawn, num_left_out=len(unique) - len(drawn))


def _draw(
    masks_uri: str, video_id: str, video_uri: str, moments: list[ObjectFrame], store: PictureStore
) -> tuple[Picture, list[int], dict[ObjectFrame, Picture]]:
    """The contact sheet, its frames, and the pictures of these moments."""
    tracks = RenderedTracks.read(masks_uri, video_id)
    sheet_frames = spread(tracks.tracked_frames(tracks.frames), SHEET_TILES)
    tiles, drawn = {}, {}
    with opened_video(video_uri) as source:
        scale = source.info.width
        for index in sorted({*sheet_frames, *(index for _, index in moments)}):
            (frame,) = source.frames(range(index, index + 1))
            if index in sheet_frames:
                tiles[index] = annotate(frame.pixels, tracks.on(index), SHEET_TEXT_PX * scale / SHEET_TILE_PX)
            for object_id in (object_id for object_id, when in moments if when == index):
                pixels = annotate(frame.pixels, tracks.on(index, object_id), MOMENT_TEXT_PX * scale / MOMENT_PX)
                name = f"{tracks.object_ids.index(object_id)}-{index:05d}.jpg"
                drawn[object_id, index] = _saved(_scaled(Image.fromarray(pixels), MOMENT_PX), video_id, name, store)
    sheet = contact_sheet([(f"frame {index}", tiles[index]) for index in sheet_frames], SHEET_COLUMNS, SHEET_TILE_PX)
    return _saved(sheet, video_id, "sheet.jpg", store), sheet_frames, drawn


def _scaled(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, max(round(image.height * width / image.width), 1)), Image.Resampling.LANCZOS)


def _saved(image: Image.Image, video_id: str, name: str, store: PictureStore) -> Picture:
    sink = io.BytesIO()
    image.save(sink, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return Picture(store.save(video_id, name, sink.getvalue()), image.width, image.height)
