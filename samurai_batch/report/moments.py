"""The moments of a track that a person should check: a pure function of its rows."""

from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LOW_SCORE = 0.5
JUMP_RATIO = 2.0

Values = NDArray[Any]
Kind = Literal["lost", "found again", "low score", "jump in area"]


@dataclass(frozen=True)
class Moment:
    """One frame to check: what happened there, and the same in words for the page."""

    kind: Kind
    frame_index: int
    text: str


def find_moments(rows: pd.DataFrame, limit: int) -> list[Moment]:
    """At most ``limit`` moments of one track, by frame. The most severe of each kind are kept first.

    ``rows`` are one track's, by frame, with ``frame_index``, ``area`` and ``mask_score``.
    """
    frames, areas = rows["frame_index"].to_numpy(), rows["area"].to_numpy(np.float64)
    by_kind = [
        _lost(frames, areas),
        _jumps(frames, areas),
        _low_scores(frames, areas, rows["mask_score"].to_numpy(np.float64)),
        _found(frames, areas),
    ]
    by_severity = [[moment for _, moment in sorted(found, key=lambda one: -one[0])] for found in by_kind]
    in_turn = [moment for rank in zip_longest(*by_severity) for moment in rank if moment is not None]
    return sorted(in_turn[:limit], key=lambda moment: moment.frame_index)


Found = list[tuple[float, Moment]]  # severity, moment


def _lost(frames: Values, areas: Values) -> Found:
    found: Found = []
    for start, stop in _runs(areas == 0):
        if start > 0:
            gone = f"absent for {stop - start} frame(s)" if stop < len(areas) else "absent to the end"
            found.append((stop - start, Moment("lost", int(frames[start]), f"lost on frame {frames[start]}, {gone}")))
    return found


def _found(frames: Values, areas: Values) -> Found:
    return [
        (stop - start, Moment("found again", int(frames[stop]), f"found again on frame {frames[stop]}"))
        for start, stop in _runs(areas == 0)
        if start > 0 and stop < len(areas)
    ]


def _low_scores(frames: Values, areas: Values, scores: Values) -> Found:
    """The frame with the lowest score of each run of frames with low mask scores."""
    found: Found = []
    for start, stop in _runs((scores < LOW_SCORE) & (areas > 0)):
        lowest = start + int(np.argmin(scores[start:stop]))
        text = f"mask score down to {scores[lowest]:.2f} on frame {frames[lowest]}"
        found.append((1 - float(scores[lowest]), Moment("low score", int(frames[lowest]), text)))
    return found


def _jumps(frames: Values, areas: Values) -> Found:
    """Frames on which the area at least doubles or halves compared with the frame before."""
    found: Found = []
    for place in np.flatnonzero((areas[1:] > 0) & (areas[:-1] > 0)) + 1:
        ratio = areas[place] / areas[place - 1]
        if max(ratio, 1 / ratio) >= JUMP_RATIO:
            text = f"area {areas[place - 1]:.0f} to {areas[place]:.0f} pixels on frame {frames[place]}"
            found.append((abs(float(np.log(ratio))), Moment("jump in area", int(frames[place]), text)))
    return found


def _runs(flags: Values) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each run of True."""
    found, place = [], 0
    for value, members in groupby(flags.tolist()):
        length = sum(1 for _ in members)
        if value:
            found.append((place, place + length))
        place += length
    return found
