"""Frames decoded by PyAV from any packet of a file on, each with the number of the packet it was made of."""

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

from samurai_batch.video.containers import open_container
from samurai_batch.video.packets import AnyPacket, Packets, best_video_stream, nonempty_packets

NUM_THREADS = 1  # for decoding and conversion to RGB, by default: other cores serve the tracker or other replicas
UNKNOWN_PACKET = -1  # the decoder does not say which packet a frame was made of


class PacketDecoder:
    """One open file, decoded by PyAV. Not for use by several threads at once.

    With more ``num_threads``, FFmpeg decodes several frames at a time, and raises errors some packets later.
    """

    def __init__(self, path: Path, name: str, packets: Packets, num_threads: int = NUM_THREADS) -> None:
        self._path, self._name, self._packets, self._num_threads = path, name, packets, num_threads
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames_from(self, first: int, *, tolerate_damage: bool = False) -> Iterator[tuple[int, av.VideoFrame]]:
        """Packet numbers and frames in presentation order, decoded from packet ``first`` on; ends the iteration before.

        Undecodable packets at the beginning of the file are skipped, as players do; with ``tolerate_damage`` also those
        directly before a key packet, which no other frame needs. Raises FFmpegError at others.
        """
        packets = self.packets_from(first)
        codec = self.stream.codec_context
        has_begun, failure = first > 0, None
        for number, packet in packets:
            if failure and not (tolerate_damage and packet.is_keyframe):
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
        """As `frames_from` the first packet, skipping every packet that cannot be decoded."""
        packets = self.packets_from(0)
        codec = self.stream.codec_context
        for number, packet in packets:
            packet.opaque = _Number(number)
            with suppress(av.error.FFmpegError):
                yield from ((_number(frame), frame) for frame in codec.decode(packet))
        with suppress(av.error.FFmpegError):
            yield from ((_number(frame), frame) for frame in codec.decode(None))

    def _open(self, *, from_the_first: bool = False) -> None:
        self._container = open_container(self._path)
        self.stream = best_video_stream(self._container, self._name)  # valid until the next call
        codec = self.stream.codec_context
        codec.thread_count = self._num_threads
        if self._num_threads > 1:
            codec.thread_type = "AUTO"  # frames, and slices within them
        codec.copy_opaque = True
        if from_the_first and self._packets.codec == "hevc" and not self._packets.is_key[:1].all():
            codec.flags |= Flags.output_corrupt  # otherwise FFmpeg drops frames before the first key frame

    def packets_from(self, first: int) -> Iterator[tuple[int, AnyPacket]]:
        """Numbered packets from this one on, by seeking or by reading from the start; ends the iteration before."""
        packets = self._seek(first) if first else None
        if packets is None:
            self.close()
            self._open(from_the_first=first == 0)
            packets = nonempty_packets(self._container, self.stream)
            for _ in range(first):
                next(packets, None)
        return zip(range(first, len(self._packets)), packets, strict=False)

    def _seek(self, first: int) -> Iterator[AnyPacket] | None:
        """Packets from this one on; None if seeking does not lead to it."""
        for time in self._packets.seek_times(first):
            with suppress(av.error.FFmpegError):
                self._container.seek(time, stream=self.stream)
                if packets := self._read_to(first):
                    return packets
        return None

    def _read_to(self, first: int) -> Iterator[AnyPacket] | None:
        """Packets from this one on; None if the container's position is past it."""
        packets = nonempty_packets(self._container, self.stream)
        for packet in packets:
            if self._packets.is_at(first, packet):
                return chain([packet], packets)
            if self._packets.is_before(first, packet):
                return None
        return None


def checksum(frame: av.VideoFrame) -> int:
    """CRC-32 of the pixels of the first plane: luma, or all channels of a format that packs them into one plane."""
    plane, pixel_format = frame.planes[0], frame.format
    is_packed = len({component.plane for component in pixel_format.components}) == 1
    num_bits = pixel_format.padded_bits_per_pixel if is_packed else 8 * -(-pixel_format.components[0].bits // 8)
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return zlib.crc32(lines[:, : -(-plane.width * num_bits // 8)].tobytes())


@dataclass(frozen=True, eq=False)
class _Number:
    """A packet's number as a separate object: PyAV keeps opaque objects by identity, and small integers share one."""

    value: int


def _number(frame: av.VideoFrame) -> int:
    """The number of the packet that a frame was made of, or UNKNOWN_PACKET."""
    number = frame.opaque
    return number.value if isinstance(number, _Number) else UNKNOWN_PACKET
