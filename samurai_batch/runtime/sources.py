"""How a replica comes to its videos, and how it is told to let them be."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # naming the types must not load a decoder
    from samurai_batch.video import VideoSource

OpenVideo = Callable[[str], "VideoSource"]


class StoppedError(Exception):
    """The replica was asked to stop; its order is dropped."""
