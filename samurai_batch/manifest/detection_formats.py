"""Detections as other programs write them, turned into the columns of a detections table.

    ultralytics    results.to_df(), to_csv(), to_json(), with a column frame_index; or a JSON list with a list per frame
    yolo           a folder of label files <name>_<frame>.txt, frames from 1, written with save_txt and save_conf
    supervision    CSVSink and JSONSink with custom_data={"frame_index": index}
    coco           results JSON of Detectron2 and others, in which image_id is the frame index; in a document with
                   images, their frame_index, or the number that ends their file_name
    mot            det.txt of MOTChallenge; frames and pixels count from 1

A detector's files know no video_id: they are of the video that the caller names, unless they have such a column.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from samurai_batch.geometry import mot_box_xyxy
from samurai_batch.manifest.cells import is_blank
from samurai_batch.manifest.formats import TableRead, decoded, one_line
from samurai_batch.storage import numbered_name

FRAME_COLUMNS = ("frame_index", "frame_number", "frame_id", "frame")
MOT_COLUMNS = ("frame", "id", "bb_left", "bb_top", "bb_width", "bb_height", "conf")
_YOLO_NAME = re.compile(r"(?:.*[_-])?(\d+)\.txt")
_CLASS_OF_MOT = "object"

Rows = list[dict[str, Any]]


def translated(frame: pd.DataFrame, video_id: str | None) -> tuple[pd.DataFrame, str]:
    """The rows of any program as those of a detections table, and why that cannot be done, or "".

    Which program it was, the columns tell. ``video_id`` names the video of rows that do not.
    """
    names = set(frame.columns)
    translate = next((one for needed, one in _PROGRAMS if needed <= names), None)
    if translate is not None:
        column = next((name for name in (*FRAME_COLUMNS, "image_id") if name in names), None)
        if column is None:
            what = "no column says the frame of each row; add frame_index, as in results.to_df().assign(frame_index=i)"
            return frame, f"{what} or sink.append(detections, custom_data={{'frame_index': i}})"
        common = {"frame_index": frame[column]} | ({"video_id": frame["video_id"]} if "video_id" in names else {})
        given = {name: values for name, values in translate(frame).items() if values is not None}
        frame = pd.DataFrame({**common, **given}, index=frame.index)
        frame["class"] = pd.Series([_as_text(cell) for cell in frame["class"]], dtype=object, index=frame.index)
    if "video_id" not in frame:
        if video_id is None:
            what = (
                "no column says the video of each row; add video_id, or keep a file for each video and write {video_id}"
            )
            return frame, f"{what} in the path in place of its name"
        frame = frame.assign(video_id=video_id)
    return frame, ""


def _of_supervision(frame: pd.DataFrame) -> dict[str, Any]:
    corners = {new: frame[old] for new, old in zip(("x1", "y1", "x2", "y2"), _SUPERVISION_CORNERS, strict=True)}
    named = frame["class_name"] if "class_name" in frame else frame.get("class_id")
    return corners | {"class": named, "score": frame.get("confidence")}


def _of_ultralytics(frame: pd.DataFrame) -> dict[str, Any]:
    named = frame["name"] if "name" in frame else frame.get("class")
    boxes = [_corners_of(cell) for cell in frame["box"]]
    return {"box_xyxy": boxes, "class": named, "score": frame["confidence"]}


def _of_coco(frame: pd.DataFrame) -> dict[str, Any]:
    boxes = [_corners_of_xywh(cell) for cell in frame["bbox"]] if "bbox" in frame else None
    masks = frame.get("segmentation")
    rles = None if masks is None else [cell if isinstance(cell, Mapping) else None for cell in masks]
    return {"class": frame["category_id"], "score": frame.get("score"), "box_xyxy": boxes, "mask": rles}


_SUPERVISION_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_PROGRAMS: tuple[tuple[set[str], Callable[[pd.DataFrame], dict[str, Any]]], ...] = (
    ({*_SUPERVISION_CORNERS}, _of_supervision),
    ({"box", "confidence"}, _of_ultralytics),
    ({"image_id", "category_id"}, _of_coco),
)


def _as_text(cell: object) -> object:
    """A class number as text; blank cells stay."""
    if is_blank(cell) or isinstance(cell, str):
        return cell
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _corners_of(cell: object) -> object:
    """[x1, y1, x2, y2] of ultralytics' {"x1": …}, which a CSV holds as text; another cell as it is."""
    if isinstance(cell, str):
        try:
            cell = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return cell
    if isinstance(cell, Mapping) and {"x1", "y1", "x2", "y2"} <= cell.keys():
        return [cell[name] for name in ("x1", "y1", "x2", "y2")]
    return cell


def _corners_of_xywh(cell: object) -> object:
    """[x1, y1, x2, y2] of a COCO box; another cell as it is."""
    is_box = isinstance(cell, list | tuple) and len(cell) == 4 and all(isinstance(one, int | float) for one in cell)
    if not is_box:
        return cell
    assert isinstance(cell, list | tuple)
    left, top, width, height = cell
    return [left, top, left + width, top + height]


