"""Pixels of a video file by decord, for files of which it gives the same frames as PyAV.

decord decodes a whole file in advance and keeps all frames (1,500 frames of 1280x720: 2.3 GB). To bound memory it is
given pieces of the file, each as a file in memory: one group of pictures, or a part of it if the group's frames take
more than MAX_DECODED_BYTES. For each part, the group is decoded again from its beginning.
"""

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import decord
import numpy as np

from samurai_batch.errors import VideoError
from samurai_batch.video.frame_index import FrameIndex
from samurai_batch.video.frames import AS_DECODED, Pixels
from samurai_batch.video.packet_decoder import NUM_THREADS, PacketDecoder

MAX_DECODED_BYTES = 128 * 2**20
"""Size of the frames that decord may hold at a time."""

_CONTAINERS, _CODECS = {"mov", "matroska"}, {"h264", "hevc"}
_FORMATS = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}
_TICK = Fraction(1, 1000)

# Types of NAL units (H.264, table 7-1; H.265, table 7-1): sequence parameter sets, and pictures at which decoding can
# start: IDR pictures, with HEVC the other random access points as well.
_PARAMETER_SETS = {"h264": {7}, "hevc": {33}}
_RANDOM_ACCESS = {"h264": {5}, "hevc": {16, 17, 18, 19, 20, 21}}


class DecordDecoder:
    """Decodes one file from any frame on. Damage within packets goes unnoticed, because decord does not report it.

    Raises VideoError if decord would not give the same frames as PyAV for this file.
    """

    def __init__(self, path: Path, name: str, index: FrameIndex) -> None:
        self._name, self._index = name, index
        self._packets = PacketDecoder(path, name, index.packets)
        if reason := _inexact_by_index(index) or _inexact_by_packets(self._packets):
            self.close()
            raise VideoError(f"{name}: decord would not read this video exactly, {reason}; use decoder auto")
        self._rank = np.argsort(index.packet)  # presentation order of each packet's frame
        codec = self._packets.stream.codec_context
        self._max_frames = max(1, MAX_DECODED_BYTES // (3 * codec.height * codec.width))
        decord.logging.set_level(decord.logging.QUIET)  # it prints its errors and raises them as well

    def frames_from(self, start: int, step: int = 1) -> Iterator[Pixels]:
        """Frame ``start`` and every ``step``-th after it; ends the iteration before. Raises VideoError."""
        return islice(self._frames_from(start), 0, None, step)

    def _frames_from(self, start: int) -> Iterator[Pixels]:
        while start < len(self._index):
            group = int(np.searchsorted(self._index.entries, start, side="right")) - 1
            end = int([*self._index.entries[group + 1 : group + 2], len(self._index)][0])
            num_pieces = math.ceil((end - start) / self._max_frames)
            stop = start + math.ceil((end - start) / num_pieces)
            yield from self._piece(group, start, stop)
            start = stop

    def close(self) -> None:
        """Close the file."""
        self._packets.close()

    def _piece(self, group: int, start: int, stop: int) -> Iterator[Pixels]:
        """Frames ``start`` to ``stop - 1`` of one group of pictures, from a file in memory."""
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
                f"{self._name}: decord failed at frames {start} to {stop - 1}; try decoder auto, or copy the file again"
                " if it is damaged"
            ) from error

    def _file_of(self, first: int, last: int) -> io.BytesIO:
        """Packets ``first`` to ``last`` as an MP4 file in which each frame lasts one tick."""
        ranks = self._rank[first : last + 1] - self._rank[first : last + 1].min()
        delay = int((np.arange(len(ranks)) - ranks).max())
        packets = self._packets.packets_from(first)
        file = io.BytesIO()
        with av.open(file, "w", format="mp4", options={"use_editlist": "0"}) as container:
            stream = container.add_stream_from_template(self._packets.stream)
            for number, rank in enumerate(ranks.tolist()):
                _, packet = next(packets)
                packet.pts, packet.dts, packet.duration = rank + delay, number, 1
                packet.time_base, packet.stream = _TICK, stream
                container.mux(packet)
        file.seek(0)
        return file


def _inexact_by_index(index: FrameIndex) -> str:
    """Why decord's frames could differ from PyAV's, by container and frame index; empty if nothing says so."""
    packets = index.packets
    if packets.container not in _CONTAINERS or packets.codec not in _CODECS:
        return f"which is {packets.codec} in {packets.container}"
    if index.pixel_format not in _FORMATS or index.is_interlaced:
        return "whose pictures are interlaced, or not YUV of 8 bits"
    if index.orientation != AS_DECODED:
        return "because its metadata rotates or mirrors it"
    if index.num_declared > len(index):
        return "because it is truncated"
    if not index.is_regular:
        return "because it has open groups of pictures, an edit list, or packets that are not shown"
    return ""


def _inexact_by_packets(packets: PacketDecoder) -> str:
    """Why a group of pictures cannot be decoded on its own; empty if all can. Reads the whole file."""
    codec = packets.stream.codec_context
    name, extradata = codec.codec.canonical_name, codec.extradata or b""
    found = set()
    for _, packet in packets.packets_from(0):
        if packet.has_sidedata("new_extradata"):
            return "because its pictures change their format"
        if packet.is_keyframe:
            units = list(_nal_units(bytes(packet), name, extradata))
            if not any(kind in _RANDOM_ACCESS[name] for kind, _ in units):
                return "because some of its key frames need frames before them"
            found.add(tuple(unit for kind, unit in units if kind in _PARAMETER_SETS[name]))
    return "because its pictures change their format" if len(found) > 1 else ""


def _nal_units(data: bytes, codec: str, extradata: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of the NAL units in a packet of MP4 or Matroska, where each follows its length."""
    size_at = 4 if codec == "h264" else 21  # ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1
    num_bytes = (extradata[size_at] & 3) + 1 if len(extradata) > size_at else 4
    while len(data) > num_bytes:
        size = int.from_bytes(data[:num_bytes], "big")
        unit, data = data[num_bytes : num_bytes + size], data[num_bytes + size :]
        if unit:
            yield (unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F), unit
