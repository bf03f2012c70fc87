"""Prompts from CVAT's XML, version 1.1, of video tasks and of image tasks.

A label is an object. If several tracks have one label, as in projects whose labels are classes, an object is called
``<label>-<number of the track>``. CVAT makes a track of each mask: tracks with masks are one object if no two have a
shape on the same frame. Taken: boxes, polygons (as masks), masks, points. Of a track, its keyframes.
"""

from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree as ET  # a document type is refused before anything is parsed

import numpy as np

from samurai_batch.exports.outlines import polygon_mask
from samurai_batch.imports.prompts import ImportedPrompts, Videos
from samurai_batch.prompts import Rle
from samurai_batch.rle import check_size, encode_mask
from samurai_batch.tasks import TrackId

_SHAPES = ("box", "polygon", "mask", "points", "polyline", "ellipse", "cuboid", "skeleton")


def read_cvat(data: bytes, videos: Videos) -> ImportedPrompts:
    """The prompts of a file. Raises ValueError if it is not CVAT's XML."""
    root = _parsed(data)
    found = ImportedPrompts()
    tracks, images = root.findall("track"), root.findall("image")
    if tracks:
        _read_tracks(root, tracks, videos, found)
    for place, image in enumerate(images):
        _read_image(image, place, videos, found)
    return found


def _parsed(data: bytes) -> ET.Element:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("it has a document type, which CVAT does not write")
    try:
        root = ET.fromstring(data)  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"it is not XML ({error})") from error
    if root.tag != "annotations":
        raise ValueError(f"its root is <{root.tag}>, not <annotations>")
    return root


def _read_tracks(root: ET.Element, tracks: list[ET.Element], videos: Videos, found: ImportedPrompts) -> None:
    video_id = videos.id_of(_text(root, "name"), _text(root, "source"))
    width, height = _text(root, "original_size/width"), _text(root, "original_size/height")
    size = (int(height), int(width)) if height and width else None
    classes = _labels_of_classes(tracks)
    for track in tracks:
        label = track.get("label", "")
        object_id = f"{label}-{track.get('id', '')}" if label in classes else label
        for shape in _shapes(track, found):
            if shape.get("outside") == "1":
                found.leave_out("keyframes on which an object is outside (no prompt says that)")
            elif shape.get("keyframe", "1") == "0":
                found.leave_out("interpolated shapes (keyframes are taken)")
            else:
                frame_index = int(shape.get("frame", "-1"))
                _read_shape(shape, (video_id, object_id), frame_index, size or videos.size(video_id), found)


def _labels_of_classes(tracks: list[ET.Element]) -> set[str]:
    """The labels that several objects have."""
    num_tracks = Counter(track.get("label", "") for track in tracks)
    with_masks = {track.get("label", "") for track in tracks if track.find("mask") is not None}
    num_shapes = Counter(
        (track.get("label", ""), frame)
        for track in tracks
        for frame in {shape.get("frame") for shape in track if shape.get("outside") != "1"}
    )
    together = {label for (label, _), number in num_shapes.items() if number > 1}
    return together | {label for label, number in num_tracks.items() if number > 1 and label not in with_masks}


def _read_image(image: ET.Element, place: int, videos: Videos, found: ImportedPrompts) -> None:
    name = image.get("name", "")
    video_id, frame_index = videos.frame_of(name)
    size = int(image.get("height", "0")), int(image.get("width", "0"))
    for shape in _shapes(image, found):
        _read_shape(shape, (video_id, shape.get("label", "")), frame_index, size, found)
    found.leave_out("tags of pictures", len(image.findall("tag")))


def _shapes(parent: ET.Element, found: ImportedPrompts) -> Iterator[ET.Element]:
    """The shapes that can be prompts; others are counted as left out."""
    for shape in parent:
        if shape.tag in ("polyline", "ellipse", "cuboid", "skeleton"):
            found.leave_out(f"shapes of type {shape.tag}")
        elif float(shape.get("rotation", "0")) % 360:
            found.leave_out("rotated boxes")
        elif shape.tag in _SHAPES:
            yield shape


def _read_shape(
    shape: ET.Element, track_id: TrackId, frame_index: int, size: tuple[int, int], found: ImportedPrompts
) -> None:
    if not track_id[1]:
        found.leave_out("shapes without a label")
    elif shape.tag == "box":
        x1, y1, x2, y2 = (float(shape.get(name, "nan")) for name in ("xtl", "ytl", "xbr", "ybr"))
        found.add_box(track_id, frame_index, (x1, y1, x2, y2))
    elif shape.tag == "mask":
        found.add_mask(track_id, frame_index, _mask(shape, *size))
    else:
        points = [tuple(map(float, pair.split(","))) for pair in shape.get("points", "").split(";")]
        if shape.tag == "points":
            found.add_points(track_id, frame_index, [(x, y) for x, y in points])
        else:
            flat = [number for pair in points for number in pair]
            found.add_mask(track_id, frame_index, polygon_mask([flat], *size))


def _mask(shape: ET.Element, height: int, width: int) -> Rle | None:
    """A mask from run lengths by row, background first, within a box."""
    left, top, columns, rows = (int(shape.get(name, "0")) for name in ("left", "top", "width", "height"))
    runs = [int(run) for run in shape.get("rle", "").split(",")]
    check_size(height, width)
    is_within = min(left, top) >= 0 and left + columns <= width and top + rows <= height
    if sum(runs) != rows * columns or min(runs) < 0 or not is_within:
        raise ValueError(f"a mask of {columns} x {rows} pixels has {sum(runs)}, or is outside of the picture")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + rows, left : left + columns] = inside.reshape(rows, columns)
    return encode_mask(mask)


def _text(root: ET.Element, name: str) -> str:
    """A text of the task or job that the file is of."""
    for owner in ("task", "job"):
        text = root.findtext(f"meta/{owner}/{name}") or root.findtext(f"meta/{name}")
        if text:
            return text.strip()
    return ""
