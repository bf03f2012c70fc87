"""Group parsed rows into tracks, and find rows that contradict each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch import storage
from samurai_batch.checks import shown
from samurai_batch.errors import PromptsError
from samurai_batch.prompts import AutoPrompt, BoxPrompt, FromVideoPrompt, MaskPrompt, PointsPrompt, Prompt
from samurai_batch.tasks import Direction, Track, Video

_KINDS = (BoxPrompt, PointsPrompt, MaskPrompt, FromVideoPrompt)  # the order of one frame's prompts in a track

Codes = NDArray[np.int64]
Value = TypeVar("Value")


class Problems:
    """Collects the mistakes in one table, in any order, and raises them in the order of the rows.

    A position counts the rows of the data frame from 0; ``row_numbers`` holds the number of each in messages, from 1.
    """

    def __init__(self, source: str, row_numbers: Sequence[int]) -> None:
        self._source = source
        self.row_numbers = row_numbers
        self._found: list[tuple[int, int, str]] = []

    def row(self, position: int) -> str:
        """The name of a row in messages."""
        return f"row {self.row_numbers[position]}"

    def about_table(self, text: str) -> None:
        """Add a mistake of the whole table."""
        self._found.append((0, len(self._found), text))

    def about_row(self, row_number: int, text: str) -> None:
        """Add a mistake of a whole row."""
        self._found.append((row_number, len(self._found), f"row {row_number}: {text}"))

    def about_cell(self, position: int, column: str, value: object, reason: str) -> None:
        """Add a mistake of one cell; ``reason`` says what is wrong and how to correct it."""
        self.about_row(self.row_numbers[position], f"{column} is {shown(value)}: {reason}")

    def about_missing(self, position: int, column: str, reason: str) -> None:
        """Add a mistake of a cell that must not be empty; ``reason`` says why."""
        self.about_row(self.row_numbers[position], f"{column} is missing: {reason}")

    @property
    def is_empty(self) -> bool:
        """Whether no mistake was added."""
        return not self._found

    def raise_if_any(self) -> None:
        """Raise PromptsError with all mistakes, in the order of the rows."""
        if self._found:
            raise PromptsError(storage.redact_uri(self._source), [text for _, _, text in sorted(self._found)])


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Parsed rows, column by column, in the order of the table; None where a cell is empty or has a mistake.

    ``positions`` are the positions of these rows in the data frame, from 0. Indices below are indices of these lists.
    """

    positions: Codes
    video_ids: Sequence[str]
    video_uris: Sequence[str | None]
    object_ids: Sequence[str]
    frames: Codes
    starts: Sequence[int | None]
    ends: Sequence[int | None]
    directions: Sequence[Direction | None]
    prompts: Sequence[Prompt | None]

    def videos(self) -> Codes:
        """One number per distinct video id, for each row, in order of appearance."""
        return _codes(self.video_ids)

    def tracks(self) -> Codes:
        """One number per distinct track, for each row, in order of appearance."""
        objects = _codes(self.object_ids)
        return _codes(self.videos() * (objects.max(initial=0) + 1) + objects)

    def name(self, index: int, problems: Problems) -> str:
        """The name of a row in messages."""
        return problems.row(int(self.positions[index]))

    def report(self, index: int, text: str, problems: Problems) -> None:
        """Add a mistake of a row."""
        problems.about_row(problems.row_numbers[int(self.positions[index])], text)


def check_tracks(rows: Rows, problems: Problems) -> None:
    """Report rows that contradict other rows of their video, track or frame."""
    tracks = rows.tracks()
    _check_agreement("video_uri", rows.video_uris, rows.videos(), "video", rows, problems)
    _check_agreement("direction", rows.directions, tracks, "track", rows, problems)
    _check_agreement("start_frame", rows.starts, tracks, "track", rows, problems)
    _check_agreement("end_frame", rows.ends, tracks, "track", rows, problems)
    _check_spans(rows, tracks, problems)
    _check_alone(rows, tracks, problems)
    _check_carried(rows, tracks, problems)
    for members in _suspicious_frames(rows, tracks):
        _check_frame(rows, members, problems)


