"""One track as points over time: its path, its speed, and its stays in an area. Pure functions of arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_EPSILON_S = 1e-6  # timestamps are rounded in some containers


@dataclass(frozen=True, eq=False)
class Path:
    """The N rows of a track, by frame.

    ``points_xy`` (N, 2) in pixels is NaN where the object is absent for longer than the gap that is bridged; across a
    shorter one it is on the straight line between both ends. ``present`` (N,) tells rows with a mask. ``is_joined``
    (N - 1,) tells whether the object's way from a row to the next is known. ``duration_s`` (N,) is the time of a row.
    """

    frames: NDArray[np.int64]
    times_s: Floats
    present: Flags
    points_xy: Floats
    is_joined: Flags
    duration_s: Floats

    @property
    def is_known(self) -> Flags:
        """(N,) whether there is a point."""
        return ~np.isnan(self.points_xy[:, 0])

    def step_px(self) -> Floats:
        """(N - 1,) the distance to the next row; NaN where it is not joined."""
        steps = np.diff(self.points_xy, axis=0)
        return np.where(self.is_joined, np.hypot(steps[:, 0], steps[:, 1]), np.nan)


@dataclass(frozen=True)
class Motion:
    """Lengths in pixels and speeds in pixels per second; a speed is None if no two rows are joined in time."""

    path_px: float
    displacement_px: float | None
    mean_speed_px_s: float | None
    max_speed_px_s: float | None


@dataclass(frozen=True)
class Stay:
    """Rows ``first`` to ``last``, included, without a break in an area.

    ``entered`` is False if the stay begins on the track's first row, ``left`` if it ends on its last.
    """

    first: int
    last: int
    entered: bool
    left: bool


def make_path(frames: NDArray[np.int64], times_s: Floats, points_xy: Floats, max_gap_s: float) -> Path:
    """The path of a track whose rows are by frame; points are NaN where the object is absent.

    An absence is bridged if the rows before and after it are at most ``max_gap_s`` apart. Rows of neighbouring frames
    are joined, and others if they are no further apart than that.
    """
    present = ~np.isnan(points_xy[:, 0])
    bridged = points_xy.copy()
    there = np.flatnonzero(present)
    for before, after in zip(there[:-1].tolist(), there[1:].tolist(), strict=True):
        if after - before > 1 and times_s[after] - times_s[before] <= max_gap_s + _EPSILON_S:
            share = _shares(times_s[before : after + 1])[1:-1, None]
            bridged[before + 1 : after] = points_xy[before] * (1 - share) + points_xy[after] * share
    is_known = ~np.isnan(bridged[:, 0])
    is_near = (np.diff(frames) == 1) | (np.diff(times_s) <= max_gap_s + _EPSILON_S)
    is_joined = is_known[:-1] & is_known[1:] & is_near
    return Path(frames, times_s, present, bridged, is_joined, _durations(frames, times_s))


def motion_of(path: Path) -> Motion:
    """The length of the path and its speeds. Nothing is smoothed: the jitter of masks is part of both."""
    steps, seconds = path.step_px()[path.is_joined], np.diff(path.times_s)[path.is_joined]
    points = path.points_xy[path.present]
    is_timed = seconds > 0
    length, duration = float(steps.sum()), float(seconds.sum())
    return Motion(
        path_px=length,
        displacement_px=float(np.hypot(*(points[-1] - points[0]))) if len(points) else None,
        mean_speed_px_s=length / duration if duration > 0 else None,
        max_speed_px_s=float((steps[is_timed] / seconds[is_timed]).max()) if is_timed.any() else None,
    )


def stays_of(path: Path, inside: Flags) -> list[Stay]:
    """The runs of joined rows on which ``inside`` (N,) is True."""
    count = len(inside)
    if not count:
        return []
    goes_on = inside[:-1] & inside[1:] & path.is_joined
    firsts = np.flatnonzero(inside & ~np.concatenate([[False], goes_on]))
    lasts = np.flatnonzero(inside & ~np.concatenate([goes_on, [False]]))
    return [
        Stay(first, last, entered=first > 0, left=last < count - 1)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]


def _shares(times_s: Floats) -> Floats:
    """Where each time is between the first and the last, from 0 to 1."""
    span = times_s[-1] - times_s[0]
    return (times_s - times_s[0]) / span if span > 0 else np.linspace(0, 1, len(times_s))


def _durations(frames: NDArray[np.int64], times_s: Floats) -> Floats:
    """The time from each row to the next frame; of rows whose next frame has no row, the median of the others."""
    durations = np.zeros(len(frames))
    if len(frames) < 2:
        return durations
    is_next, seconds = np.diff(frames) == 1, np.diff(times_s)
    usual = float(np.median(seconds[is_next])) if is_next.any() else 0.0
    durations[:-1] = np.where(is_next, seconds, usual)
    durations[-1] = usual
    return durations
