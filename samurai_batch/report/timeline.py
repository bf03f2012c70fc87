"""A track's scores, area and presence over time, as SVG that can be read without colour."""

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.redaction import redact
from samurai_batch.report.moments import Moment

WIDTH, LEFT, SCORES_TOP, SCORES_HEIGHT, AREA_TOP, AREA_HEIGHT, BAR_TOP = 720, 66, 22, 90, 128, 44, 186
HEIGHT = 216
MAX_POINTS = 180

CURVES = (
    ("mask_score", "mask score", "#0b5fa5", ""),
    ("object_score", "object present", "#9c3d00", "6 3"),
    ("motion_score", "motion score", "#1d6b36", "2 2"),
)


def timeline(rows: pd.DataFrame, moments: Sequence[Moment], anchor: str, name: str) -> str:
    """One picture for one track (rows by frame); its moments are numbered links to ``#<anchor>-<number>``.

    The object-present logit is drawn as a probability. Long tracks are drawn by the mean of neighbouring frames.
    """
    frames = rows["frame_index"].to_numpy(np.float64)
    span = float(frames[0]), float(max(frames[-1], frames[0] + 1))
    areas = rows["area"].to_numpy(np.float64)
    largest = max(float(areas.max()), 1.0)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(redact(_summary(rows, name)))}">',
        *_axes(span, largest),
        *(part for number, curve in enumerate(CURVES) for part in _score_curve(number, rows, span, *curve)),
        f'<polyline class="area" points="{_points(frames, areas / largest, span, AREA_TOP, AREA_HEIGHT)}"/>',
        *_presence(frames, areas > 0, span),
        *(_mark(number, moment, span, anchor) for number, moment in enumerate(moments, start=1)),
        "</svg>",
    ]
    return "".join(parts)


def _summary(rows: pd.DataFrame, name: str) -> str:
    present = int((rows["area"] > 0).sum())
    mean = float(rows["mask_score"].mean())
    return f"{name}: present on {present} of {len(rows)} frames, mean mask score {mean:.2f}"


def _axes(span: tuple[float, float], largest: float) -> list[str]:
    bottom = SCORES_TOP + SCORES_HEIGHT
    parts = [f'<path class="grid" d="M{LEFT} {SCORES_TOP}H{WIDTH - 8}M{LEFT} {bottom}H{WIDTH - 8}"/>']
    labels = ((SCORES_TOP, "1"), (bottom, "0"), (AREA_TOP + 4, f"{largest:.0f} px"), (AREA_TOP + AREA_HEIGHT, "area 0"))
    parts += [f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>' for y, text in labels]
    parts.append(f'<text x="{LEFT - 6}" y="{BAR_TOP + 10}" text-anchor="end">present</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 4}">frame {span[0]:.0f}</text>')
    return [*parts, f'<text x="{WIDTH - 8}" y="{HEIGHT - 4}" text-anchor="end">frame {span[1]:.0f}</text>']


def _score_curve(
    number: int, rows: pd.DataFrame, span: tuple[float, float], column: str, label: str, colour: str, dash: str
) -> list[str]:
    values = rows[column].to_numpy(np.float64, na_value=np.nan)
    if column == "object_score":
        values = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    style = f'stroke="{colour}" stroke-dasharray="{dash}"'
    known = np.isfinite(values)
    frames = rows["frame_index"].to_numpy(np.float64)[known]
    points = _points(frames, values[known], span, SCORES_TOP, SCORES_HEIGHT)
    x = LEFT + 150 * number
    key = f'<path class="curve" {style} d="M{x} 9h26"/><text x="{x + 32}" y="13">{label}</text>'
    return [key, f'<polyline class="curve" {style} points="{points}"/>']


def _points(
    frames: NDArray[np.float64], values: NDArray[np.float64], span: tuple[float, float], top: float, height: float
) -> str:
    pieces = max(min(len(frames), MAX_POINTS), 1)
    xs = [part.mean() for part in np.array_split(frames, pieces) if len(part)]
    ys = [part.mean() for part in np.array_split(values, pieces) if len(part)]
    places = ((_x(x, span), top + (1 - min(max(y, 0.0), 1.0)) * height) for x, y in zip(xs, ys, strict=True))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _presence(frames: NDArray[np.float64], present: NDArray[np.bool_], span: tuple[float, float]) -> list[str]:
    """A filled bar where the object is present, a thin line where it is absent."""
    parts = [f'<path class="absent" d="M{LEFT} {BAR_TOP + 6}H{WIDTH - 8}"/>']
    changes = np.flatnonzero(np.diff(present.astype(np.int8))) + 1
    for members in np.split(np.arange(len(present)), changes):
        if present[members[0]]:
            start, end = _x(frames[members[0]], span), _x(min(frames[members[-1]] + 1, span[1]), span)
            width = max(end - start, 1)
            parts.append(f'<rect class="present" x="{start:.1f}" y="{BAR_TOP}" width="{width:.1f}" height="12"/>')
    return parts


def _mark(number: int, moment: Moment, span: tuple[float, float], anchor: str) -> str:
    x = _x(moment.frame_index, span)
    return (
        f'<a href="#{anchor}-{number}" aria-label="{escape(moment.text)}"><path class="mark" '
        f'd="M{x:.1f} {SCORES_TOP}V{BAR_TOP + 12}"/><circle cx="{x:.1f}" cy="{SCORES_TOP + 46}" r="9"/>'
        f'<text class="number" x="{x:.1f}" y="{SCORES_TOP + 50}" text-anchor="middle">{number}</text></a>'
    )


def _x(frame: float, span: tuple[float, float]) -> float:
    return LEFT + (frame - span[0]) / (span[1] - span[0]) * (WIDTH - 8 - LEFT)
