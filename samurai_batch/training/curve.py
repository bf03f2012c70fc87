"""The training curve as a picture; its numbers stand in the state's progress.json."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from samurai_batch.training.state import Point

_WIDTH, _HEIGHT, _MARGIN = 900, 420, 50
_COLOURS = {
    "box_iou": (20, 90, 200),
    "tracked_iou": (210, 60, 30),
    "click_iou": (60, 160, 70),
    "last_iou": (150, 90, 170),
}
_SMOOTHING = 0.9


def draw_curve(points: Sequence[Point], path: Path) -> None:
    """Write a PNG of the IoUs (0 to 1, smoothed) over hours of training; stages are told apart by grey bands."""
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    hours = max(points[-1].elapsed_s, 1) / 3600
    _draw_stages(draw, points, hours)
    for tenth in range(0, 11, 2):
        level = _place(0, tenth / 10, hours)[1]
        draw.line([(_MARGIN, level), (_WIDTH - _MARGIN, level)], fill=(220, 220, 220))
        draw.text((10, level - 6), f"{tenth / 10:.1f}", fill="black")
    for row, (name, colour) in enumerate(_COLOURS.items()):
        line = _smoothed([(point.elapsed_s / 3600, point.means[name]) for point in points if name in point.means])
        if len(line) > 1:
            draw.line([_place(hour, value, hours) for hour, value in line], fill=colour, width=2)
        draw.text((_MARGIN + 10, _MARGIN + 14 * row), name.replace("_", " "), fill=colour)
    draw.text((_WIDTH // 2 - 60, _HEIGHT - 20), f"hours of training (of {hours:.1f})", fill="black")
    picture.save(path)


def _place(hour: float, value: float, hours: float) -> tuple[float, float]:
    x = _MARGIN + hour / hours * (_WIDTH - 2 * _MARGIN)
    return x, _HEIGHT - _MARGIN - value * (_HEIGHT - 2 * _MARGIN)


def _draw_stages(draw: ImageDraw.ImageDraw, points: Sequence[Point], hours: float) -> None:
    begin, shaded = 0.0, False
    for before, after in zip(points, [*points[1:], None], strict=True):
        if after is None or after.stage != before.stage:
            end = before.elapsed_s / 3600
            left, right = _place(begin, 1, hours), _place(end, 0, hours)
            if shaded:
                draw.rectangle([left, right], fill=(243, 243, 243))
            # On two lines by turns: the name of a short stage is longer than its band.
            draw.text((left[0] + 3, _HEIGHT - _MARGIN + (17 if shaded else 5)), before.stage, fill=(90, 90, 90))
            begin, shaded = end, not shaded


def _smoothed(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    smooth: list[tuple[float, float]] = []
    for hour, value in line:
        smooth.append((hour, value if not smooth else _SMOOTHING * smooth[-1][1] + (1 - _SMOOTHING) * value))
    return smooth
