"""Frames decoded from any packet of a file on, each with the number of the packet that it was made of."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.video.stream import VideoStream

from samurai_batch.video.packets import AnyPacket, Packets, best_video_stream, filled_packets

NUM_THREADS = 1  # of decoding and of turning into RGB: other cores are the tracker's, or another replica's
NOT_TOLD = -1


class PacketDecoder:
    """One open file, decoded by PyAV. Not for use by several threads at once."""

    def __init__(self, path: Path, name: str, packets: Packets) -> None:
        self._path, self._name, self._packets = path, name, packets
        self._open()

    def close(self) -> None:
        """Let the file go."""
        self._container.close()

    def frames_from(self, first: int, *, forgiving: bool = False) -> Iterator[tuple[int, av.VideoFrame]]:
        """Packet numbers and frames in the order of showing, decoded from packet ``first`` on.

        Ends the iteration before. Packets at the beginning of the file that cannot be decoded are passed over, as
        players do; with ``forgiving`` those before a key packet, too, as no other frame needs them. Raises FFmpegError
        at others.
        """
        packets = self.packets_from(first)
        codec = self._stream.codec_context
        has_begun, failure = first > 0, None
        for number, packet in packets:
            if failure and not (forgiving and packet.is_keyframe):
                raise failure
            packet.opaque = _Number(number)
            try:
                frames = codec.decode(packet)
                failure = None
            except av.error.FFmpegError as error:
                frames, failure = [], error if has_begun else None
            for frame in frames:
                has_begun = True
                yield _number(frame), frame
        yield from ((_number(frame), frame) for frame in codec.decode(None))
        if failure:
            raise failure

    def surviving_frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """As `frames_from` the first packet, passing over all that cannot be decoded."""
        packets = self.packets_from(0)
        codec = self._stream.codec_context
        for number, packet in packets:
            packet.opaque = _Number(number)
            with suppress(av.error.FFmpegError):
                yield from ((_number(frame), frame) for frame in codec.decode(packet))
        with suppress(av.error.FFmpegError):
            yield from ((_number(frame), frame) for frame in codec.decode(None))

    def _open(self, *, from_the_first: bool = False) -> None:
        self._container = av.open(str(self._path), metadata_errors="replace")
        self._stream = best_video_stream(self._container, self._name)
        codec = self._stream.codec_context
        codec.thread_count = NUM_THREADS
        codec.copy_opaque = True
        if from_the_first and self._packets.codec == "hevc" and not self._packets.is_key[:1].all():
            codec.flags |= Flags.output_corrupt  # else FFmpeg keeps back what is before the first key frame

    @property
    def stream(self) -> VideoStream:
        """The stream that packets come from, until the next call."""
        return self._stream

    def packets_from(self, first: int) -> Iterator[tuple[int, AnyPacket]]:
        """Numbered packets from this one on, wherever the container's own seek leads; ends the iteration before."""
        packets = self._sought(first) if first else None
        if packets is None:
            self.close()
            self._open(from_the_first=first == 0)
            packets = filled_packets(self._container, self._stream)
            for _ in range(first):
                next(packets, None)
        return zip(range(first, len(self._packets)), packets, strict=False)

    def _sought(self, first: int) -> Iterator[AnyPacket] | None:
        """Packets from this one on, by seeking; None if the container does not lead there."""
        for time in self._packets.seek_times(first):
            with suppress(av.error.FFmpegError):
                self._container.seek(time, stream=self._stream)
                if packets := self._found(first):
                    return packets
        return None

    def _found(self, first: int) -> Iterator[AnyPacket] | None:
        """Packets from this one on; None if the container stands behind it."""
        packets = filled_packets(self._container, self._stream)
        for packet in packets:
            if self._packets.is_at(first, packet):
                return chain([packet], packets)
            if self._packets.is_before(first, packet):
                return None
        return None


def checksum(frame: av.VideoFrame) -> int:
    """Tells frames apart: of the first plane's pixels, luma in most formats."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
    num_bytes = plane.width * min(8, frame.format.bits_per_pixel) // 8
    return zlib.crc32(lines[:, :num_bytes].tobytes())


@dataclass(frozen=True, eq=False)
class _Number:
    """A packet's number as an object of its own: PyAV keeps such by identity, and equal integers may be one object."""

    value: int


def _number(frame: av.VideoFrame) -> int:
    """The packet's number; NOT_TOLD of a decoder that does not say."""
    number = frame.opaque
    return number.value if isinstance(number, _Number) else NOT_TOLD
