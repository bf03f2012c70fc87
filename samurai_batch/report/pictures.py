"""Frames for the page as JPEG: a contact sheet for each video, a picture for each moment."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from samurai_batch.errors import SamuraiBatchError
from samurai_batch.rendering.annotate import annotate
from samurai_batch.rendering.contact_sheet import contact_sheet, spread
from samurai_batch.rendering.render import opened_video
from samurai_batch.rendering.tracks import RenderedTracks
from samurai_batch.report.storing import PictureStore

SHEET_TILES, SHEET_COLUMNS, SHEET_TILE_PX, SHEET_TEXT_PX = 8, 4, 300, 11
MOMENT_PX, MOMENT_TEXT_PX, JPEG_QUALITY = 320, 12, 70
MAX_MOMENTS_OF_VIDEO = 40

Place = tuple[str, int]
"""An object, and a frame."""


@dataclass(frozen=True)
class Picture:
    """Where the page finds it, and its size in pixels, so that a browser leaves room for it."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The contact ``sheet``, and ``moments`` by object and frame; ``problem`` says why there are none.

    ``num_left_out`` moments have no picture, for a video has at most `MAX_MOMENTS_OF_VIDEO`.
    """

    sheet: Picture | None = None
    sheet_frames: list[int] = field(default_factory=list)
    moments: dict[Place, Picture] = field(default_factory=dict)
    num_left_out: int = 0
    problem: str | None = None


def video_pictures(
    masks_uri: str, video_id: str, video_uri: str, moments: Sequence[Place], store: PictureStore
) -> Pictures:
    """The contact sheet of a video with all masks drawn, and the first of these moments with the object's own.

    A video that cannot be read any more is no error here: the page then says so.
    """
    wanted = list(dict.fromkeys(moments))
    shown = wanted[:MAX_MOMENTS_OF_VIDEO]
    try:
        return _pictures(masks_uri, video_id, video_uri, shown, len(wanted) - len(shown), store)
    except (SamuraiBatchError, FileNotFoundError) as error:
        return Pictures(problem=str(error))


def _pictures(
    masks_uri: str, video_id: str, video_uri: str, wanted: list[Place], num_left_out: int, store: PictureStore
) -> Pictures:
    tracks = RenderedTracks.read(masks_uri, video_id)
    shown = spread(tracks.frames, SHEET_TILES)
    tiles, moments = {}, {}
    with opened_video(video_uri) as source:
        scale = source.info.width
        for index in sorted({*shown, *(index for _, index in wanted)}):
            (frame,) = source.frames(range(index, index + 1))
            if index in shown:
                tiles[index] = annotate(frame.pixels, tracks.on(index), SHEET_TEXT_PX * scale / SHEET_TILE_PX)
            for object_id in (object_id for object_id, when in wanted if when == index):
                drawn = annotate(frame.pixels, tracks.on(index, object_id), MOMENT_TEXT_PX * scale / MOMENT_PX)
                name = f"{tracks.object_ids.index(object_id)}-{index:05d}.jpg"
                moments[object_id, index] = _saved(_scaled(Image.fromarray(drawn), MOMENT_PX), video_id, name, store)
    sheet = contact_sheet([(f"frame {index}", tiles[index]) for index in shown], SHEET_COLUMNS, SHEET_TILE_PX)
    return Pictures(_saved(sheet, video_id, "sheet.jpg", store), shown, moments, num_left_out)


def _scaled(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, max(round(image.height * width / image.width), 1)), Image.Resampling.LANCZOS)


def _saved(image: Image.Image, video_id: str, name: str, store: PictureStore) -> Picture:
    sink = io.BytesIO()
    image.save(sink, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return Picture(store.save(video_id, name, sink.getvalue()), image.width, image.height)
