"""The moments of a track that a person should check: a pure function of its rows.

    severity          from 0 to 1, comparable between the kinds
    "absent"          the object is lost: one half, plus one half of the share of its remaining frames without it
    "found again"     it is back, perhaps as another one: half the severity of its loss
    "score drop"      the mask score falls below its median over the frames before, by this much
    "off the motion"  the IoU with the motion model's prediction falls below its median, by this much
    "area jump"       the area at least doubles or halves from one frame to the next: half the share of it that changes
    "disagreement"    1 - IoU with the same track of another output, such as one propagated backward

Neighbouring frames are one moment: the worst of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.tasks import TrackId

MIN_GAP_FRAMES = 10
MEDIAN_FRAMES = 25
MIN_SEVERITY = 0.1
MAX_AREA_RATIO = 0.5

Kind = Literal["absent", "found again", "score drop", "off the motion", "area jump", "disagreement"]
Values = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One frame of one track, what is wrong there, how much, and the same in words."""

    video_id: str
    object_id: str
    frame_index: int
    kind: Kind
    severity: float
    text: str


def moments_of_track(track: TrackId, rows: pd.DataFrame, ious: Mapping[int, float] | None = None) -> list[Moment]:
    """The moments of one track, by frame.

    ``rows`` are by frame, with ``frame_index``, ``area``, ``mask_score``, ``motion_score`` and ``prompted``; ``ious``
    are those with another result, by frame. Frames with a prompt are never among them.
    """
    frames, areas = rows["frame_index"].to_numpy(), rows["area"].to_numpy(np.float64)
    lost, found = _lost_and_found(areas > 0)
    by_kind: dict[Kind, Values] = {
        "absent": lost,
        "found again": found,
        "score drop": np.where(areas > 0, _drops(rows["mask_score"]), 0.0),
        "off the motion": np.where(areas > 0, _drops(rows["motion_score"]), 0.0),
        "area jump": _jumps(areas),
        "disagreement": np.array([1 - (ious or {}).get(int(frame), 1.0) for frame in frames]),
    }
    kinds = list(by_kind)
    severities = np.where(rows["prompted"].to_numpy(np.bool_), 0.0, np.stack(list(by_kind.values())))
    moments = []
    for place in sorted(_peaks(frames, severities.max(axis=0, initial=0.0))):
        kind, severity = kinds[int(severities[:, place].argmax())], float(severities[:, place].max())
        moments.append(
            Moment(
                video_id=track[0],
                object_id=track[1],
                frame_index=int(frames[place]),
                kind=kind,
                severity=round(severity, 6),
                text=_text(kind, rows, place, severity),
            )
        )
    return moments


def worst_of(moments: Iterable[Moment], limit: int | None) -> list[Moment]:
    """The ``limit`` worst, the worst first; equal ones by video, object and frame."""
    return sorted(moments, key=lambda one: (-one.severity, one.video_id, one.object_id, one.frame_index))[:limit]


def _text(kind: Kind, rows: pd.DataFrame, place: int, severity: float) -> str:
    row, areas = rows.iloc[place], rows["area"].to_numpy()
    match kind:
        case "absent":
            back = np.flatnonzero(areas[place:] > 0)
            duration = f"for {back[0]} frame(s)" if len(back) else "to the end"
            return f"lost on frame {row.frame_index}, {duration}"
        case "found again":
            return f"found again on frame {row.frame_index}"
        case "score drop":
            return f"mask score down to {row.mask_score:.2f} on frame {row.frame_index}"
        case "off the motion":
            return f"IoU with the motion model down to {row.motion_score:.2f} on frame {row.frame_index}"
        case "area jump":
            return f"area {areas[place - 1]} to {areas[place]} pixels on frame {row.frame_index}"
        case "disagreement":
            return f"IoU with the other output {1 - severity:.2f} on frame {row.frame_index}"


def _lost_and_found(present: Values) -> tuple[Values, Values]:
    """The severities of each loss, on its first frame, and of each return after a loss."""
    lost, found = np.zeros(len(present)), np.zeros(len(present))
    changes = np.flatnonzero(present[:-1] != present[1:]) + 1
    for place in changes[~present[changes]]:
        lost[place] = 0.5 + 0.5 * float(np.mean(~present[place:]))
    for before, place in pairwise(changes):
        if present[place]:
            found[place] = lost[before] / 2
    return lost, found


def _drops(column: "pd.Series[float]") -> Values:
    """How far each value is below the median of the `MEDIAN_FRAMES` before it; 0 where it is not, or is missing."""
    values = pd.Series(column.to_numpy(np.float64, na_value=np.nan))
    before = values.rolling(MEDIAN_FRAMES, min_periods=1).median().shift(1)
    return np.asarray(np.nan_to_num(np.clip((before - values).to_numpy(), 0.0, 1.0), nan=0.0))


def _jumps(areas: Values) -> Values:
    """Half the share of an area that comes or goes within one frame, where that is at least half of it."""
    severities = np.zeros(len(areas))
    smaller, larger = np.minimum(areas[1:], areas[:-1]), np.maximum(areas[1:], areas[:-1])
    ratio = smaller / np.maximum(larger, 1.0)
    severities[1:] = np.where((smaller > 0) & (ratio <= MAX_AREA_RATIO), (1 - ratio) / 2, 0.0)
    return severities


def _peaks(frames: Values, severities: Values) -> Iterator[int]:
    """Positions of the worst frames, none within `MIN_GAP_FRAMES` of a worse one."""
    taken: list[int] = []
    for place in np.argsort(-severities, kind="stable").tolist():
        if severities[place] < MIN_SEVERITY:
            break
        if all(abs(int(frames[place]) - frame) > MIN_GAP_FRAMES for frame in taken):
            taken.append(int(frames[place]))
            yield place
