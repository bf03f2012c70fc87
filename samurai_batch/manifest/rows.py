"""Parse the rows of a prompts table: first each cell, then the rows of each track against each other."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch import checks
from samurai_batch.manifest import cells
from samurai_batch.manifest.tracks import Problems, Rows, check_tracks, group_tracks
from samurai_batch.prompts import (
    BoxPrompt,
    DiscoverPrompt,
    EverythingPrompt,
    FromVideoPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    Rle,
    TextPrompt,
)
from samurai_batch.tasks import DIRECTIONS, Track

REQUIRED_COLUMNS = ("video_id", "video_uri", "object_id", "frame_index", "kind")
COLUMNS_OF_KIND: dict[str, tuple[str, ...]] = {
    "box": ("box_xyxy",),
    "points": ("points_xy", "labels"),
    "mask": ("mask",),
    "from_video": ("from_video",),
    "text": ("text",),
    "everything": (),
    "discover": (),
}
OPTIONAL_COLUMNS_OF_KIND: dict[str, tuple[str, ...]] = {"discover": ("text",), "from_video": ("from_object",)}
PROMPT_COLUMNS = ("box_xyxy", "points_xy", "labels", "mask", "text", "from_video", "from_object")
TRACK_COLUMNS = ("start_frame", "end_frame", "direction")
COLUMNS = (*REQUIRED_COLUMNS, *PROMPT_COLUMNS, *TRACK_COLUMNS)

Value = TypeVar("Value")
_Positions = NDArray[np.int64]
_Frames = Sequence[int | None]


def parse_prompts(frame: pd.DataFrame, source: str = "prompts") -> list[Track]:
    """The tracks in a data frame of prompts, in the order in which they first appear.

    ``source`` names the table in messages. Lists may be lists, arrays or JSON text; missing values may be None, NaN or
    empty. PNG masks are read. Raises PromptsError with all bad rows; the first row is row 1.
    """
    problems = Problems(source, range(1, len(frame) + 1))
    tracks = parse_rows(frame, problems)
    problems.raise_if_any()
    return tracks


def parse_rows(frame: pd.DataFrame, problems: Problems) -> list[Track]:
    """As `parse_prompts`, but mistakes are added to ``problems``; no tracks are returned then."""
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
        meant = checks.suggestion(name, missing if checks.nearest(name, missing) else COLUMNS)
        problems.about_table(f"column {name} is not known; {meant}")
    twice = [name for name in COLUMNS if names.count(name) > 1]
    for name in twice:
        problems.about_table(f"column {name} appears twice; keep one")
    return not (missing or unknown or twice)


class _Cells:
    """Parses the cells of one table column by column; mistakes are added to ``problems``."""

    def __init__(self, frame: pd.DataFrame, problems: Problems) -> None:
        self._frame = frame
        self._problems = problems
        self._given = {name: _given(name, frame[name]) for name in frame.columns}

    def rows(self) -> Rows:
        """All rows with valid video_id, object_id and frame_index; other cells with mistakes are None."""
        video_ids = self._required("video_id", cells.identifier)
        video_uris = self._required("video_uri", cells.video_uri)
        object_ids = self._required("object_id", cells.identifier)
        frames = self._frames()
        prompts = self._prompts(frames)
        starts, ends = (self._optional(name, cells.frame_index) for name in ("start_frame", "end_frame"))
        directions = self._optional("direction", checks.one_of(DIRECTIONS))
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

    def _required(
        self, name: str, parse: Callable[[object], Value], default: Value | None = None, default_kind: str = ""
    ) -> list[Value | None]:
        """The values of a column; rows of ``default_kind`` with an empty cell have the default."""
        values = self._optional(name, parse)
        for position in np.flatnonzero(~self._given[name]).tolist():
            if default_kind and self._frame["kind"].iloc[position] == default_kind:
                values[position] = default
            else:
                self._problems.about_missing(position, name, "every row needs it")
        return values

    def _frames(self) -> list[int | None]:
        return self._required("frame_index", cells.frame_index, default=0, default_kind="from_video")

    def _optional(self, name: str, parse: Callable[[object], Value]) -> list[Value | None]:
        values: list[Value | None] = [None] * len(self._frame)
        if name in self._given:
            positions = np.flatnonzero(self._given[name])
            for position, value in zip(positions.tolist(), self._parsed(name, positions, parse), strict=True):
                values[position] = value
        return values

    def _prompts(self, frames: Sequence[int | None]) -> list[Prompt | None]:
        """The prompt of each row; None where the row has a mistake."""
        kinds = np.array(self._required("kind", checks.one_of(tuple(COLUMNS_OF_KIND))), dtype=object)
        prompts: list[Prompt | None] = [None] * len(kinds)
        parse_kind: dict[str, Callable[[_Positions, _Frames], list[Prompt | None]]] = {
            "box": lambda rows, frames: _made(BoxPrompt, frames, self._parsed("box_xyxy", rows, cells.box)),
            "points": self._points,
            "mask": self._masks,
            "from_video": self._carried,
            "text": lambda rows, frames: _made(TextPrompt, frames, self._parsed("text", rows, checks.text)),
            "everything": lambda _, frames: [None if frame is None else EverythingPrompt(frame) for frame in frames],
            "discover": lambda rows, frames: _made(DiscoverPrompt, frames, self._classes(rows)),
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
        """Which rows fill all columns of their kind. Rows that fill a column of another kind are reported as well."""
        complete = np.ones(len(of_kind), np.bool_)
        for name in PROMPT_COLUMNS:
            given = self._given.get(name, np.zeros(len(of_kind), np.bool_))
            if name in names:
                complete &= given
                for position in np.flatnonzero(of_kind & ~given).tolist():
                    self._problems.about_missing(position, name, f"a row of kind {kind} needs it")
                continue
            if name in OPTIONAL_COLUMNS_OF_KIND.get(kind, ()):
                continue
            for position in np.flatnonzero(of_kind & given).tolist():
                reason = f"a row of kind {kind} has no {name}; leave it empty, or write another row"
                self._problems.about_cell(position, name, self._frame[name].iloc[position], reason)
        return complete

    def _points(self, positions: _Positions, frames: _Frames) -> list[Prompt | None]:
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

    def _carried(self, positions: _Positions, frames: _Frames) -> list[Prompt | None]:
        video_ids = self._parsed("from_video", positions, cells.identifier)
        object_ids: list[str | None] = [""] * len(positions)  # that of the row
        if "from_object" in self._given:
            given = np.flatnonzero(self._given["from_object"][positions])
            found = self._parsed("from_object", positions[given], cells.identifier)
            for index, object_id in zip(given.tolist(), found, strict=True):
                object_ids[index] = object_id
        return [
            None
            if frame is None or video_id is None or object_id is None
            else FromVideoPrompt(frame, video_id, object_id)
            for frame, video_id, object_id in zip(frames, video_ids, object_ids, strict=True)
        ]

    def _classes(self, positions: _Positions) -> list[tuple[str, ...] | None]:
        """The classes that discover prompts are limited to: names separated by commas, or none for all."""
        classes: list[tuple[str, ...] | None] = [()] * len(positions)
        given = np.flatnonzero(self._given["text"][positions]) if "text" in self._given else np.zeros(0, np.int64)
        texts = self._parsed("text", positions[given], cells.class_names)
        for index, names in zip(given.tolist(), texts, strict=True):
            classes[index] = names
        return classes

    def _masks(self, positions: _Positions, frames: _Frames) -> list[Prompt | None]:
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

    def _parsed(self, name: str, positions: _Positions, parse: Callable[[object], Value]) -> list[Value | None]:
        """The parsed cells at these positions; None for one with a mistake, which is reported."""
        column = self._frame[name].iloc[positions]
        values: list[Value | None] = []
        for index, outcome in enumerate(_outcomes(column, parse)):
            is_wrong = isinstance(outcome, ValueError)
            if is_wrong:
                self._problems.about_cell(int(positions[index]), name, column.iloc[index], str(outcome))
            values.append(None if isinstance(outcome, ValueError) else outcome)
        return values


def _given(name: str, column: "pd.Series[Any]") -> NDArray[np.bool_]:
    """Which cells are not empty."""
    blank_texts = ("", "[]", "null") if name in PROMPT_COLUMNS else ("",)
    if not _is_plain(column):
        is_given = [not (cell in blank_texts if isinstance(cell, str) else cells.is_blank(cell)) for cell in column]
        return np.array(is_given, np.bool_)
    distinct, values = pd.factorize(column)
    return np.array([value not in blank_texts for value in values] + [False], np.bool_)[distinct]


def _outcomes(column: "pd.Series[Any]", parse: Callable[[object], Value]) -> list[Value | ValueError]:
    """The parsed cells, or what is wrong with them. In a plain column, each distinct value is parsed once."""
    if not _is_plain(column):
        return [cells.attempt(parse, cell) for cell in column.tolist()]
    distinct, values = pd.factorize(column)
    outcomes = [cells.attempt(parse, value) for value in values]
    return [outcomes[code] for code in distinct.tolist()]


def _is_plain(column: "pd.Series[Any]") -> bool:
    """Whether equal cells have equal meaning. In a column of objects True equals 1, and lists cannot be compared."""
    return column.dtype != object or {str, type(None)}.issuperset(map(type, column.tolist()))


def _made(make: Callable[[int, Value], Prompt], frames: _Frames, values: Sequence[Value | None]) -> list[Prompt | None]:
    """The prompt of each frame and value; None where one of them is missing."""
    pairs = zip(frames, values, strict=True)
    return [None if frame is None or value is None else make(frame, value) for frame, value in pairs]


def _picked(values: Sequence[Value], positions: Sequence[int]) -> list[Value]:
    return [values[position] for position in positions]
