"""When the frames of a video are shown, where decoder and container have to be asked for each of them."""

from collections.abc import Iterable, Iterator
from fractions import Fraction


def best_times(stamps: Iterable[tuple[int | None, int | None]]) -> Iterator[int | None]:
    """One time a frame of (presentation time, decoding time) pairs in the order of showing.

    As FFmpeg's "best effort": the presentation time, unless these have gone back more often than decoding times have.
    """
    pts_clock, dts_clock = _Clock(), _Clock()
    for pts, dts in stamps:
        pts_clock.note(pts, dts)
        dts_clock.note(dts, pts)
        has_better_pts = pts_clock.num_faults <= dts_clock.num_faults or dts is None
        yield pts if pts is not None and has_better_pts else dts


class _Clock:
    """One kind of time stamp, and how often it did not rise."""

    def __init__(self) -> None:
        self.num_faults = 0
        self._last: int | None = None

    def note(self, time: int | None, other: int | None) -> None:
        """The next stamp; where there is none, the other kind's stands in and is no fault."""
        if time is not None and self._last is not None and time <= self._last:
            self.num_faults += 1
        if time is not None or other is not None:
            self._last = other if time is None else time


def rising_times(times: Iterable[int | None], step: int) -> Iterator[int]:
    """The same times with what is missing a step after the frame before, beginning with 0.

    A clock that falls back, where recordings were joined, goes on a step after the frame before, too.
    """
    last, shift = -step, 0
    is_first = True
    for time in times:
        if time is None:
            last += step
        elif not is_first and time + shift < last:
            shift = last + step - time
            last += step
        else:
            last = time + shift
        is_first = False
        yield last


def step_between_frames(rate: Fraction | None, time_base: Fraction) -> int:
    """Units of time from one frame to the next; 25 frames/s where nobody says."""
    return max(1, round(1 / ((rate or Fraction(25)) * time_base)))