def group_tracks(rows: Rows) -> list[Track]:
    """The tracks of checked rows, in order of appearance; prompts by frame, then kind, then row."""
    tracks = rows.tracks()
    order = np.lexsort((_kinds(rows), rows.frames, tracks)).tolist()
    ends = np.cumsum(np.bincount(tracks)).tolist()
    starts, stops = _given_by_group(rows.starts, tracks), _given_by_group(rows.ends, tracks)
    directions: dict[int, Direction] = _given_by_group(rows.directions, tracks)
    videos: dict[str, Video] = {}
    grouped = []
    for track, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        members = order[begin:end]
        video = Video(rows.video_ids[members[0]], _checked(rows.video_uris[members[0]]))
        grouped.append(
            Track(
                video=videos.setdefault(video.video_id, video),
                object_id=rows.object_ids[members[0]],
                prompts=tuple(_checked(rows.prompts[index]) for index in members),
                start_frame=starts.get(track),
                end_frame=stops.get(track),
                direction=directions.get(track, "forward"),
            )
        )
    return grouped


def _check_agreement(
    column: str, values: Sequence[object], groups: Codes, of: str, rows: Rows, problems: Problems
) -> None:
    """Rows of one group have the same value in this column, or none."""
    codes = _codes(values)
    given = np.flatnonzero(codes >= 0)
    first_of = np.zeros(groups.max(initial=-1) + 1, np.int64)
    distinct, first_given = np.unique(groups[given], return_index=True)
    first_of[distinct] = given[first_given]
    firsts = first_of[groups[given]]
    contradicts = codes[given] != codes[firsts]
    for index, first in zip(given[contradicts].tolist(), firsts[contradicts].tolist(), strict=True):
        reason = f"{rows.name(first, problems)} of the same {of} has {shown(values[first])}; make them agree"
        problems.about_cell(int(rows.positions[index]), column, values[index], reason)


def _check_spans(rows: Rows, tracks: Codes, problems: Problems) -> None:
    """No track ends before it starts, and every prompt is within the frames of its track."""
    starts, ends = _given_by_group(rows.starts, tracks), _given_by_group(rows.ends, tracks)
    if not starts and not ends:
        return
    for index, track in enumerate(tracks.tolist()):
        start, end, frame = starts.get(track, 0), ends.get(track), int(rows.frames[index])
        position = int(rows.positions[index])
        if end is not None and end < start:
            if rows.ends[index] is not None:
                reason = f"it is before start_frame {start} of the same track; exchange them"
                problems.about_cell(position, "end_frame", end, reason)
        elif frame < start or (end is not None and frame > end):
            span = f"{start} to {'the last' if end is None else end}"
            reason = f"it is outside the frames of its track, {span}; move the prompt or extend the track"
            problems.about_cell(position, "frame_index", frame, reason)


def _check_alone(rows: Rows, tracks: Codes, problems: Problems) -> None:
    """A text or everything prompt is the only prompt of its object_id."""
    sizes = np.bincount(tracks)
    for index, prompt in enumerate(rows.prompts):
        if isinstance(prompt, AutoPrompt) and sizes[tracks[index]] > 1:
            reason = "this prompt detects several objects, but its object_id has other prompts; use another object_id"
            problems.about_cell(int(rows.positions[index]), "object_id", rows.object_ids[index], reason)


def _check_carried(rows: Rows, tracks: Codes, problems: Problems) -> None:
    """A track has one from_video prompt at most, of another video, on the frame where it starts."""
    carried = [index for index, prompt in enumerate(rows.prompts) if isinstance(prompt, FromVideoPrompt)]
    if not carried:
        return
    directions = _given_by_group(rows.directions, tracks)
    lowest, highest = np.full(tracks.max() + 1, np.iinfo(np.int64).max), np.zeros(tracks.max() + 1, np.int64)
    np.minimum.at(lowest, tracks, rows.frames)
    np.maximum.at(highest, tracks, rows.frames)
    first_of: dict[int, int] = {}
    for index in carried:
        prompt, track = rows.prompts[index], int(tracks[index])
        assert isinstance(prompt, FromVideoPrompt)
        position = int(rows.positions[index])
        start = int((highest if directions.get(track) == "backward" else lowest)[track])
        if prompt.video_id == rows.video_ids[index]:
            problems.about_cell(position, "from_video", prompt.video_id, "it is the row's own video; name another one")
        elif first_of.setdefault(track, index) != index:
            if rows.prompts[first_of[track]] != prompt:  # else it is reported as repeated
                first = rows.name(first_of[track], problems)
                rows.report(index, f"a second from_video of its track, after {first}; keep one of them", problems)
        elif prompt.frame_index != start:
            reason = f"its track starts on frame {start}, and from_video belongs there; move it or the other prompts"
            problems.about_cell(position, "frame_index", prompt.frame_index, reason)


