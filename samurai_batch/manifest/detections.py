"""The detections table: what a detector has found on frames of videos. One row is one detection.

    video_id      text           the video, as in the prompts table
    frame_index   whole number   from 0
    box_xyxy      list           x1, y1, x2, y2 in pixels of the original video, or in columns x1, y1, x2, y2
    mask          COCO RLE       optional; a row with a mask needs no box
    class         text           what the detector calls it
    score         number         from 0 to 1

Columns are checked as a whole where their type allows it, so that a million rows take seconds. All rows are checked
before any work starts, and a PromptsError lists all mistakes. `detection_formats` reads what other programs write.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch import checks
from samurai_batch.geometry import to_xyxy
from samurai_batch.manifest import cells
from samurai_batch.manifest.tracks import Problems
from samurai_batch.prompts import FrameDetection, Rle
from samurai_batch.rle import areas_and_boxes
from samurai_batch.storage import quote_id

REQUIRED = ("video_id", "frame_index", "class", "score")
CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = (*REQUIRED, "box_xyxy", *CORNERS, "mask")
MAX_CLASS_BYTES = 80
"""A class is part of the object_id of the tracks that it starts, which also name files."""

_FITTING = (0.0, 0.0, 2.0, 2.0)  # any box without a mistake

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VideoDetections:
    """The detections of one video, by ascending frame and, within a frame, descending score.

    ``boxes_xyxy`` (n, 4) are in pixels, or as shares of the picture's sides where ``is_relative``; ``masks`` are by
    row number, of those rows that have one.
    """

    frames: NDArray[np.int64]
    classes: NDArray[np.object_]
    scores: Doubles
    boxes_xyxy: Doubles
    masks: Mapping[int, Rle]
    is_relative: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of all rows, whatever their order in the table and its format."""
        masks = [(row, mask.height, mask.width, mask.counts) for row, mask in sorted(self.masks.items())]
        texts = json.dumps([self.classes.tolist(), masks, self.is_relative], separators=(",", ":"))
        arrays = (self.frames.astype("<i8"), self.scores.astype("<f8"), self.boxes_xyxy.astype("<f8"))
        return hashlib.sha256(b"".join(one.tobytes() for one in arrays) + texts.encode()).hexdigest()

    def on(self, frames: range) -> tuple[FrameDetection, ...]:
        """The detections on these ascending frames, in the order of the rows."""
        low, high = np.searchsorted(self.frames, [frames.start, frames.stop])
        rows = range(int(low), int(high))
        return tuple(self._row(row) for row in rows if int(self.frames[row]) in frames)

    def _row(self, row: int) -> FrameDetection:
        x1, y1, x2, y2 = self.boxes_xyxy[row].tolist()
        return FrameDetection(
            frame_index=int(self.frames[row]),
            class_name=self.classes[row],
            score=float(self.scores[row]),
            box_xyxy=(x1, y1, x2, y2),
            mask=self.masks.get(row),
            is_relative=self.is_relative,
        )


Detections = Mapping[str, VideoDetections]
"""The detections of several videos, by video_id."""


def parse_detections(frame: pd.DataFrame, source: str = "detections", *, is_relative: bool = False) -> Detections:
    """The detections in a data frame with the columns of a detections table.

    ``source`` names the table in messages; with ``is_relative`` boxes are in shares of the picture's sides, as in the
    label files of YOLO. Raises PromptsError with all bad rows; the first row is row 1.
    """
    problems = Problems(source, range(1, len(frame) + 1))
    found = parse_detection_rows(frame, problems, is_relative=is_relative)
    problems.raise_if_any()
    return found


def parse_detection_rows(frame: pd.DataFrame, problems: Problems, *, is_relative: bool = False) -> Detections:
    """As `parse_detections`, but mistakes are added to ``problems``; no detections are returned then."""
    if not _columns_are_right(list(frame.columns), problems):
        return {}
    table = _Columns(frame, problems)
    video_ids = table.texts("video_id", cells.identifier)
    frames = table.numbers("frame_index", _why_no_frame)
    classes = table.texts("class", _class_name)
    scores = table.numbers("score", _why_no_score)
    masks = table.masks()
    boxes = table.boxes(masks, is_relative)
    if not problems.is_empty:
        return {}
    return dict(_by_video(video_ids, frames.astype(np.int64), classes, scores, boxes, masks, is_relative))


