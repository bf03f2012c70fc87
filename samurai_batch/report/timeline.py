"""A track's scores, area and presence over its frames, as SVG that can be read without colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.evaluation.moments import Moment
from samurai_batch.plotting import Axes, Drawing
from samurai_batch.redaction import redact

WIDTH, HEIGHT, LEFT, RIGHT = 720, 216, 66, 708
SCORES_TOP, SCORES_HEIGHT, AREA_TOP, AREA_HEIGHT, BAR_TOP, BAR_HEIGHT = 22, 90, 128, 44, 186, 12
MAX_POINTS = 180

CURVES = (
    ("mask_score", "mask score", "#0b5fa5", ""),
    ("object_score", "object present", "#9c3d00", "6 3"),
    ("motion_score", "motion score", "#1d6b36", "2 2"),
)


def timeline(rows: pd.DataFrame, moments: Sequence[Moment], anchor: str, name: str) -> str:
    """The timeline of one track, as SVG. Its moments are numbered links to ``#<anchor>-<number>``.

    ``rows`` are the track's, by frame. The object-present logit is drawn as a probability. For tracks of more than
    `MAX_POINTS` frames, each point is the mean over neighbouring frames.
    """
    frames = rows["frame_index"].to_numpy(np.float64)
    span = float(frames[0]), float(max(frames[-1], frames[0] + 1))
    areas = rows["area"].to_numpy(np.float64)
    largest = max(float(areas.max()), 1.0)
    drawing = Drawing(WIDTH, HEIGHT, role="group", aria_label=redact(_summary(rows, name)))
    scores = Axes(drawing, LEFT, SCORES_TOP, RIGHT - LEFT, SCORES_HEIGHT, span)
    area = Axes(drawing, LEFT, AREA_TOP, RIGHT - LEFT, AREA_HEIGHT, span, (0.0, largest))
    presence = Axes(drawing, LEFT, BAR_TOP, RIGHT - LEFT, BAR_HEIGHT, span)
    _add_labels(drawing, span, largest)
    for number, (column, label, colour, dash) in enumerate(CURVES):
        values = _scores(rows, column)
        style: dict[str, Any] = {"class_": "curve", "stroke": colour, "stroke_dasharray": dash}
        drawing.add("path", d=f"M{LEFT + 150 * number} 9h26", **style)
        drawing.add("text", label, x=LEFT + 150 * number + 32, y=13)
        scores.line(_means(frames[np.isfinite(values)]), _means(values[np.isfinite(values)]), **style)
    area.line(_means(frames), _means(areas), class_="area")
    _add_presence(presence, frames, areas > 0)
    for number, moment in enumerate(moments, start=1):
        _add_moment(scores, number, moment, anchor)
    return drawing.svg()


def _summary(rows: pd.DataFrame, name: str) -> str:
    present = int((rows["area"] > 0).sum())
    mean = float(rows["mask_score"].mean())
    return f"{name}: present on {present} of {len(rows)} frames, mean mask score {mean:.2f}"


def _scores(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    values = rows[column].to_numpy(np.float64, na_value=np.nan)
    return 1 / (1 + np.exp(-np.clip(values, -60, 60))) if column == "object_score" else values


def _means(values: NDArray[np.float64]) -> list[float]:
    """Means over at most `MAX_POINTS` runs of neighbouring values."""
    pieces = max(min(len(values), MAX_POINTS), 1)
    return [float(part.mean()) for part in np.array_split(values, pieces) if len(part)]


def _add_labels(drawing: Drawing, span: tuple[float, float], largest: float) -> None:
    bottom = SCORES_TOP + SCORES_HEIGHT
    drawing.add("path", class_="grid", d=f"M{LEFT} {SCORES_TOP}H{RIGHT}M{LEFT} {bottom}H{RIGHT}")
    area_labels = (AREA_TOP + 4, f"{largest:.0f} px"), (AREA_TOP + AREA_HEIGHT, "area 0")
    for y, text in ((SCORES_TOP, "1"), (bottom, "0"), *area_labels, (BAR_TOP + 6, "present")):
        drawing.add("text", text, x=LEFT - 6, y=y + 4, text_anchor="end")
    drawing.add("text", f"frame {span[0]:.0f}", x=LEFT, y=HEIGHT - 4)
    drawing.add("text", f"frame {span[1]:.0f}", x=RIGHT, y=HEIGHT - 4, text_anchor="end")


def _add_presence(axes: Axes, frames: NDArray[np.float64], present: NDArray[np.bool_]) -> None:
    """A filled bar where the object is present, a thin line where it is absent."""
    axes.drawing.add("path", class_="absent", d=f"M{LEFT} {BAR_TOP + BAR_HEIGHT / 2}H{RIGHT}")
    changes = np.flatnonzero(np.diff(present.astype(np.int8))) + 1
    for run in np.split(np.arange(len(present)), changes):
        if present[run[0]]:
            axes.band(frames[run[0]], min(frames[run[-1]] + 1, axes.x_range[1]), class_="present")


def _add_moment(axes: Axes, number: int, moment: Moment, anchor: str) -> None:
    x, drawing = axes.x(moment.frame_index), axes.drawing
    link = drawing.add("a", href=f"#{anchor}-{number}", aria_label=moment.text)
    drawing.add("path", parent=link, class_="mark", d=f"M{x:.1f} {SCORES_TOP}V{BAR_TOP + BAR_HEIGHT}")
    drawing.add("circle", parent=link, cx=x, cy=SCORES_TOP + 46, r=9)
    drawing.add("text", str(number), parent=link, class_="number", x=x, y=SCORES_TOP + 50, text_anchor="middle")
