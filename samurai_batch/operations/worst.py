"""The worst moments of an output: the frames that a person should correct first, over all tracks.

    severity          from 0 to 1, comparable between the kinds
    "absent"          the object is lost: one half, plus one half of the share of its remaining frames without it
    "score drop"      the mask score falls below its median over the frames before, by this much
    "off the motion"  the IoU with the motion model's prediction falls below its median, by this much
    "disagreement"    1 - IoU with the same track of another output, such as one propagated backward

Neighbouring frames are one moment: the worst of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.background import for_each
from samurai_batch.errors import ConfigError
from samurai_batch.ledger.store import NUM_TRANSFERS
from samurai_batch.masks import read_masks
from samurai_batch.masks.locating import track_names
from samurai_batch.rle import rle_from_coco, rle_iou
from samurai_batch.storage import join, redact, unquote_id
from samurai_batch.tasks import Rle, TrackId

MIN_GAP_FRAMES = 10
MEDIAN_FRAMES = 25
MIN_SEVERITY = 0.1

_COLUMNS = ["object_id", "frame_index", "area", "mask_score", "motion_score", "prompted"]
_MASK_COLUMNS = ["object_id", "frame_index", "segmentation"]

Kind = Literal["absent", "score drop", "off the motion", "disagreement"]
Values = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class WorstMoment:
    """One frame of one track, what is wrong there and how much."""

    video_id: str
    object_id: str
    frame_index: int
    kind: Kind
    severity: float


def worst_moments(
    output: str,
    limit: int,
    *,
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    other: str | None = None,
) -> list[WorstMoment]:
    """The ``limit`` worst moments of the tracks of an output, the worst first; reads one video at a time.

    ``other`` is an output with the same tracks, made another way. Raises ConfigError if ``limit`` is below 1 or there
    are no mask tables, StorageError if reading fails.
    """
    if limit < 1:
        raise ConfigError(f"the number of worst moments is {limit}: use 1 or more")
    chosen = None if objects is None else list(objects)
    names = {unquote_id(name.partition("/")[0]) for name in track_names(join(output, "masks"))}
    if not names:
        raise ConfigError(f"{redact(output)}: there are no mask tables to rank; give the output folder of a job")
    video_ids = sorted(names if videos is None else names & set(videos))
    found = for_each(lambda video: moments_of_video(output, video, other, chosen, limit), video_ids, NUM_TRANSFERS)
    return worst_of((one for of_video in found for one in of_video), limit)


def worst_of(moments: Iterable[WorstMoment], limit: int | None) -> list[WorstMoment]:
    """The ``limit`` worst, the worst first; equal ones by video, object and frame."""
    return sorted(moments, key=lambda one: (-one.severity, one.video_id, one.object_id, one.frame_index))[:limit]


def moments_of_track(track: TrackId, rows: pd.DataFrame, ious: Mapping[int, float] | None = None) -> list[WorstMoment]:
    """The moments of one track, by frame: a pure function of its rows.

    ``rows`` are by frame, with ``frame_index``, ``area``, ``mask_score``, ``motion_score`` and ``prompted``; ``ious``
    are those with another result, by frame.
    """
    frames = rows["frame_index"].to_numpy()
    prompted = rows["prompted"].to_numpy(np.bool_)
    present = rows["area"].to_numpy() > 0
    by_kind: dict[Kind, Values] = {
        "absent": _lost(present),
        "score drop": np.where(present, _drops(rows["mask_score"].to_numpy(np.float64)), 0.0),
        "off the motion": np.where(present, _drops(rows["motion_score"].to_numpy(np.float64, na_value=np.nan)), 0.0),
        "disagreement": np.array([1 - (ious or {}).get(int(frame), 1.0) for frame in frames]),
    }
    severities = np.where(prompted, 0.0, np.stack(list(by_kind.values())))
    kinds = list(by_kind)
    return [
        WorstMoment(
            video_id=track[0],
            object_id=track[1],
            frame_index=int(frames[place]),
            kind=kinds[int(severities[:, place].argmax())],
            severity=round(float(severities[:, place].max()), 6),
        )
        for place in sorted(_peaks(frames, severities.max(axis=0, initial=0.0)))
    ]


def moments_of_video(
    output: str, video_id: str, other: str | None = None, objects: list[str] | None = None, limit: int | None = None
) -> list[WorstMoment]:
    """The ``limit`` worst moments of one video (None: all), the worst first; arguments as for `worst_moments`."""
    columns = _COLUMNS if other is None else [*_COLUMNS, "segmentation"]
    rows = read_masks(output, [video_id], objects, columns=columns)
    others = None if other is None else _masks(read_masks(other, [video_id], objects, columns=_MASK_COLUMNS))
    found: list[WorstMoment] = []
    for object_id, of_track in rows.groupby("object_id", sort=False):
        ious = None if others is None else _ious(of_track, others.get(str(object_id), {}))
        found += moments_of_track((video_id, str(object_id)), of_track.sort_values("frame_index"), ious)
    return worst_of(found, limit)


def _masks(rows: pd.DataFrame) -> dict[str, dict[int, Rle | None]]:
    masks: dict[str, dict[int, Rle | None]] = {}
    for object_id, frame, mask in rows[_MASK_COLUMNS].itertuples(index=False, name=None):
        masks.setdefault(object_id, {})[frame] = rle_from_coco(mask) if isinstance(mask, Mapping) else None
    return masks


def _ious(rows: pd.DataFrame, others: Mapping[int, Rle | None]) -> dict[int, float]:
    """The IoU of each frame that both results have."""
    ((_, ours),) = _masks(rows).items()
    return {frame: rle_iou(mask, others[frame]) for frame, mask in ours.items() if frame in others}


def _lost(present: Values) -> Values:
    """The severity on each first frame without the object, after one with it."""
    severities = np.zeros(len(present))
    for place in np.flatnonzero(present[:-1] & ~present[1:]) + 1:
        severities[place] = 0.5 + 0.5 * float(np.mean(~present[place:]))
    return severities


def _drops(values: Values) -> Values:
    """How far each value is below the median of the `MEDIAN_FRAMES` before it; 0 where it is not, or is missing."""
    before = pd.Series(values).rolling(MEDIAN_FRAMES, min_periods=1).median().shift(1).to_numpy()
    return np.asarray(np.nan_to_num(np.clip(before - values, 0.0, 1.0), nan=0.0))


def _peaks(frames: Values, severities: Values) -> Iterator[int]:
    """Positions of the worst frames, none within `MIN_GAP_FRAMES` of a worse one."""
    taken: list[int] = []
    for place in np.argsort(-severities, kind="stable").tolist():
        if severities[place] < MIN_SEVERITY:
            break
        if all(abs(int(frames[place]) - frame) > MIN_GAP_FRAMES for frame in taken):
            taken.append(int(frames[place]))
            yield place
