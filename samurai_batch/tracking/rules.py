"""The parts that differ between trackers, and their combination.

    part           question                                                   interface
    mask choice    which of the decoder's candidates is the mask?             `mask_choice.MaskChoice`
    promotion      is this frame remembered like a prompted one?              `Promotion`
    memory rules   what is remembered, and what does a frame attend to?       `memory_bank.MemoryRules`
    path rules     which candidates of which paths go on?                     `paths.PathRules`
    rescue         what may replace the mask that was chosen?                 `rescue.Rescue`

`trackers/` has one file for each tracker, which combines parts. The network, and the order in which a step calls these
parts (`tracker`), are the same for all of them. A part holds settings only; what it must know of earlier frames is in
the track state: memories in the bank, anything else in a `Note`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from samurai_batch.tracking.mask_choice import Choice, MaskChoice
from samurai_batch.tracking.memory_bank import MemoryRules

if TYPE_CHECKING:
    from samurai_batch.tracking.paths import PathRules
    from samurai_batch.tracking.proposals import Facts
    from samurai_batch.tracking.rescue import Rescue
    from samurai_batch.tracking.track_state import TrackState


class Note:
    """Base of frozen pydantic dataclasses in which a part keeps what it must know of earlier frames.

    All fields have defaults and hold plain values, which are saved as JSON under ``key`` with the track state.
    """

    key: ClassVar[str]


AnyNote = TypeVar("AnyNote", bound=Note)


class Promotion(ABC):
    """What follows from the choice of a mask: whether its frame becomes an anchor, remembered like a prompted one."""

    @abstractmethod
    def promotes(self, state: "TrackState", facts: "Facts", choice: Choice) -> bool:
        """Decide for a frame without a prompt, whose candidates are in ``facts``, and update the state's notes.

        Of an anchor, the spatial memory is encoded as for a prompted frame.
        """


@dataclass(frozen=True)
class Rules:
    """One tracker. ``promotion``: None if no frame but the prompted ones is remembered for good; ``paths``: None if a
    track is one path. With several, ``choice`` is that of prompted frames, which are common to all.

    needs_masks: its parts read the candidates' masks in pixels of the video (`proposals.Facts.masks`).
    masks_from_points: a box or clicks are turned into a mask first, which then is the prompt.
    rescue: what may replace the mask that ``choice`` has chosen; not for several paths, whose masks are decided later.
    """

    choice: MaskChoice
    memory: MemoryRules
    promotion: Promotion | None = None
    paths: "PathRules | None" = None
    needs_masks: bool = False
    masks_from_points: bool = False
    rescue: "Rescue | None" = None

    def __post_init__(self) -> None:
        assert self.rescue is None or self.paths is None, "settings with both are refused"

    def reads_masks(self, is_choice: bool) -> bool:
        """Whether its parts read the candidates' masks on a frame, where there is a choice of several or not."""
        return self.rescue is not None or (self.needs_masks and is_choice)
