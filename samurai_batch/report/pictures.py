"""Frames for the page: a contact sheet for each video, a picture for each moment, as JPEG in data URIs."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

from PIL import Image

from samurai_batch.errors import SamuraiBatchError
from samurai_batch.rendering.annotate import annotate
from samurai_batch.rendering.contact_sheet import contact_sheet, spread
from samurai_batch.rendering.render import opened_video
from samurai_batch.rendering.tracks import RenderedTracks

SHEET_TILES, SHEET_COLUMNS, SHEET_TILE_PX, SHEET_TEXT_PX = 8, 4, 300, 11
MOMENT_PX, MOMENT_TEXT_PX, JPEG_QUALITY = 320, 12, 70


@dataclass(frozen=True)
class Pictures:
    """Data URIs: the contact ``sheet``, and ``moments`` by object and frame; ``problem`` says why there are none."""

    sheet: str | None = None
    sheet_frames: list[int] = field(default_factory=list)
    moments: dict[tuple[str, int], str] = field(default_factory=dict)
    problem: str | None = None


def video_pictures(masks_uri: str, video_id: str, video_uri: str, moments: Iterable[tuple[str, int]]) -> Pictures:
    """The contact sheet of a video with all masks drawn, and these moments (object, frame) with the object's own.

    A video that cannot be read any more is no error here: the page then says so.
    """
    try:
        return _pictures(masks_uri, video_id, video_uri, sorted(set(moments)))
    except (SamuraiBatchError, FileNotFoundError) as error:
        return Pictures(problem=str(error))


def _pictures(masks_uri: str, video_id: str, video_uri: str, wanted: list[tuple[str, int]]) -> Pictures:
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
                picture = annotate(frame.pixels, tracks.on(index, object_id), MOMENT_TEXT_PX * scale / MOMENT_PX)
                moments[object_id, index] = _data_uri(_scaled(Image.fromarray(picture), MOMENT_PX))
    sheet = contact_sheet([(f"frame {index}", tiles[index]) for index in shown], SHEET_COLUMNS, SHEET_TILE_PX)
    return Pictures(_data_uri(sheet), shown, moments)


def _scaled(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, max(round(image.height * width / image.width), 1)), Image.Resampling.LANCZOS)


def _data_uri(image: Image.Image) -> str:
    sink = io.BytesIO()
    image.save(sink, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode("ascii")