def read_json(data: bytes) -> TableRead:
    """A JSON list of objects, of lists of them (one per frame), or COCO's {"annotations": …}.

    Raises UnicodeDecodeError and ValueError.
    """
    found = json.loads(decoded(data))
    if isinstance(found, dict):
        found = _with_frames_of_images(found)
    if not isinstance(found, list):
        raise ValueError("it should be a list of detections")
    rows: Rows = []
    unreadable: dict[int, str] = {}
    numbers: list[int] = []
    flat = [
        {"frame_index": index, **row} if isinstance(row, dict) else row
        for index, of_frame in enumerate(found)
        for row in of_frame
    ] if found and all(isinstance(one, list) for one in found) else found  # fmt: skip
    for number, row in enumerate(flat, start=1):
        if isinstance(row, dict):
            rows.append(row)
            numbers.append(number)
        else:
            unreadable[number] = "it is not a JSON object"
    return TableRead(_framed(rows), numbers, unreadable)


def _with_frames_of_images(document: Mapping[str, Any]) -> object:
    """COCO's annotations, with the frame and the class's name that its images and categories give."""
    images = {one.get("id"): one for one in document.get("images", []) if isinstance(one, dict)}
    names = {one.get("id"): one.get("name") for one in document.get("categories", []) if isinstance(one, dict)}
    found = document.get("annotations")
    if not isinstance(found, list):
        return found
    rows = []
    for row in found:
        image = images.get(row.get("image_id"), {}) if isinstance(row, dict) else {}
        frame = next((image[name] for name in FRAME_COLUMNS if name in image), None)
        if frame is None and (numbered := numbered_name(str(image.get("file_name", "")))):
            _, frame = numbered
        more = {} if frame is None else {"frame_index": frame}
        is_named = isinstance(row, dict) and row.get("category_id") in names
        rows.append({**row, **more, "category_id": names[row["category_id"]]} if is_named else row)
    return rows


def read_mot(data: bytes) -> TableRead:
    """MOTChallenge's det.txt: frame, id, left, top, width, height, confidence. Raises UnicodeDecodeError."""

    def parsed(line: str) -> dict[str, Any]:
        parts = line.split(",")
        if len(parts) < len(MOT_COLUMNS):
            raise ValueError(f"it has {len(parts)} values; a line of det.txt has {', '.join(MOT_COLUMNS)}")
        frame, _, left, top, width, height, score = map(float, parts[: len(MOT_COLUMNS)])
        corners = dict(zip(("x1", "y1", "x2", "y2"), mot_box_xyxy(left, top, width, height), strict=True))
        return {"frame_index": frame - 1, **corners, "class": _CLASS_OF_MOT, "score": score}

    return _from_lines(decoded(data).splitlines(), parsed)


def read_yolo(files: Sequence[tuple[str, bytes]]) -> TableRead:
    """Label files by name: ``class x y width height confidence``, in shares of the picture's sides.

    A polygon in place of a box, as segmentation models write, is read as its box. Raises UnicodeDecodeError.
    """
    lines: list[tuple[str, str]] = [(name, line) for name, data in files for line in decoded(data).splitlines()]

    def parsed(name_and_line: tuple[str, str]) -> dict[str, Any]:
        name, line = name_and_line
        match = _YOLO_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"the name of its file, {name}, does not end in the number of a frame, as in clip_1.txt")
        label, *numbers = line.split()
        values = [float(number) for number in numbers]
        if len(values) < 5 or len(values) % 2 == 0:
            raise ValueError(f"{name} has {len(values)} numbers after the class; predict with save_txt and save_conf")
        *place, score = values
        x1, y1, x2, y2 = _relative_box(place)
        return {
            "frame_index": int(match[1]) - 1, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": label, "score": score
        }  # fmt: skip

    return _from_lines(lines, parsed, is_blank=lambda one: not one[1].strip())


def _relative_box(place: Sequence[float]) -> tuple[float, float, float, float]:
    if len(place) == 4:
        x, y, width, height = place
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(place[::2]), min(place[1::2]), max(place[::2]), max(place[1::2])


def _from_lines(
    lines: Sequence[Any],
    parse: Callable[[Any], dict[str, Any]],
    is_blank: Callable[[Any], bool] = lambda one: not one.strip(),
) -> TableRead:
    rows: Rows = []
    numbers: list[int] = []
    unreadable: dict[int, str] = {}
    for number, line in enumerate((one for one in lines if not is_blank(one)), start=1):
        try:
            rows.append(parse(line))
        except ValueError as error:
            unreadable[number] = one_line(error)
        else:
            numbers.append(number)
    return TableRead(_framed(rows), numbers, unreadable)


def _framed(rows: Rows) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame(
            {name: [] for name in ("frame_index", "class", "score", "x1", "y1", "x2", "y2")}, dtype=object
        )
    return pd.DataFrame(rows)
