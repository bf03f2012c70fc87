"""Prompts from text files: MOT's boxes and YOLO's boxes and polygons."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

import yaml

from samurai_batch.exports.outlines import polygon_mask
from samurai_batch.geometry import mot_box_xyxy
from samurai_batch.imports.prompts import ImportedPrompts, Videos
from samurai_batch.tasks import TrackId


def read_mot(text: str, uri: str, videos: Videos) -> ImportedPrompts:
    """``frame,id,left,top,width,height,confidence,class,...``; frames and pixels count from 1.

    The video is that of the file's name, or of the sequence for ``<sequence>/gt/gt.txt``. Lines of ground truth with
    confidence 0, which MOTChallenge does not measure, are left out. Raises ValueError for a line that is not MOT's.
    """
    path = PurePosixPath(uri.rstrip("/"))
    is_of_sequence = path.stem in ("gt", "det") and path.parent.name in ("gt", "det")
    video_id = videos.id_of(path.parent.parent.name if is_of_sequence else path.stem)
    found = ImportedPrompts()
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split(",")
        try:
            frame, track, left, top, width, height, *more = map(float, cells)
        except ValueError as error:
            raise ValueError(f"line {number} is not MOT's: frame,id,left,top,width,height,...") from error
        if len(more) > 1 and more[0] == 0 and more[1] != -1:
            found.leave_out("boxes that are not measured (confidence 0)")
        else:
            found.add_box((video_id, f"{track:.0f}"), int(frame) - 1, mot_box_xyxy(left, top, width, height))
    return found


def read_yolo(files: Mapping[str, str], videos: Videos) -> ImportedPrompts:
    """Label files by name, such as ``labels/<video>_<frame>.txt``, with ``data.yaml`` and ``tracks.json`` if there.

    ``class x y width height [score] [track]`` or ``class x1 y1 x2 y2 ... [track]``, in units of the picture's size. An
    object is its track, or else its class. Raises ValueError for a line that is not YOLO's, or if the size of a video
    is not known.
    """
    names, tracks = _classes(files), json.loads(files.get("tracks.json", "{}"))
    found = ImportedPrompts()
    for name, text in sorted(files.items()):
        if not name.endswith(".txt") or PurePosixPath(name).name == "classes.txt":
            continue
        video_id, frame_index = videos.frame_of(PurePosixPath(name).stem)
        object_of = {str(number): object_id for object_id, number in tracks.get(video_id, {}).items()}
        for number, line in enumerate(text.splitlines(), start=1):
            kind, values, track = _parsed(line.split(), f"{name}, line {number}")
            object_id = names.get(kind, str(kind)) if track is None else object_of.get(track, track)
            _add(values, (video_id, object_id), frame_index, videos.size(video_id), found)
    return found


def _parsed(cells: list[str], place: str) -> tuple[int, list[float], str | None]:
    """The class, the box (4 numbers) or corners, and the track of a line."""
    try:
        kind, values = int(cells[0]), [float(cell) for cell in cells[1:]]
    except (ValueError, IndexError) as error:
        raise ValueError(f"{place} is not YOLO's: class, then numbers") from error
    has_track = len(cells) > 5 and cells[-1].isdecimal() and (len(values) in (5, 6) or len(values) % 2 == 1)
    track = cells[-1] if has_track else None
    values = values[:-1] if has_track else values
    if len(values) in (4, 5):
        return kind, values[:4], track
    if len(values) % 2 or len(values) < 6:
        raise ValueError(f"{place} has {len(values)} numbers; YOLO has 4 for a box, or pairs for a polygon")
    return kind, values, track


def _add(
    values: list[float], track_id: TrackId, frame_index: int, size: tuple[int, int], found: ImportedPrompts
) -> None:
    height, width = size
    if len(values) == 4:
        x, y, box_width, box_height = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        corners = x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2
        x1, y1, x2, y2 = (round(number, 4) for number in corners)
        found.add_box(track_id, frame_index, (x1, y1, x2, y2))
    else:
        scale = width, height
        polygon = [round(value * scale[place % 2], 4) for place, value in enumerate(values)]
        found.add_mask(track_id, frame_index, polygon_mask([polygon], height, width))


def _classes(files: Mapping[str, str]) -> dict[int, str]:
    content = yaml.safe_load(files.get("data.yaml", "{}")) or {}
    names = content.get("names", {})
    return {int(number): str(name) for number, name in (enumerate(names) if isinstance(names, list) else names.items())}
