"""The packets of a video file, listed without decoding.

They are listed once, when a video is opened: about 170,000 a second, or as fast as the file can be read.
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
from samurai_batch.video.containers import ends_within_picture, is_hidden, is_truncated, open_container

NO_TIME = np.iinfo(np.int64).min

_SEEK_BEFORE_S = (0, 1, 10)

AnyPacket: TypeAlias = "av.Packet[Any]"
Numbers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


def byte_position(packet: AnyPacket) -> int:
    """Offset of the packet in the file; -1 if the container does not report it."""
    return -1 if packet.pos is None else packet.pos


@dataclass(frozen=True, eq=False)
class Packets:
    """The complete packets of a video stream, in file order; a packet's number is its index here.

    ``pts`` and ``dts`` (N,) are in units of ``time_base`` seconds, NO_TIME if absent; ``position`` (N,) are byte
    offsets in the file, -1 if unknown. ``num_missing`` is how many more packets a truncated file declares.
    ``is_plain`` is False if some packet is empty, damaged, or makes no frame by itself.
    """

    container: str
    codec: str
    is_intra_only: bool
    time_base: Fraction
    rate: Fraction | None
    pts: Numbers
    dts: Numbers
    position: Numbers
    is_key: Flags
    is_discarded: Flags
    num_missing: int
    is_plain: bool

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def has_only_decoding_times(self) -> bool:
        """Whether the container stores no presentation times, so that those FFmpeg reports are guesses."""
        return self.container in {"avi", "asf"}

    @property
    def first_key(self) -> int:
        """The number of the first key packet; 0 if there is none."""
        return int(self.is_key.argmax()) if self.is_key.any() else 0

    def seek_times(self, number: int) -> Iterator[int]:
        """Times to seek to for a packet: its own, then some seconds earlier in case that leads behind it."""
        has_decoding_clock = self.has_only_decoding_times or self.container in {"mpegts", "mpeg"}
        time = int((self.dts if has_decoding_clock else self.pts)[number])
        if time != NO_TIME:
            yield from (time - round(before_s / self.time_base) for before_s in _SEEK_BEFORE_S)

    def is_at(self, number: int, packet: AnyPacket) -> bool:
        """Whether a packet that was read has this number."""
        has_its_time = packet.dts == self.dts[number] or packet.pts == self.pts[number]
        return bool(has_its_time and byte_position(packet) == self.position[number])

    def is_before(self, number: int, packet: AnyPacket) -> bool:
        """Whether packet ``number`` lies before a packet that was read, so that reading on cannot reach it."""
        if self.position[number] >= 0:
            return bool(self.position[number] < byte_position(packet))
        return packet.dts is not None and bool(self.dts[number] < packet.dts)


@dataclass
class _PacketList:
    """The columns of `Packets` while the file is read, and where it ends."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    position: "array[int]" = field(default_factory=lambda: array("q"))
    is_key: bytearray = field(default_factory=bytearray)
    is_discarded: bytearray = field(default_factory=bytearray)
    end_s: float = 0.0  # of the last packet of any stream
    is_plain: bool = True
    ends_incomplete: bool = False  # the last packet is incomplete


def best_video_stream(container: InputContainer, name: str) -> VideoStream:
    """The video stream that a player would show. Raises VideoError if there is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise VideoError(f"{name}: the file has no video stream; give a video")
    if stream.disposition & av.stream.Disposition.attached_pic:
        raise VideoError(f"{name}: the file holds no video, only sound and a cover picture; give a video")
    if stream.codec_context is None:
        raise VideoError(f"{name}: the video's codec is unknown; re-encode it, for example as H.264")
    return stream


def nonempty_packets(container: InputContainer, stream: VideoStream) -> Iterator[AnyPacket]:
    """The packets of one stream that hold data, from the container's position to where reading ends or fails."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.InvalidDataError:
        return


def list_packets(path: Path, name: str) -> Packets:
    """List the packets of a file; reads all of it once. Raises VideoError if it is no video."""
    try:
        with open_container(path) as container:
            stream = best_video_stream(container, name)
            return _packets(container, stream, _read_packets(container, stream), path)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{name}: not a readable video ({error.strerror}); re-encode it if players show it, otherwise copy it"
            " again from its source"
        ) from error


def _read_packets(container: InputContainer, stream: VideoStream) -> _PacketList:
    listed = _PacketList()
    try:
        for packet in container.demux():
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None:
                listed.end_s = max(listed.end_s, float((time + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == stream.index:
                _append(listed, packet, stream.codec_context.codec.canonical_name, _container_name(container))
    except av.error.InvalidDataError:
        pass  # the file cannot be read any further
    return listed


def _append(listed: _PacketList, packet: AnyPacket, codec: str, container: str) -> None:
    if not packet.size:
        listed.is_plain &= packet.dts is None  # only the end of the file has no time
        return
    listed.is_plain &= not listed.ends_incomplete and not is_hidden(packet, codec)
    listed.pts.append(NO_TIME if packet.pts is None else packet.pts)
    listed.dts.append(NO_TIME if packet.dts is None else packet.dts)
    listed.position.append(byte_position(packet))
    listed.is_key.append(packet.is_keyframe)
    listed.is_discarded.append(packet.is_discard)
    listed.ends_incomplete = packet.is_corrupt or ends_within_picture(packet, container)


def _packets(container: InputContainer, stream: VideoStream, listed: _PacketList, path: Path) -> Packets:
    whole = slice(len(listed.pts) - listed.ends_incomplete)
    return Packets(
        container=_container_name(container),
        codec=stream.codec_context.codec.canonical_name,
        is_intra_only=stream.codec_context.codec.intra_only,
        time_base=stream.time_base or Fraction(1),
        rate=stream.average_rate or stream.guessed_rate,
        pts=np.array(listed.pts, np.int64)[whole],
        dts=np.array(listed.dts, np.int64)[whole],
        position=np.array(listed.position, np.int64)[whole],
        is_key=np.array(listed.is_key, np.bool_)[whole],
        is_discarded=np.array(listed.is_discarded, np.bool_)[whole],
        num_missing=_num_missing(container, stream, listed, path),
        is_plain=listed.is_plain,
    )


def _num_missing(container: InputContainer, stream: VideoStream, listed: _PacketList, path: Path) -> int:
    """How many frames a truncated file lacks. Durations alone are too often wrong to tell truncation."""
    if _container_name(container) == "mov":  # samples that an edit list removes do not count
        return max(0, len(stream.index_entries) - len(listed.pts)) + listed.ends_incomplete
    if not listed.ends_incomplete and not is_truncated(path, _container_name(container)):
        return 0
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        return 1
    end_s = listed.end_s or len(listed.pts) / rate  # of packets without times
    return max(1, round((_declared_end_s(container, stream) - end_s) * rate))


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float:
    """The end of the video in seconds as the file declares it; 0 if it does not."""
    container_s = (container.duration or 0) / av.time_base
    stream_s = float(stream.frames * (stream.time_base or 0))  # in AVI this includes dropped frames
    return max(container_s, stream_s)


def _container_name(container: InputContainer) -> str:
    """FFmpeg's name of the format, without its aliases: "mov", "matroska", "avi", ..."""
    return container.format.name.partition(",")[0]
