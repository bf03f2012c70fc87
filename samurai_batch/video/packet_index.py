"""What a video file's packets say about its frames, without decoding any.

The packets are listed once, when a video is opened: about 170,000 of them in a second, and as fast as the file can be
read.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from samurai_batch.errors import VideoError
from samurai_batch.video.matroska import missing_bytes

DURATION_TOLERANCE_S = 0.5

AnyPacket: TypeAlias = "av.Packet[Any]"


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """The frames of a file, in presentation order.

    ``pts`` (N,) int64 are the presentation times of the frames that can be had, in units of ``time_base`` seconds,
    and ``key_pts`` those of the packets decoding can start from, in file order. ``num_declared`` is more than N in a
    truncated file.
    """

    time_base: Fraction
    pts: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    num_declared: int

    @property
    def is_truncated(self) -> bool:
        """Whether the file ends before the frames it declares."""
        return self.num_declared > len(self.pts)

    def timestamp_s(self, index: int) -> float:
        """Presentation time of a frame in seconds."""
        return float(int(self.pts[index]) * self.time_base)


@dataclass
class _Packets:
    """The packets of the video stream in file order, and where the file ends."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    keys: list[int] = field(default_factory=list)  # positions in file order
    discarded: list[int] = field(default_factory=list)  # hidden by an edit list
    end_s: float = 0.0  # of the last packet of any stream
    is_cut: bool = False  # the last packet is incomplete

    @property
    def num_found(self) -> int:
        return len(self.pts)


def best_video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream a player would show. Raises VideoError if there is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise VideoError(f"{name}: the file has no video stream")
    if stream.codec_context is None:
        raise VideoError(f"{name}: the video's codec is not known; re-encode it, as H.264 for instance")
    return stream


def shown_at(packet: AnyPacket) -> int | None:
    """Presentation time of a packet in units of its time base; AVI, for one, knows decoding times only."""
    return packet.dts if packet.pts is None else packet.pts


def read_packet_index(path: Path, name: str) -> PacketIndex:
    """List the packets of a file: reads all of it, once. Raises VideoError if it is no video, or has no frames."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = best_video_stream(container, name)
            packets = _read_packets(container, stream)
            is_shorter = container.format.name.startswith("matroska") and missing_bytes(path) > 0
            return _index(container, stream, packets, is_shorter, name)
    except av.error.FFmpegError as error:
        raise VideoError(f"{name}: not a readable video: {error.strerror}") from error


def _read_packets(container: InputContainer, stream: VideoStream) -> _Packets:
    packets = _Packets()
    for packet in _demux(container):
        pts = shown_at(packet)
        if pts is None:
            continue
        packets.end_s = max(packets.end_s, float((pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != stream.index:
            continue
        position = len(packets.pts)
        packets.pts.append(pts)
        packets.dts.append(pts if packet.dts is None else packet.dts)
        packets.is_cut = packet.is_corrupt
        if packet.is_discard:
            packets.discarded.append(position)
        if packet.is_keyframe:
            packets.keys.append(position)
    return packets


def _demux(container: InputContainer) -> Iterator[AnyPacket]:
    """Packets up to the end, or to where the file cannot be read any further."""
    try:
        yield from container.demux()
    except av.error.InvalidDataError:
        return


def _index(
    container: InputContainer, stream: VideoStream, packets: _Packets, is_shorter: bool, name: str
) -> PacketIndex:
    num_declared = _num_declared(container, stream, packets, is_shorter or packets.is_cut)
    is_truncated = is_shorter or packets.is_cut or num_declared > packets.num_found
    if packets.is_cut:
        packets.pts.pop()
        packets.dts.pop()
    keys = [position for position in packets.keys if position < len(packets.pts)]
    if not keys:
        raise VideoError(f"{name}: the file holds no whole key frame; it is empty, or was cut off at its start")

    all_pts = np.array(packets.pts, dtype=np.int64)
    is_shown = all_pts >= all_pts[keys[0]]
    is_shown[[position for position in packets.discarded if position < len(all_pts)]] = False
    if is_truncated:
        # What is missing comes later in the file, so is shown after its last whole packet was to be decoded.
        is_shown &= all_pts <= packets.dts[-1]
    pts = np.sort(all_pts[is_shown])
    if not len(pts):
        raise VideoError(f"{name}: the file holds no frames")
    return PacketIndex(
        time_base=stream.time_base or Fraction(1),
        pts=pts,
        key_pts=all_pts[keys],
        num_declared=max(num_declared - len(packets.discarded), len(pts) + is_truncated),
    )


def _num_declared(container: InputContainer, stream: VideoStream, packets: _Packets, is_known_cut: bool) -> int:
    """How many frames the file says it has; what was found, where it does not say."""
    if container.format.name.startswith("mov"):
        return len(stream.index_entries)  # as edited: samples that an edit list cuts off do not count
    missing_s = _declared_end_s(container, stream) - packets.end_s
    rate = stream.average_rate or stream.guessed_rate
    if missing_s <= (0 if is_known_cut else DURATION_TOLERANCE_S) or not rate:
        return packets.num_found
    return packets.num_found + round(missing_s * rate)


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float:
    """When the file says it ends; 0 where it does not."""
    container_s = (container.duration or 0) / av.time_base
    stream_s = float(stream.frames * (stream.time_base or 0))  # AVI counts in these, dropped frames and all
    return max(container_s, stream_s)
