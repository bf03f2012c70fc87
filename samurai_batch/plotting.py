"""Plots as SVG text: curves, bars, intervals and bands on axes.

Own code, not matplotlib: the report holds its plots inline and has to work in every installation, and what is drawn
here is a few kinds of SVG elements. `xml.etree` escapes every text and attribute.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH_PX, HEIGHT_PX = 480, 360
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 60, 20, 36, 52
LEGEND_PX, LEGEND_LINE_PX = 210, 18
NUM_TICKS = 5
# Curves and marks differ by dashes and shapes as well, so that they can be told apart without colour.
COLOURS = ("#0b5fa5", "#b3470b", "#1d7a3a", "#7a2a8c")
DASHES = ("", "8 4", "2 3", "10 3 2 3")
SHAPES = ("●", "▲", "■", "◆", "✚")
_SHAPE_STYLE: dict[str, Any] = {"text_anchor": "middle", "fill": "#444444", "font_size": 12}
BAR_PX, BAR_LABEL_PX, BAR_NUMBER_PX, BAR_LINE_PX, BAR_TOP_PX = 420, 270, 110, 24, 56
INTERVAL_LINE_PX, INTERVAL_GAP_PX, LETTER_PX = 34, 40, 7.5


class Drawing:
    """An SVG document. Keyword arguments are attributes: ``font_size`` is ``font-size``, ``class_`` is ``class``."""

    def __init__(self, width_px: float, height_px: float, **attributes: Any) -> None:
        size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width_px} {height_px}"}
        self._root = ET.Element("svg", size | _named(attributes))

    def add(
        self, tag: str, text: str | None = None, *, parent: ET.Element | None = None, **attributes: Any
    ) -> ET.Element:
        """Append an element, to the document or to ``parent``."""
        element = ET.SubElement(self._root if parent is None else parent, tag, _named(attributes))
        element.text = text
        return element

    def svg(self) -> str:
        """The document, as it stands in a file or inside HTML."""
        return ET.tostring(self._root, encoding="unicode")


@dataclass(frozen=True)
class Axes:
    """A rectangle of a drawing, in px, with a linear scale in x and in y. Values of y outside of its range are cut."""

    drawing: Drawing
    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """Where a value of x is, in px of the drawing."""
        return self.left + (value - self.x_range[0]) / max(self.x_range[1] - self.x_range[0], 1e-12) * self.width

    def y(self, value: float) -> float:
        """Where a value of y is, in px of the drawing."""
        share = (value - self.y_range[0]) / max(self.y_range[1] - self.y_range[0], 1e-12)
        return self.top + (1 - min(max(share, 0.0), 1.0)) * self.height

    def line(self, xs: ArrayLike, ys: ArrayLike, **attributes: Any) -> None:
        """A line through the points (``xs``, ``ys``), both (n,)."""
        points = zip(np.asarray(xs).tolist(), np.asarray(ys).tolist(), strict=True)
        text = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.drawing.add("polyline", points=text, **({"fill": "none"} | attributes))

    def band(self, start: float, end: float, **attributes: Any) -> None:
        """A filled rectangle from ``start`` to ``end`` on x, over the whole height and at least 1 px wide."""
        width = max(self.x(end) - self.x(start), 1.0)
        self.drawing.add("rect", x=self.x(start), y=self.top, width=width, height=self.height, **attributes)

    def grid(self, num_ticks: int) -> None:
        """Grid lines at ``num_ticks`` + 1 values of each axis, with the values beside them."""
        bottom, right = self.top + self.height, self.left + self.width
        for x in np.linspace(*self.x_range, num_ticks + 1).tolist():
            self.drawing.add("path", d=f"M{self.x(x):.1f} {bottom}V{self.top}", stroke="#d5d5d5")
            self.drawing.add("text", f"{x:.3g}", x=self.x(x), y=bottom + 18, text_anchor="middle")
        for y in np.linspace(*self.y_range, num_ticks + 1).tolist():
            self.drawing.add("path", d=f"M{self.left} {self.y(y):.1f}H{right}", stroke="#d5d5d5")
            self.drawing.add("text", f"{y:.3g}", x=self.left - 8, y=self.y(y) + 4, text_anchor="end")


@dataclass(frozen=True, eq=False)
class Curve:
    """A line through points: ``x`` and ``y`` (n,), y from 0 to 1."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """Single points (x, y) to compare the curves with. Without points, only the legend has the label."""

    label: str
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Band:
    """A part of the x axis, with a name."""

    label: str
    start: float
    end: float


def curve_plot(
    title: str,
    x_label: str,
    y_label: str,
    curves: Sequence[Curve],
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
) -> str:
    """Curves on common axes, with marks, and with every second band in grey, as an SVG document.

    The legend is in a lower corner: on the left if the first curve falls, otherwise on the right.
    """
    assert curves
    drawing = Drawing(WIDTH_PX, HEIGHT_PX, role="img", font_family="sans-serif", font_size=13)
    ends = [f"{curve.label}: from {curve.y[0]:.3f} to {curve.y[-1]:.3f}" for curve in curves]
    drawing.add("title", title)
    drawing.add("desc", "; ".join([*ends, *(mark.label for mark in marks)]))
    drawing.add("rect", width=WIDTH_PX, height=HEIGHT_PX, fill="#ffffff")
    drawing.add("text", title, x=WIDTH_PX / 2, y=22, text_anchor="middle", font_weight="bold")
    xs = np.concatenate([*(curve.x for curve in curves), *([band.start, band.end] for band in bands)])
    x_range = float(xs.min()), float(xs.max())
    width, height = WIDTH_PX - LEFT_PX - RIGHT_PX, HEIGHT_PX - TOP_PX - BOTTOM_PX
    axes = Axes(drawing, LEFT_PX, TOP_PX, width, height, x_range)
    for number, band in enumerate(bands):
        axes.band(band.start, band.end, fill="#f0f0f0" if number % 2 else "#ffffff")
    axes.grid(NUM_TICKS)
    for number, band in enumerate(bands):  # on three lines by turns, for a name may be longer than its band
        is_last = axes.x(band.start) > WIDTH_PX - 100
        x, anchor = (axes.x(band.end) - 3, "end") if is_last else (axes.x(band.start) + 3, "start")
        drawing.add(
            "text", band.label, x=x, y=TOP_PX + 13 + 13 * (number % 3), text_anchor=anchor, fill="#5a5a5a", font_size=11
        )
    drawing.add("text", x_label, x=LEFT_PX + width / 2, y=HEIGHT_PX - 12, text_anchor="middle")
    drawing.add("text", y_label, x=-HEIGHT_PX / 2, y=16, text_anchor="middle", transform="rotate(-90)")
    for number, curve in enumerate(curves):
        axes.line(curve.x, curve.y, **_line_style(number))
    for number, mark in enumerate(marks):
        for x, y in mark.points:
            drawing.add("text", SHAPES[number % len(SHAPES)], x=axes.x(x), y=axes.y(y) + 4, **_SHAPE_STYLE)
    falls = curves[0].y[0] > curves[0].y[-1]
    _add_legend(drawing, curves, marks, LEFT_PX + 12 if falls else WIDTH_PX - RIGHT_PX - LEGEND_PX)
    return drawing.svg()


def _line_style(number: int) -> dict[str, Any]:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    return {"stroke": colour, "stroke_width": 2.5, "stroke_dasharray": dash}


def _add_legend(drawing: Drawing, curves: Sequence[Curve], marks: Sequence[Mark], left: float) -> None:
    height = LEGEND_LINE_PX * (len(curves) + len(marks))
    top = HEIGHT_PX - BOTTOM_PX - 12 - height + LEGEND_LINE_PX
    drawing.add("rect", x=left, y=top - 14, width=LEGEND_PX, height=height, fill="#ffffff")
    for line, label in enumerate([*(curve.label for curve in curves), *(mark.label for mark in marks)]):
        drawing.add("text", label, x=left + 36, y=top + LEGEND_LINE_PX * line)
    for number in range(len(curves)):
        drawing.add("path", d=f"M{left} {top + LEGEND_LINE_PX * number - 4}h28", **_line_style(number))
    for number, mark in enumerate(marks):
        if mark.points:
            y = top + LEGEND_LINE_PX * (len(curves) + number)
            drawing.add("text", SHAPES[number % len(SHAPES)], x=left + 14, y=y, **_SHAPE_STYLE)


def bar_plot(title: str, subtitle: str, bars: Iterable[tuple[str, float, str]]) -> str:
    """Horizontal bars from 0, each a label, a value and a colour, as an SVG document."""
    bars = list(bars)
    longest = max(value for _, value, _ in bars)
    width, height = BAR_LABEL_PX + BAR_PX + BAR_NUMBER_PX, BAR_TOP_PX + BAR_LINE_PX * len(bars) + 12
    drawing = Drawing(width, height, role="img", font_family="sans-serif", font_size=13)
    drawing.add("rect", width=width, height=height, fill="#ffffff")
    drawing.add("text", title, x=12, y=22, font_weight="bold")
    drawing.add("text", subtitle, x=12, y=42)
    for number, (label, value, colour) in enumerate(bars):
        y = BAR_TOP_PX + BAR_LINE_PX * number
        axes = Axes(drawing, BAR_LABEL_PX, y + 3, BAR_PX, BAR_LINE_PX - 7, (0.0, longest))
        axes.band(0.0, value, fill=colour)
        drawing.add("text", label, x=BAR_LABEL_PX - 10, y=y + 16, text_anchor="end")
        drawing.add("text", f"{value:.2f}", x=axes.x(value) + 8, y=y + 16)
    return drawing.svg()


@dataclass(frozen=True, eq=False)
class Interval:
    """A mean with the interval ``low`` to ``high``, NaN if there is none, and the ``values`` (n,) it is of."""

    label: str
    mean: float
    low: float
    high: float
    values: NDArray[np.float64]


def interval_plot(title: str, subtitle: str, panels: Sequence[Sequence[Interval]]) -> str:
    """Panels, one below the other, of horizontal intervals on an axis of their own, as an SVG document.

    Where an axis has a 0 within, a line marks it.
    """
    assert panels
    heights = [INTERVAL_LINE_PX * len(rows) for rows in panels]
    longest = max(len(row.label) for rows in panels for row in rows)
    left = max(BAR_LABEL_PX, LETTER_PX * longest + 24)
    width = left + BAR_PX + BAR_NUMBER_PX
    height = BAR_TOP_PX + sum(heights) + INTERVAL_GAP_PX * len(panels)
    drawing = Drawing(width, height, role="img", font_family="sans-serif", font_size=13)
    drawing.add("title", title)
    drawing.add("desc", "; ".join(_interval_text(row) for rows in panels for row in rows))
    drawing.add("rect", width=width, height=height, fill="#ffffff")
    drawing.add("text", title, x=12, y=22, font_weight="bold")
    drawing.add("text", subtitle, x=12, y=42, font_size=12)
    top = float(BAR_TOP_PX)
    for rows, panel_height in zip(panels, heights, strict=True):
        if rows:
            axes = Axes(drawing, left, top, BAR_PX, panel_height, _range_of(rows), (0.0, float(len(rows))))
            _add_intervals(axes, rows)
        top += panel_height + INTERVAL_GAP_PX
    return drawing.svg()


def _range_of(rows: Sequence[Interval]) -> tuple[float, float]:
    """From the lowest to the highest value or end of an interval, and some room."""
    ends = np.concatenate([[row.mean, row.low, row.high, *row.values] for row in rows])
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = 0.05 * (high - low) or 0.05
    return low - room, high + room


def _add_intervals(axes: Axes, rows: Sequence[Interval]) -> None:
    drawing, bottom = axes.drawing, axes.top + axes.height
    for x in np.linspace(*axes.x_range, NUM_TICKS + 1).tolist():
        drawing.add("path", d=f"M{axes.x(x):.1f} {bottom}V{axes.top}", stroke="#d5d5d5")
        drawing.add("text", f"{x:.3f}", x=axes.x(x), y=bottom + 16, text_anchor="middle", font_size=11)
    if axes.x_range[0] < 0 < axes.x_range[1]:
        drawing.add("path", d=f"M{axes.x(0):.1f} {bottom}V{axes.top}", stroke="#444444", stroke_dasharray=DASHES[1])
    for number, row in enumerate(rows):
        y, colour = axes.top + INTERVAL_LINE_PX * (number + 0.5), COLOURS[number % len(COLOURS)]
        for value in row.values.tolist():
            drawing.add("circle", cx=axes.x(value), cy=y + 8, r=2.5, fill=colour, fill_opacity="0.35")
        if np.isfinite(row.low) and np.isfinite(row.high):
            ends = f"M{axes.x(row.low):.1f} {y - 5}v8m0 -4H{axes.x(row.high):.1f}m0 -4v8"
            drawing.add("path", d=ends, stroke=colour, stroke_width=2, fill="none")
        drawing.add("circle", cx=axes.x(row.mean), cy=y - 1, r=5, fill=colour)
        drawing.add("text", row.label, x=axes.left - 10, y=y + 4, text_anchor="end")
        drawing.add("text", f"{row.mean:.3f}", x=axes.left + axes.width + 12, y=y + 4)


def _interval_text(row: Interval) -> str:
    return f"{row.label}: {row.mean:.3f}, from {row.low:.3f} to {row.high:.3f}"


def _named(attributes: dict[str, Any]) -> dict[str, str]:
    return {
        name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else f"{round(value, 1):g}"
        for name, value in attributes.items()
    }
