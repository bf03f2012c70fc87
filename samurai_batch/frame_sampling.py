"""Which frames of a video are tracked."""

from dataclasses import dataclass
from typing import Literal

from samurai_batch.checks import shown
from samurai_batch.errors import PromptError

OnCut = Literal["ignore", "continue", "end"]
"""What becomes of a track at a scene cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSampling:
    """Which frames of a video are tracked: those whose index is a multiple of ``every``, and those with a prompt.

    ``interpolates``: the frames between get rows too, with boxes between those of their neighbours and without masks.
    ``on_cut``: unless it is "ignore", rows say their shot; with "end", frames of a shot are tracked only from a prompt
    within that shot on.
    """

    every: int = 1
    interpolates: bool = False
    on_cut: OnCut = "ignore"

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise PromptError(f"every is {shown(self.every)}: it should be a whole number of frames, 1 or more")


ALL_FRAMES = FrameSampling()
