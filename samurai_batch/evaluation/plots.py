"""Curves as SVG text: no plotting library, no outside resource, readable without colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain

import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 480, 360
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 60, 20, 36, 52
COLOURS = ("#0b5fa5", "#b3470b", "#1d7a3a", "#7a2a8c")
DASHES = ("", "8 4", "2 3", "10 3 2 3")
SHAPES = ("●", "▲", "■", "◆", "✚")
NUM_TICKS = 5
MARK_STYLE = 'text-anchor="middle" fill="#444444" font-size="12"'
LEGEND_PX, LEGEND_LINE_PX = 210, 18


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of one line: ``x`` and ``y`` (n,), y from 0 to 1."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """What is known of somebody else's curve: single points (x, y), or no more than the label."""

    label: str
    points: tuple[tuple[float, float], ...] = ()


def curve_plot(title: str, x_label: str, y_label: str, curves: Sequence[Curve], marks: Sequence[Mark] = ()) -> str:
    """One picture of curves over a common range, with marks of others, as an SVG document.

    The legend stands in a lower corner, where curves of shares are seldom: on the left if they fall.
    """
    assert curves
    x_range = (min(float(curve.x.min()) for curve in curves), max(float(curve.x.max()) for curve in curves))
    labels = "; ".join(
        [f"{curve.label}: from {curve.y[0]:.3f} to {curve.y[-1]:.3f}" for curve in curves]
        + [one.label for one in marks]
    )
    falls = curves[0].y[0] > curves[0].y[-1]
    legend_x = LEFT_PX + 12 if falls else WIDTH_PX - RIGHT_PX - LEGEND_PX
    legend_y = HEIGHT_PX - BOTTOM_PX - 12 - LEGEND_LINE_PX * (len(curves) + len(marks) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title><desc>{escape(labels)}</desc>",
        f'<rect width="{WIDTH_PX}" height="{HEIGHT_PX}" fill="#ffffff"/>',
        _text(WIDTH_PX / 2, 22, title, 'text-anchor="middle" font-weight="bold"'),
        *_grid(x_range),
        _text(LEFT_PX + _plot_width() / 2, HEIGHT_PX - 12, x_label, 'text-anchor="middle"'),
        '<g transform="rotate(-90)">',
        _text(-HEIGHT_PX / 2, 16, y_label, 'text-anchor="middle"'),
        "</g>",
        *(_line(curve, _style(number), x_range) for number, curve in enumerate(curves)),
        *chain.from_iterable(_points(mark, _shape(number), x_range) for number, mark in enumerate(marks)),
        *_legend(curves, marks, legend_x, legend_y),
        "</svg>",
    ]
    return "\n".join(parts)


def _plot_width() -> int:
    return WIDTH_PX - LEFT_PX - RIGHT_PX


def _place(x: float, y: float, x_range: tuple[float, float]) -> tuple[float, float]:
    share = (x - x_range[0]) / max(x_range[1] - x_range[0], 1e-12)
    return LEFT_PX + share * _plot_width(), HEIGHT_PX - BOTTOM_PX - y * (HEIGHT_PX - TOP_PX - BOTTOM_PX)


def _grid(x_range: tuple[float, float]) -> list[str]:
    parts = []
    for tick in np.linspace(0.0, 1.0, NUM_TICKS + 1).tolist():
        value = x_range[0] + tick * (x_range[1] - x_range[0])
        x, bottom = _place(value, 0.0, x_range)
        left, y = _place(x_range[0], tick, x_range)
        right, top = LEFT_PX + _plot_width(), TOP_PX
        parts.append(f'<path d="M{x:.1f} {bottom}V{top}M{left} {y:.1f}H{right}" stroke="#d5d5d5"/>')
        parts.append(_text(x, bottom + 18, f"{value:g}", 'text-anchor="middle"'))
        parts.append(_text(left - 8, y + 4, f"{tick:g}", 'text-anchor="end"'))
    return parts


def _style(number: int) -> str:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    return f'stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'


def _shape(number: int) -> str:
    return SHAPES[number % len(SHAPES)]


def _line(curve: Curve, style: str, x_range: tuple[float, float]) -> str:
    places = [_place(x, y, x_range) for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{points}" fill="none" {style}/>'


def _points(mark: Mark, shape: str, x_range: tuple[float, float]) -> list[str]:
    places = [_place(x, y, x_range) for x, y in mark.points]
    return [_text(x, y + 4, shape, MARK_STYLE) for x, y in places]


def _legend(curves: Sequence[Curve], marks: Sequence[Mark], left: float, top: float) -> list[str]:
    height = LEGEND_LINE_PX * (len(curves) + len(marks))
    parts = [f'<rect x="{left}" y="{top - 14}" width="{LEGEND_PX}" height="{height}" fill="#ffffff"/>']
    for number, curve in enumerate(curves):
        y = top + LEGEND_LINE_PX * number
        parts += [f'<path d="M{left} {y - 4}h28" {_style(number)}/>', _text(left + 36, y, curve.label, "")]
    for number, mark in enumerate(marks):
        y = top + LEGEND_LINE_PX * (len(curves) + number)
        if mark.points:
            parts.append(_text(left + 14, y, _shape(number), MARK_STYLE))
        parts.append(_text(left + 36, y, mark.label, ""))
    return parts


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'