def _suspicious_frames(rows: Rows, tracks: Codes) -> Iterator[list[int]]:
    """The rows of each frame that needs a closer check: most frames have one valid box and do not."""
    frames = _codes(tracks * 2**31 + rows.frames)
    kinds = _kinds(rows)
    num_frames = int(frames.max(initial=-1)) + 1
    boxes, points, masks, carried, unreadable = (
        np.bincount(frames[kinds == kind], minlength=num_frames) for kind in range(len(_KINDS) + 1)
    )
    on_object = [isinstance(prompt, PointsPrompt) and 1 in prompt.labels for prompt in rows.prompts]
    positives = np.bincount(frames[np.array(on_object, np.bool_)], minlength=num_frames)
    several = (boxes > 1) | (points > 1) | (masks + carried > 1) | ((masks + carried > 0) & (boxes + points > 0))
    is_unclear = boxes + masks + carried + positives + unreadable == 0
    members = np.flatnonzero((several | is_unclear)[frames])
    ordered = members[np.argsort(frames[members], kind="stable")]
    borders = np.flatnonzero(np.diff(frames[ordered])) + 1
    for group in np.split(ordered, borders) if len(ordered) else []:
        yield group.tolist()


def _check_frame(rows: Rows, members: Sequence[int], problems: Problems) -> None:
    """A frame has one box at most, or a mask or from_video alone; no prompt is repeated; one prompt is positive."""
    first_of: dict[Prompt, int] = {}
    for index in members:
        prompt = rows.prompts[index]
        if prompt is not None and first_of.setdefault(prompt, index) != index:
            rows.report(index, f"repeats {rows.name(first_of[prompt], problems)}; remove one of them", problems)
    boxes = [index for prompt, index in first_of.items() if isinstance(prompt, BoxPrompt)]
    masks = [index for prompt, index in first_of.items() if isinstance(prompt, MaskPrompt | FromVideoPrompt)]
    place = f"frame {int(rows.frames[members[0]])} of its track"
    for index in boxes[1:]:
        first = rows.name(boxes[0], problems)
        rows.report(index, f"a second box on {place}, after {first}; keep one of them", problems)
    for index in [index for index in first_of.values() if masks and index != masks[0]]:
        first = rows.name(masks[0], problems)
        what = "a mask" if isinstance(rows.prompts[masks[0]], MaskPrompt) else "from_video"
        rows.report(index, f"{place} has {what} in {first}, which excludes other prompts; keep one of them", problems)
    is_clear = any(not isinstance(prompt, PointsPrompt) or 1 in prompt.labels for prompt in first_of)
    if not is_clear and None not in (rows.prompts[index] for index in members):
        text = f"{place} has only negative points; add a box, or a point with label 1"
        rows.report(members[0], text, problems)


def _kinds(rows: Rows) -> Codes:
    """The index in `_KINDS` of each row's prompt; len(_KINDS) for any other prompt and for none."""
    place_of: dict[type, int] = {kind: place for place, kind in enumerate(_KINDS)}
    return np.array([place_of.get(type(prompt), len(_KINDS)) for prompt in rows.prompts], np.int64)


def _codes(values: Sequence[object] | Codes) -> Codes:
    """One number per distinct value, in order of appearance; -1 for None."""
    codes, _ = pd.factorize(values if isinstance(values, np.ndarray) else np.array(values, dtype=object))
    return np.asarray(codes, np.int64)


def _given_by_group(values: Sequence[Value | None], groups: Codes) -> dict[int, Value]:
    """The first value given in each group."""
    given: dict[int, Value] = {}
    for value, group in zip(values, groups.tolist(), strict=True):
        if value is not None:
            given.setdefault(group, value)
    return given


def _checked(value: Value | None) -> Value:
    assert value is not None, "rows with mistakes are not grouped"
    return value
