"""Several paths of one track, and which of their rows are decided. Needs no torch.

A tracker of several hypotheses keeps P paths, each with its memories and its score. Paths that are equal share a
*lane*, which is computed once. Each frame of a lane has a parent, the lane that it continues. Traced back from the best
path, these parents name one lane on each frame: the rows of the track.

A frame is decided as soon as all paths come from the same lane on it. One that waits for longer than ``max_wait``
frames is decided by the path that is best then. As in decoders that trace back (Forney, The Viterbi algorithm, Proc.
IEEE 61(3), 1973), a later best path may then have another past on frames that are decided already.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.tracking.rules import Note

if TYPE_CHECKING:
    from samurai_batch.tracking.mask_choice import Choice
    from samurai_batch.tracking.proposals import Facts

Decided = tuple[int, int]
"""The age of a frame, and the lane whose row it gets."""


@checked(frozen=True, kw_only=True)
class PathsNote(Note):
    """The paths of a track after a frame: the best one first.

    scores: of each path; lanes: the lane of each path; parents: for each frame that is not decided, oldest first and
    the newest last, the parent of each of its lanes; first_age: the age of the oldest of them.
    """

    key: ClassVar[str] = "paths"
    scores: tuple[float, ...] = (0.0,)
    lanes: tuple[int, ...] = (0,)
    parents: tuple[tuple[int, ...], ...] = ()
    first_age: int = 0

    def best_trace(self) -> list[Decided]:
        """Each frame that is not decided, oldest first, with the lane of the best path."""
        lane, trace = self.lanes[0], []
        for parents in reversed(self.parents):
            trace.append(lane)
            lane = parents[lane]
        return list(enumerate(reversed(trace), self.first_age))

    def decide(self, max_wait: int) -> "tuple[list[Decided], PathsNote]":
        """The frames that are decided by now, and the paths with those that are not."""
        lanes, num_open = set(self.lanes), 0
        for parents in reversed(self.parents):
            if len(lanes) == 1:
                break
            num_open += 1
            lanes = {parents[lane] for lane in lanes}
        num_open = min(num_open, max_wait)
        num_decided = len(self.parents) - num_open
        rest = replace(self, parents=self.parents[num_decided:], first_age=self.first_age + num_decided)
        return self.best_trace()[:num_decided], rest


class PathRules(ABC):
    """How the candidates of all paths become the next paths: the part of a tracker that has several of them."""

    max_wait_frames: int

    @abstractmethod
    def next_paths(
        self, note: PathsNote, facts: "Sequence[Facts]", age: int
    ) -> "tuple[list[tuple[int, Choice]], PathsNote]":
        """The lanes of a frame, each with its parent and choice, and the paths with that frame.

        ``facts`` are those of each lane of the frame before.
        """
