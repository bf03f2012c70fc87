"""How a replica comes to its videos, and how it is told to let them be."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # naming the types must not load a decoder
    from samurai_batch.video import VideoSource

OpenVideo = Callable[[str], "VideoSource"]
"""Opens the video at a URI. Raises VideoError for one that is missing or damaged, StorageError."""


class StoppedError(Exception):
    """The replica was asked to stop; its order is dropped."""
