"""Pixels of a video file by decord, for those who ask for it and files it reads exactly.

decord decodes ahead of its consumer as far as the file reaches, and keeps all of it (1,500 frames of 1280x720: 2.3 GB).
So it is given pieces of the file, each a file by itself in memory: one group of pictures, or its beginning where the
whole would take more than HELD_BYTES. Of a group that is longer, the beginning is decoded again for each piece.
"""

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np

from samurai_batch.errors import VideoError
from samurai_batch.video.frame_index import FrameIndex
from samurai_batch.video.frames import Pixels
from samurai_batch.video.orientation import AS_DECODED
from samurai_batch.video.packet_decoder import NUM_THREADS, PacketDecoder
from samurai_batch.video.parameter_sets import why_not_alike

HELD_BYTES = 128 * 2**20
"""Of frames that decord may hold at a time."""

_CONTAINERS, _CODECS = {"mov", "matroska"}, {"h264", "hevc"}
_FORMATS = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}
_TICK = Fraction(1, 1000)


class DecordDecoder:
    """Decodes one file from any frame on. Damage within packets goes unnoticed, as decord does not tell of it.

    Raises VideoError if the file is of a kind that decord does not read exactly.
    """

    def __init__(self, path: Path, name: str, index: FrameIndex) -> None:
        self._name, self._index = name, index
        self._packets = PacketDecoder(path, name, index.packets)
        if reason := _inexact(index) or why_not_alike(self._packets):
            self.close()
            raise VideoError(f"{name}: decord would not read this video exactly, {reason}; use decoder auto")
        self._rank = np.argsort(index.packet)  # of each packet's frame, in the order of showing
        codec = self._packets.stream.codec_context
        self._most_frames = max(1, HELD_BYTES // (3 * codec.height * codec.width))
        decord.logging.set_level(decord.logging.QUIET)  # it prints; what fails is raised, too

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it; ends the iteration before. Raises VideoError."""
        while start < len(self._index):
            group = int(np.searchsorted(self._index.entries, start, side="right")) - 1
            end = int([*self._index.entries[group + 1 : group + 2], len(self._index)][0])
            num_pieces = math.ceil((end - start) / self._most_frames)
            stop = start + math.ceil((end - start) / num_pieces)
            yield from self._piece(group, start, stop)
            start = stop

    def close(self) -> None:
        """Let the file go."""
        self._packets.close()

    def _piece(self, group: int, start: int, stop: int) -> Iterator[Pixels]:
        """Frames of one group, from a file in memory that ends with the last of them."""
        entry = int(self._index.entries[group])
        first, last = int(self._index.starts[group]), int(self._index.packet[entry:stop].max())
        file = self._file_of(first, last)
        try:
            reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=NUM_THREADS)
            if start > entry:
                reader.seek_accurate(start - entry)
            for _ in range(start, stop):
                yield np.asarray(reader.next().asnumpy(), dtype=np.uint8)
        except (decord.DECORDError, RuntimeError) as error:
            raise VideoError(
                f"{self._name}: decord failed at frames {start} to {stop - 1}; the file is damaged, or decoder auto"
                " reads it"
            ) from error

    def _file_of(self, first: int, last: int) -> io.BytesIO:
        """Packets ``first`` to ``last`` as a file, their frames shown one tick after another."""
        ranks = self._rank[first : last + 1] - self._rank[first : last + 1].min()
        delay = int((np.arange(len(ranks)) - ranks).max())
        packets = self._packets.packets_from(first)
        file = io.BytesIO()
        with av.open(file, "w", format="mp4", options={"use_editlist": "0"}) as container:
            stream = container.add_stream_from_template(self._packets.stream)
            for place, rank in enumerate(ranks.tolist()):
                _, packet = next(packets)
                packet.pts, packet.dts, packet.duration = rank + delay, place, 1
                packet.time_base, packet.stream = _TICK, stream
                container.mux(packet)
        file.seek(0)
        return file


def _inexact(index: FrameIndex) -> str:
    """Why decord's frames could be others, as far as container and packets tell; empty if they are the same."""
    packets = index.packets
    if packets.container not in _CONTAINERS or packets.codec not in _CODECS:
        return f"which is {packets.codec} in {packets.container}"
    if index.pixel_format not in _FORMATS or index.is_interlaced:
        return "whose pictures are interlaced, or not YUV of 8 bits"
    if index.orientation != AS_DECODED:
        return "as it is turned or mirrored to be shown"
    if index.num_declared > len(index):
        return "as it is cut off"
    if not index.is_regular:
        return "as it has open groups of pictures, an edit list, or packets that are not shown"
    return ""
