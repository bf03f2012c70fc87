"""Which finished tracks go on when files are added at the end of their video, and from where.

Such a track continues from the last chunk border that it has passed: the chunk after it is cut short by the end of the
video, and is another chunk, of other batches, once more frames follow. So the rows are those of an undisturbed run.
"""

from dataclasses import dataclass

from samurai_batch.planning.resume import SavedWork
from samurai_batch.tasks import Track

LEAST_STEPS = 16
"""A track of fewer frames has other masks in a longer video: the temporal encoding of its object pointers depends on
its length, up to so many frames (`tracking.memory_bank.distance`)."""


@dataclass(frozen=True)
class Boundary:
    """Where a finished track can go on: a video of its first ``num_files`` files, its track state before ``frame``."""

    fingerprint: str
    num_files: int
    frame: int


@dataclass(frozen=True)
class Continuation:
    """A track, with today's ``fingerprint``, that goes on where a run over the first files of its video has ended."""

    track: Track
    fingerprint: str
    start: Boundary
    chunk_frames: int

    @property
    def chunk(self) -> int:
        """The first chunk that is propagated."""
        return self.start.frame // self.chunk_frames

    @property
    def saved(self) -> SavedWork:
        """All chunks before that one."""
        return SavedWork(frozenset((False, chunk) for chunk in range(self.chunk)), frozenset({(False, self.chunk - 1)}))

    def describe(self) -> str:
        """The reason to give for the track's computation."""
        num_added = self.track.video.num_files - self.start.num_files
        files = "1 file" if num_added == 1 else f"{num_added} files"
        return f"{files} added to its video: continues from frame {self.start.frame}"


def is_continuable(track: Track) -> bool:
    """Whether a track may go on in files that are added: forward, to the end of a video of several files.

    Tracks of discoveries do not: all of their video decides them. Nor do those for which cuts count: of the last frames
    of a video it depends on what follows whether they begin a shot.
    """
    is_open_ended = track.direction == "forward" and track.end_frame is None
    is_alone = not track.origin and track.auto_prompt is None and track.sampling.on_cut == "ignore"
    return track.video.num_files > 1 and is_open_ended and is_alone


def boundary_frame(track: Track, last_row: int, num_rows: int, chunk_frames: int) -> int | None:
    """The chunk border that a track to the end of its video can go on from; None if it starts anew.

    ``last_row`` is its last frame with a row, and ``num_rows`` the number of its frames.
    """
    every = track.sampling.every
    frame = (last_row // every + 1) * every // chunk_frames * chunk_frames
    (leg,) = track.legs
    return frame if frame > leg.start_frame and num_rows >= LEAST_STEPS else None
