"""The speed of a job, measured while it runs."""

from dataclasses import dataclass

from samurai_batch.planning.orders import ChunkPropagated

DECAY = 0.98
"""The weight of a report after the next one; it is halved after 34 reports."""


@dataclass(frozen=True)
class Rates:
    """Measured seconds: ``encode_s`` per frame, ``propagate_s`` per track and frame, ``open_s`` per opened video.

    ``save_s``, per track and chunk, is reading and writing track states and rows. Planning compares costs with one
    another, so rates of another machine serve until there are better ones.
    """

    encode_s: float
    propagate_s: float
    open_s: float
    save_s: float = 0.0

    def move_s(self, num_tracks: int) -> float:
        """Seconds until a replica can continue tracks of another: opening the video and reading the track states."""
        return self.open_s + num_tracks * self.save_s


class RateMeter:
    """Exponential averages over the reports of a job; a rate without a measurement is that of ``rates``."""

    def __init__(self, rates: Rates) -> None:
        self._given = rates
        self._encode, self._propagate, self._open, self._save = _Average(), _Average(), _Average(), _Average()
        self.rates = rates
        """The rates as measured so far."""

    @property
    def has_propagated(self) -> bool:
        """Whether encoding and following have been measured."""
        return bool(self._encode.weight and self._propagate.weight)

    def opened(self, seconds: float) -> None:
        """Count the seconds of fetching and opening a video."""
        self._open.add(seconds, 1)
        self._update()

    def propagated(self, report: ChunkPropagated, num_tracks: int) -> None:
        """Count what a chunk took. Waiting for frames counts as encoding; what no stage explains counts as saving."""
        stats = report.stats
        encode_s, propagate_s = stats.stage_s["decode"] + stats.stage_s["encode"], stats.stage_s["propagate"]
        self._encode.add(encode_s, stats.frames_encoded)
        self._propagate.add(propagate_s, stats.track_frames)
        self._save.add(max(0.0, report.seconds - encode_s - propagate_s), num_tracks)
        self._update()

    def _update(self) -> None:
        given = self._given
        self.rates = Rates(
            self._encode.value(given.encode_s),
            self._propagate.value(given.propagate_s),
            self._open.value(given.open_s),
            self._save.value(given.save_s),
        )


class _Average:
    """Seconds per unit, recent answers counting most, each as much as the units it stands for."""

    __slots__ = ("_seconds", "weight")

    def __init__(self) -> None:
        self._seconds = self.weight = 0.0

    def add(self, seconds: float, units: float) -> None:
        self._seconds = self._seconds * DECAY + seconds
        self.weight = self.weight * DECAY + units

    def value(self, default: float) -> float:
        return self._seconds / self.weight if self.weight else default
