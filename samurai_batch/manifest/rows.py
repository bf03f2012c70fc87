"""Rows of a prompts table into tracks: each cell by itself, then the rows of a track against each other."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.manifest import cells
from samurai_batch.manifest.problems import Problems
from samurai_batch.manifest.tracks import DIRECTIONS, Rows, check_tracks, group_tracks
from samurai_batch.tasks import (
    BoxPrompt,
    Direction,
    EverythingPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    Rle,
    TextPrompt,
    Track,
)

REQUIRED_COLUMNS = ("video_id", "video_uri", "object_id", "frame_index", "kind")
COLUMNS_OF_KIND: dict[str, tuple[str, ...]] = {
    "box": ("box_xyxy",),
    "points": ("points_xy", "labels"),
    "mask": ("mask",),
    "text": ("text",),
    "everything": (),
}
PROMPT_COLUMNS = ("box_xyxy", "points_xy", "labels", "mask", "text")
TRACK_COLUMNS = ("start_frame", "end_frame", "direction")
COLUMNS = (*REQUIRED_COLUMNS, *PROMPT_COLUMNS, *TRACK_COLUMNS)

Value = TypeVar("Value")
_ParseKind = Callable[[NDArray[np.int64], Sequence[int | None]], list[Prompt | None]]


def parse_prompts(frame: pd.DataFrame, source: str = "prompts") -> list[Track]:
    """The tracks that a data frame of prompts describes, in the order in which they first appear.

    ``source`` names the table in messages. Lists may be lists, arrays or JSON text; missing values None, NaN or
    empty. Raises PromptsError with all bad rows, the first row being 1. Masks given as PNGs are read.
    """
    problems = Problems(source, range(1, len(frame) + 1))
    tracks = parse_rows(frame, problems)
    problems.raise_if_any()
    return tracks


def parse_rows(frame: pd.DataFrame, problems: Problems) -> list[Track]:
    """As `parse_prompts`, but what is wrong is left in ``problems``; then the tracks mean nothing."""
    if not _columns_are_right(list(frame.columns), problems):
        return []
    rows = _Cells(frame, problems).rows()
    check_tracks(rows, problems)
    return group_tracks(rows) if problems.is_empty else []


def _columns_are_right(names: Sequence[object], problems: Problems) -> bool:
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    for name in missing:
        problems.about_table(f"column {name} is missing; a prompts table needs {', '.join(REQUIRED_COLUMNS)}")
    unknown = [str(name) for name in names if name not in COLUMNS]
    for name in unknown:
        near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]}?" if near else f"remove it; known are {', '.join(COLUMNS)}"
        problems.about_table(f"column {name} is not known; {remedy}")
    twice = [name for name in COLUMNS if names.count(name) > 1]
    for name in twice:
        problems.about_table(f"column {name} stands there twice; keep one")
    return not (missing or unknown or twice)


class _Cells:
    """The cells of one table: parsed column by column, what is wrong goes to ``problems``."""

    def __init__(self, frame: pd.DataFrame, problems: Problems) -> None:
        self._frame = frame
        self._problems = problems
        self._given = {name: _given(name, frame[name]) for name in frame.columns}

    def rows(self) -> Rows:
        """All rows whose place (video, object, frame) could be read; what else could not be read is None."""
        video_ids = self._required("video_id", cells.check_id)
        video_uris = self._required("video_uri", cells.check_text)
        object_ids = self._required("object_id", cells.check_id)
        frames = self._required("frame_index", cells.whole_number)
        prompts = self._prompts(frames)
        starts, ends = (self._optional(name, cells.whole_number) for name in ("start_frame", "end_frame"))
        directions = self._optional("direction", _direction)
        place = zip(video_ids, object_ids, frames, strict=True)
        kept = [position for position, parts in enumerate(place) if None not in parts]
        return Rows(
            positions=np.array(kept, np.int64),
            video_ids=[video_ids[position] or "" for position in kept],
            video_uris=_picked(video_uris, kept),
            object_ids=[object_ids[position] or "" for position in kept],
            frames=np.array([frames[position] for position in kept], np.int64),
            starts=_picked(starts, kept),
            ends=_picked(ends, kept),
            directions=_picked(directions, kept),
            prompts=_picked(prompts, kept),
        )

    def _required(self, name: str, parse: Callable[[object], Value]) -> list[Value | None]:
        for position in np.flatnonzero(~self._given[name]).tolist():
            self._problems.about_missing(position, name, "every row needs it")
        return self._optional(name, parse)

    def _optional(self, name: str, parse: Callable[[object], Value]) -> list[Value | None]:
        values: list[Value | None] = [None] * len(self._frame)
        if name in self._given:
            positions = np.flatnonzero(self._given[name])
            for position, value in zip(positions.tolist(), self._parsed(name, positions, parse), strict=True):
                values[position] = value
        return values

    def _prompts(self, frames: Sequence[int | None]) -> list[Prompt | None]:
        """The prompt of each row; None where it, its kind or its frame could not be read."""
        kinds = np.array(self._required("kind", _kind), dtype=object)
        prompts: list[Prompt | None] = [None] * len(kinds)
        parse_kind: dict[str, _ParseKind] = {
            "box": self._boxes,
            "points": self._points,
            "mask": self._masks,
            "text": self._texts,
            "everything": lambda _, at: [None if frame is None else EverythingPrompt(frame) for frame in at],
        }
        for kind, names in COLUMNS_OF_KIND.items():
            positions = np.flatnonzero((kinds == kind) & self._has_only(kind, names, kinds == kind))
            at = [frames[position] for position in positions.tolist()]
            if not at:
                continue
            for position, prompt in zip(positions.tolist(), parse_kind[kind](positions, at), strict=True):
                prompts[position] = prompt
        return prompts

    def _has_only(self, kind: str, names: Sequence[str], of_kind: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows give all columns of their kind; those that lack one, or give another, are reported."""
        complete = np.ones(len(of_kind), np.bool_)
        for name in PROMPT_COLUMNS:
            given = self._given.get(name, np.zeros(len(of_kind), np.bool_))
            if name in names:
                complete &= given
                for position in np.flatnonzero(of_kind & ~given).tolist():
                    self._problems.about_missing(position, name, f"a row of kind {kind} needs it")
                continue
            for position in np.flatnonzero(of_kind & given).tolist():
                reason = f"a row of kind {kind} has no {name}; leave it empty, or give it a row of its own"
                self._problems.about_cell(position, name, self._frame[name].iloc[position], reason)
        return complete

    def _boxes(self, positions: NDArray[np.int64], frames: Sequence[int | None]) -> list[Prompt | None]:
        boxes = self._parsed("box_xyxy", positions, cells.box)
        return [
            None if box is None or frame is None else BoxPrompt(frame, box)
            for frame, box in zip(frames, boxes, strict=True)
        ]

    def _points(self, positions: NDArray[np.int64], frames: Sequence[int | None]) -> list[Prompt | None]:
        all_points = self._parsed("points_xy", positions, cells.points)
        all_labels = self._parsed("labels", positions, cells.labels)
        prompts: list[Prompt | None] = [None] * len(frames)
        for index, (frame, points, labels) in enumerate(zip(frames, all_points, all_labels, strict=True)):
            if points is None or labels is None:
                continue
            if len(points) != len(labels):
                reason = f"{len(labels)} label(s) for {len(points)} point(s); give one label for each point"
                self._problems.about_cell(int(positions[index]), "labels", list(labels), reason)
            elif frame is not None:
                prompts[index] = PointsPrompt(frame, points, labels)
        return prompts

    def _masks(self, positions: NDArray[np.int64], frames: Sequence[int | None]) -> list[Prompt | None]:
        given = self._parsed("mask", positions, cells.mask_or_uri)
        pngs = cells.read_masks_of_pngs(mask for mask in given if isinstance(mask, str))
        prompts: list[Prompt | None] = [None] * len(frames)
        for index, (frame, mask_or_uri) in enumerate(zip(frames, given, strict=True)):
            mask = pngs[mask_or_uri] if isinstance(mask_or_uri, str) else mask_or_uri
            if isinstance(mask, ValueError):
                self._problems.about_cell(int(positions[index]), "mask", mask_or_uri, str(mask))
            elif isinstance(mask, Rle) and frame is not None:
                prompts[index] = MaskPrompt(frame, mask)
        return prompts

    def _texts(self, positions: NDArray[np.int64], frames: Sequence[int | None]) -> list[Prompt | None]:
        texts = self._parsed("text", positions, cells.check_text)
        return [
            None if text is None or frame is None else TextPrompt(frame, text)
            for frame, text in zip(frames, texts, strict=True)
        ]

    def _parsed(self, name: str, positions: NDArray[np.int64], parse: Callable[[object], Value]) -> list[Value | None]:
        """The cells at these positions, parsed; a wrong one is reported, and None."""
        column = self._frame[name].iloc[positions]
        values, wrong = _outcomes(column, parse)
        for index, error in sorted(wrong.items()):
            self._problems.about_cell(int(positions[index]), name, column.iloc[index], str(error))
        return values


