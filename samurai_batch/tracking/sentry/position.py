"""Where the object is expected: a Kalman filter over the centre of its box, in pixels of the video. Needs no torch.

Source: SENTRY's candidates/kalman.py. The state is position and velocity, which are rounded to whole numbers after each
measured centre; an acceleration of 1 in both axes is assumed throughout. If the filter leaves the frame, the position
before that is held until a centre is measured. Its noise in the process is that of a random acceleration.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as checked

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerSettings

Point = tuple[float, float]
Row = tuple[float, float, float, float]

_MEASURED = np.eye(2, 4)  # the centre, of centre and velocity


@checked(frozen=True, kw_only=True)
class Position:
    """x, y and their velocities, their covariance (4 × 4), and the position that is held outside the frame."""

    mean: Row = (0.0, 0.0, 0.0, 0.0)
    covariance: tuple[Row, Row, Row, Row] = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    held: Point | None = None


def predict(position: Position, height: int, width: int, settings: "TrackerSettings") -> tuple[Point, Position]:
    """The centre that is expected on the next frame, and the filter there."""
    if position.held is not None:
        return position.held, position
    step = settings.sentry_kalman_step_s
    by_acceleration = np.array([step**2 / 2, step**2 / 2, step, step])
    motion = np.eye(4) + step * np.eye(4, k=2)
    noise = np.outer(by_acceleration, by_acceleration) * (np.eye(4) + np.eye(4, k=2) + np.eye(4, k=-2))
    mean = motion @ np.array(position.mean) + by_acceleration
    covariance = motion @ np.array(position.covariance) @ motion.T + noise
    x, y = float(mean[0]), float(mean[1])
    if 0 < x <= width and 0 < y <= height:
        return (x, y), _position(mean, covariance)
    before = position.mean[:2]
    return before, _position(mean, covariance, before)


def update(position: Position, centre: Point, settings: "TrackerSettings") -> Position:
    """The filter after a measured centre."""
    mean, covariance = np.array(position.mean), np.array(position.covariance)
    noise = settings.sentry_kalman_deviation_px**2 * np.eye(2)
    gain = np.linalg.solve(covariance[:2, :2] + noise, covariance[:2]).T
    mean = np.round(mean + gain @ (np.array(centre) - mean[:2]))
    return _position(mean, (np.eye(4) - gain @ _MEASURED) @ covariance)


def _position(mean: NDArray[np.float64], covariance: NDArray[np.float64], held: Point | None = None) -> Position:
    rows = [tuple(row) for row in covariance.tolist()]
    return Position(mean=tuple(mean.tolist()), covariance=tuple(rows), held=held)  # type: ignore[arg-type]
