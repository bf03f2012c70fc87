"""Curves as SVG text: no plotting library, no outside resource, readable without colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 480, 360
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 60, 20, 36, 52
COLOURS = ("#0b5fa5", "#b3470b", "#1d7a3a", "#7a2a8c")
DASHES = ("", "8 4", "2 3", "10 3 2 3")
NUM_TICKS = 5


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of one line: ``x`` and ``y`` (n,), y from 0 to 1."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def curve_plot(title: str, x_label: str, y_label: str, curves: Sequence[Curve]) -> str:
    """One picture of curves over a common range, as an SVG document."""
    assert curves
    x_range = (min(float(curve.x.min()) for curve in curves), max(float(curve.x.max()) for curve in curves))
    labels = "; ".join(f"{curve.label}: from {curve.y[0]:.3f} to {curve.y[-1]:.3f}" for curve in curves)
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
        *(part for number, curve in enumerate(curves) for part in _line(number, curve, x_range)),
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


def _line(number: int, curve: Curve, x_range: tuple[float, float]) -> list[str]:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    places = [_place(x, y, x_range) for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    style = f'stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'
    y = TOP_PX + 16 + 18 * number
    right = LEFT_PX + _plot_width()
    return [
        f'<polyline points="{points}" fill="none" {style}/>',
        f'<path d="M{right - 150} {y - 4}h28" {style}/>',
        _text(right - 116, y, curve.label, ""),
    ]


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'
