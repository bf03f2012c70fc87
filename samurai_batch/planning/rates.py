"""How fast this job goes, measured as it goes."""

from dataclasses import dataclass

from samurai_batch.planning.orders import ChunkFollowed


@dataclass(frozen=True)
class Rates:
    """Measured seconds: ``encode_s`` per frame, ``follow_s`` per track and frame, ``open_s`` per opened video.

    Planning compares costs with one another, so rates of another machine serve until there are better ones.
    """

    encode_s: float
    follow_s: float
    open_s: float


class RateMeter:
    """Means over all answers so far; what has not been measured yet is taken from the rates given.

    ``frames_encoded`` and ``track_frames`` (frames followed, summed over tracks) are the sums behind them.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._encode_s = self._follow_s = self._open_s = 0.0
        self.frames_encoded = self.track_frames = self._num_opened = 0

    @property
    def rates(self) -> Rates:
        """The rates as far as they are known."""
        return self._rates

    def opened(self, seconds: float) -> None:
        """Take in how long a video took to fetch and open."""
        self._open_s += seconds
        self._num_opened += 1
        self._update()

    def followed(self, report: ChunkFollowed) -> None:
        """Take in what a chunk took; decoding counts to the frames."""
        self._encode_s += report.decode_s + report.encode_s
        self._follow_s += report.follow_s
        self.frames_encoded += report.frames_encoded
        self.track_frames += report.track_frames
        self._update()

    def _update(self) -> None:
        old = self._rates
        self._rates = Rates(
            self._encode_s / self.frames_encoded if self.frames_encoded else old.encode_s,
            self._follow_s / self.track_frames if self.track_frames else old.follow_s,
            self._open_s / self._num_opened if self._num_opened else old.open_s,
        )