def _columns_are_right(names: Sequence[object], problems: Problems) -> bool:
    missing = [name for name in REQUIRED if name not in names]
    for name in missing:
        problems.about_table(f"column {name} is missing; a detections table needs {', '.join(REQUIRED)}")
    has_corners = all(name in names for name in CORNERS)
    has_place = has_corners or "box_xyxy" in names or "mask" in names
    if not has_place:
        problems.about_table("there is no column box_xyxy (or x1, y1, x2, y2) or mask; a detection needs a box or mask")
    twice = sorted({str(name) for name in names if names.count(name) > 1 and name in COLUMNS})
    for name in twice:
        problems.about_table(f"column {name} appears twice; keep one")
    return has_place and not (missing or twice)


class _Columns:
    """Parses the columns of one table; mistakes are added to ``problems``. Other columns are ignored."""

    def __init__(self, frame: pd.DataFrame, problems: Problems) -> None:
        self._frame = frame
        self._problems = problems

    def texts(self, name: str, parse: Callable[[object], str]) -> NDArray[np.object_]:
        """A column of texts, each distinct one parsed once; "" where a cell has a mistake."""
        column = self._frame[name].map(str, na_action="ignore")
        codes, distinct = pd.factorize(column.where(column != ""), use_na_sentinel=True)
        outcomes = [cells.attempt(parse, value) for value in distinct]
        for row in np.flatnonzero(codes < 0).tolist():
            self._problems.about_missing(row, name, "every row needs it")
        for code, outcome in enumerate(outcomes):
            if isinstance(outcome, ValueError):
                self._report(np.flatnonzero(codes == code), name, str(outcome))
        parsed = np.array([*("" if isinstance(one, ValueError) else one for one in outcomes), ""], dtype=object)
        return np.asarray(parsed[codes], dtype=object)

    def numbers(self, name: str, why_not: Callable[[Doubles], list[tuple[NDArray[np.bool_], str]]]) -> Doubles:
        """A column of numbers; NaN where a cell has a mistake. ``why_not`` gives the wrong ones and their reasons."""
        values, is_blank = self._numbers(name)
        for row in np.flatnonzero(is_blank).tolist():
            self._problems.about_missing(row, name, "every row needs it")
        self._check(name, values, ~is_blank, why_not)
        return values

    def masks(self) -> dict[int, Rle]:
        """The masks, by row."""
        found: dict[int, Rle] = {}
        for row in np.flatnonzero(self._given("mask")).tolist():
            cell = self._frame["mask"].iloc[row]
            mask = cells.attempt(_rle, cell)
            if isinstance(mask, ValueError):
                self._problems.about_cell(row, "mask", cell, str(mask))
            else:
                found[row] = mask
        return found

    def boxes(self, masks: Mapping[int, Rle], is_relative: bool) -> Doubles:
        """(n, 4) corners: those given, or the tight box of the mask where none is."""
        corners = np.full((len(self._frame), 4), np.nan)
        needed = ~self._given("mask")
        has_box = np.zeros(len(self._frame), np.bool_)
        if all(name in self._frame for name in CORNERS):
            columns = [self._numbers(name) for name in CORNERS]
            corners = np.stack([values for values, _ in columns], axis=1)
            has_box = ~np.all([is_blank for _, is_blank in columns], axis=0)
            told = np.any([np.isnan(values) & ~is_blank for values, is_blank in columns], axis=0)
            corners[told] = _FITTING  # its mistake has been reported
        if "box_xyxy" in self._frame:
            self._read_boxes(corners, has_box)
        for row in np.flatnonzero(needed & ~has_box).tolist():
            self._problems.about_missing(row, "box_xyxy", "a detection needs a box or a mask")
        is_wrong = np.zeros(len(corners), np.bool_)
        for wrong, reason in _why_no_box(corners, is_relative):
            self._report(np.flatnonzero(wrong & has_box & ~is_wrong), "box_xyxy", reason, corners)
            is_wrong |= wrong
        rows = [row for row in masks if not has_box[row]]
        _, tight = areas_and_boxes([masks[row] for row in rows])
        corners[rows] = to_xyxy(tight)
        return corners

    def _read_boxes(self, corners: Doubles, has_box: NDArray[np.bool_]) -> None:
        for row in np.flatnonzero(self._given("box_xyxy")).tolist():
            cell = self._frame["box_xyxy"].iloc[row]
            box = cells.attempt(cells.any_box, cell)
            if isinstance(box, ValueError):
                self._problems.about_cell(row, "box_xyxy", cell, str(box))
                has_box[row], corners[row] = True, _FITTING
            else:
                has_box[row], corners[row] = True, box

    def _given(self, name: str) -> NDArray[np.bool_]:
        if name not in self._frame:
            return np.zeros(len(self._frame), np.bool_)
        column = self._frame[name]
        return np.array(
            [not (cell in ("", "null") if isinstance(cell, str) else cells.is_blank(cell)) for cell in column]
        )

    def _numbers(self, name: str) -> tuple[Doubles, NDArray[np.bool_]]:
        """A column as numbers, NaN where a cell is none, which is reported; and which cells are blank."""
        column = self._frame[name]
        is_blank = np.asarray(column.isna() | (column == ""), np.bool_)
        if column.dtype in (object, bool):
            column = column.astype(object).where(~column.map(lambda cell: isinstance(cell, bool)))
        values = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
        bad = np.flatnonzero(np.isnan(values) & ~is_blank)
        self._report(bad, name, "it should be a number")
        return values, is_blank

    def _check(
        self,
        name: str,
        values: Doubles,
        given: NDArray[np.bool_],
        why_not: Callable[[Doubles], list[tuple[NDArray[np.bool_], str]]],
    ) -> None:
        told = np.isnan(values)
        for wrong, reason in why_not(values):
            self._report(np.flatnonzero(wrong & given & ~told), name, reason)
            told |= wrong

    def _report(self, rows: NDArray[np.int64], name: str, reason: str, shown: Doubles | None = None) -> None:
        for row in rows.tolist():
            value = self._frame[name].iloc[row] if shown is None else shown[row].tolist()
            self._problems.about_cell(row, name, value, reason)