def _given(name: str, column: "pd.Series[Any]") -> NDArray[np.bool_]:
    """Which cells say something."""
    blank_texts = ("", "[]", "null") if name in PROMPT_COLUMNS else ("",)
    if not _is_plain(column):
        is_given = [not (cell in blank_texts if isinstance(cell, str) else cells.is_blank(cell)) for cell in column]
        return np.array(is_given, np.bool_)
    distinct, values = pd.factorize(column)
    return np.array([value not in blank_texts for value in values] + [False], np.bool_)[distinct]


def _outcomes(
    column: "pd.Series[Any]", parse: Callable[[object], Value]
) -> tuple[list[Value | None], dict[int, ValueError]]:
    """Each given cell parsed, and what is wrong with those that cannot be; in a plain column once per value."""
    if not _is_plain(column):
        return _attempts(column.tolist(), parse)
    distinct, cells_once = pd.factorize(column)
    values, wrong = _attempts(list(cells_once), parse)
    indices = np.flatnonzero(np.isin(distinct, list(wrong))).tolist() if wrong else []
    return [values[code] for code in distinct.tolist()], {index: wrong[distinct[index]] for index in indices}


def _attempts(
    column: list[object], parse: Callable[[object], Value]
) -> tuple[list[Value | None], dict[int, ValueError]]:
    values: list[Value | None] = []
    wrong: dict[int, ValueError] = {}
    for index, cell in enumerate(column):
        try:
            values.append(parse(cell))
        except ValueError as error:
            values.append(None)
            wrong[index] = error
    return values, wrong


def _is_plain(column: "pd.Series[Any]") -> bool:
    """Whether equal cells mean the same: in a column of objects True equals 1, and lists cannot be compared."""
    return column.dtype != object or {str, type(None)}.issuperset(map(type, column.tolist()))


def _kind(cell: object) -> str:
    if not isinstance(cell, str) or cell not in COLUMNS_OF_KIND:
        raise ValueError(f"is not a kind of prompt; use {', '.join(COLUMNS_OF_KIND)}")
    return cell


def _direction(cell: object) -> Direction:
    for direction in DIRECTIONS:
        if isinstance(cell, str) and cell == direction:
            return direction
    raise ValueError(f"is not a direction; use {', '.join(DIRECTIONS)}, or leave it empty for forward")


def _picked(values: Sequence[Value], positions: Sequence[int]) -> list[Value]:
    return [values[position] for position in positions]
