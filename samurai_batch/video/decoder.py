"""What decodes a video file, and which decoder a file gets.

PyAV is what ``auto`` takes. decord (its maintained build, decord2) gives the same frames bit for bit where files are
whole, and says nothing of damage: of 60 files with a few bytes overwritten it returned wrong frames of 44 without an
error, where PyAV names the damaged frame. What a file is made of does not tell whether it is damaged. Besides, decord
takes 15 to 20 % more CPU time, and with its memory bounded 1.5 times (groups of 50 frames of 1280x720) to 3 times
PyAV's (groups of 250).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from samurai_batch.video.frame_index import FrameIndex
from samurai_batch.video.frames import Pixels
from samurai_batch.video.pyav_decoder import PyavDecoder

DecoderName: TypeAlias = Literal["auto", "pyav", "decord"]


class Decoder(Protocol):
    """Decodes one file from any frame on."""

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it; ends the iteration before. Raises VideoError."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


def make_decoder(decoder: DecoderName, path: Path, name: str, index: FrameIndex) -> Decoder:
    """The decoder asked for. Raises VideoError where decord is asked for and would not be exact."""
    if decoder != "decord":
        return PyavDecoder(path, name, index)
    from samurai_batch.video.decord_decoder import DecordDecoder  # decord is loaded by those who ask for it

    return DecordDecoder(path, name, index)