def _why_no_frame(values: Doubles) -> list[tuple[NDArray[np.bool_], str]]:
    with np.errstate(invalid="ignore"):
        return [
            (values < 0, "it should not be negative; the first frame is 0"),
            (~np.isfinite(values) | (values != np.floor(values)), "it should be a whole number"),
            (values > checks.MAX_FRAME_INDEX, f"it should be at most {checks.MAX_FRAME_INDEX}"),
        ]


def _why_no_score(values: Doubles) -> list[tuple[NDArray[np.bool_], str]]:
    return [((values < 0) | (values > 1), "it should be from 0 to 1; scale the detector's scores")]


def _why_no_box(corners: Doubles, is_relative: bool) -> list[tuple[NDArray[np.bool_], str]]:
    x1, y1, x2, y2 = corners.T
    with np.errstate(invalid="ignore"):
        is_small = (corners.max(axis=1) <= 1) & (x2 - x1 < 2) & (y2 - y1 < 2)
        reasons = [
            (~np.isfinite(corners).all(axis=1), "it should be four finite numbers, the corners [x1, y1, x2, y2]"),
            ((x2 <= x1) | (y2 <= y1), "x2 should be greater than x1, and y2 than y1; give the corners"),
            ((x2 <= 0) | (y2 <= 0), "it is outside the picture; pixels count from 0 at the top left"),
        ]
    if is_relative:
        return reasons
    return [*reasons, (is_small, "it is smaller than 2 pixels, with no number above 1; give it in pixels of the video")]


def _class_name(cell: object) -> str:
    text = checks.text(cell)
    if len(quote_id(text)) > MAX_CLASS_BYTES:
        raise ValueError(f"it is too long to be part of an object_id (URL-quoted, at most {MAX_CLASS_BYTES} bytes)")
    return text


def _rle(cell: object) -> Rle:
    mask = cells.mask_or_uri(cell)
    if isinstance(mask, str):
        raise ValueError("it should be a COCO RLE; detections have no URIs of PNGs")
    return mask


def _by_video(
    video_ids: NDArray[np.object_],
    frames: NDArray[np.int64],
    classes: NDArray[np.object_],
    scores: Doubles,
    boxes: Doubles,
    masks: Mapping[int, Rle],
    is_relative: bool,
) -> Iterator[tuple[str, VideoDetections]]:
    """The rows of each video, in an order that depends on their values alone."""
    codes, names = pd.factorize(video_ids)
    ranks = pd.factorize(classes, sort=True)[0]
    order = np.lexsort((*boxes.T[::-1], ranks, -scores, codes * (checks.MAX_FRAME_INDEX + 1) + frames))
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for code, name in enumerate(names):
        rows = order[bounds[code] : bounds[code + 1]]
        own = {at: masks[row] for at, row in enumerate(rows.tolist()) if row in masks} if masks else {}
        yield name, VideoDetections(frames[rows], classes[rows], scores[rows], boxes[rows], own, is_relative)
