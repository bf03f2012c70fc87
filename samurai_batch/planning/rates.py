"""How fast this job goes, measured as it goes."""

from dataclasses import dataclass

from samurai_batch.planning.orders import ChunkPropagated, Detected

DECAY = 0.98
"""How much an answer still counts when the next one has come: half after 34 answers."""


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
        """What it takes a replica to begin with tracks that another one has followed so far."""
        return self.open_s + num_tracks * self.save_s


class RateMeter:
    """Exponential averages over the answers of a job; what nobody has measured yet is taken from the rates given.

    ``frames_encoded`` and ``track_frames`` (frames followed, summed over tracks) are sums over all answers.
    """

    def __init__(self, rates: Rates) -> None:
        self._given = rates
        self._encode, self._propagate, self._open, self._save = _Average(), _Average(), _Average(), _Average()
        self.rates = rates
        """The rates as far as they are known."""
        self.frames_encoded = self.track_frames = 0

    @property
    def has_propagated(self) -> bool:
        """Whether encoding and following have been measured."""
        return bool(self._encode.weight and self._propagate.weight)

    def opened(self, seconds: float) -> None:
        """Take in how long a video took to fetch and open."""
        self._open.add(seconds, 1)
        self._update()

    def followed(self, report: ChunkPropagated, num_tracks: int) -> None:
        """Take in what a chunk took; decoding counts to the frames."""
        at_work_s = report.decode_s + report.encode_s + report.propagate_s
        self._encode.add(report.decode_s + report.encode_s, report.frames_encoded)
        self._propagate.add(report.propagate_s, report.track_frames)
        self._save.add(max(0.0, report.seconds - at_work_s), num_tracks)
        self.frames_encoded += report.frames_encoded
        self.track_frames += report.track_frames
        self._update()

    def looked(self, report: Detected) -> None:
        """Take in pictures; how long they take plays no part in planning."""
        self.frames_encoded += report.frames_encoded

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
