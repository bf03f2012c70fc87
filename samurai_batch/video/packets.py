"""What a video file's packets say, without decoding any.

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
from samurai_batch.video.flv import ends_within_tag
from samurai_batch.video.hidden import is_hidden
from samurai_batch.video.matroska import missing_bytes
from samurai_batch.video.riff import missing_bytes as missing_riff_bytes

NO_TIME = np.iinfo(np.int64).min

_SEEK_BEFORE_S = (0, 1, 10)

AnyPacket: TypeAlias = "av.Packet[Any]"
Numbers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


def byte_position(packet: AnyPacket) -> int:
    """Where the packet lies in the file; -1 where the container does not tell."""
    return -1 if packet.pos is None else packet.pos


@dataclass(frozen=True, eq=False)
class Packets:
    """The whole packets of a video stream, in file order; a packet's number is its place here.

    ``pts`` and ``dts`` (N,) are in units of ``time_base`` seconds, NO_TIME where there is none; ``position`` (N,) are
    bytes from the beginning of the file, -1 where that is not known. ``num_missing`` is how many more the file once
    had, as far as it says. ``is_plain`` is False where some packet is empty, damaged or makes no frame by itself.
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
    def has_decoding_times_alone(self) -> bool:
        """Whether the container does not say when frames are shown; what it is said to say is made up."""
        return self.container in {"avi", "asf"}

    def seek_times(self, number: int) -> Iterator[int]:
        """What to ask the container for to come to a packet: its time, and some seconds before if that is too late."""
        has_decoding_clock = self.has_decoding_times_alone or self.container in {"mpegts", "mpeg"}
        time = int((self.dts if has_decoding_clock else self.pts)[number])
        if time != NO_TIME:
            yield from (time - round(before_s / self.time_base) for before_s in _SEEK_BEFORE_S)

    def is_at(self, number: int, packet: AnyPacket) -> bool:
        """Whether a packet that was read is the one of this number."""
        is_timed_so = packet.dts == self.dts[number] or packet.pts == self.pts[number]
        return bool(is_timed_so and byte_position(packet) == self.position[number])

    def is_before(self, number: int, packet: AnyPacket) -> bool:
        """Whether the one of this number comes before a packet that was read, so that reading on is in vain."""
        if self.position[number] >= 0:
            return bool(self.position[number] < byte_position(packet))
        return packet.dts is not None and bool(self.dts[number] < packet.dts)


@dataclass
class _Listed:
    """The packets as they come, and where the file ends."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    position: "array[int]" = field(default_factory=lambda: array("q"))
    is_key: bytearray = field(default_factory=bytearray)
    is_discarded: bytearray = field(default_factory=bytearray)
    end_s: float = 0.0  # of the last packet of any stream
    is_plain: bool = True
    is_cut: bool = False  # the last packet is incomplete


def best_video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream a player would show. Raises VideoError if there is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise VideoError(f"{name}: the file has no video stream; give a video")
    if stream.disposition & av.stream.Disposition.attached_pic:
        raise VideoError(f"{name}: the file holds no video, only sound and a cover picture; give a video")
    if stream.codec_context is None:
        raise VideoError(f"{name}: the video's codec is not known; re-encode it, as H.264 for instance")
    return stream


def filled_packets(container: InputContainer, stream: VideoStream) -> Iterator[AnyPacket]:
    """The packets of one stream that hold something, from where the container stands to where it can be read to."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.InvalidDataError:
        return


def list_packets(path: Path, name: str) -> Packets:
    """List the packets of a file: reads all of it, once. Raises VideoError if it is no video."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = best_video_stream(container, name)
            return _packets(container, stream, _listed(container, stream), path)
    except av.error.FFmpegError as error:
        raise VideoError(f"{name}: not a readable video: {error.strerror}") from error


def _listed(container: InputContainer, stream: VideoStream) -> _Listed:
    listed = _Listed()
    try:
        for packet in container.demux():
            _note_end(listed, packet)
            if packet.stream_index == stream.index:
                _note(listed, packet, stream.codec_context.codec.canonical_name)
    except av.error.InvalidDataError:
        pass  # the file cannot be read any further
    return listed


def _note_end(listed: _Listed, packet: AnyPacket) -> None:
    time = packet.dts if packet.pts is None else packet.pts
    if time is not None:
        listed.end_s = max(listed.end_s, float((time + (packet.duration or 0)) * packet.time_base))


def _note(listed: _Listed, packet: AnyPacket, codec: str) -> None:
    if not packet.size:
        listed.is_plain &= packet.dts is None  # the end of the file has no time; a frame to be repeated has
        return
    listed.is_plain &= not listed.is_cut and not is_hidden(packet, codec)
    listed.pts.append(NO_TIME if packet.pts is None else packet.pts)
    listed.dts.append(NO_TIME if packet.dts is None else packet.dts)
    listed.position.append(byte_position(packet))
    listed.is_key.append(packet.is_keyframe)
    listed.is_discarded.append(packet.is_discard)
    listed.is_cut = packet.is_corrupt


def _packets(container: InputContainer, stream: VideoStream, listed: _Listed, path: Path) -> Packets:
    whole = slice(len(listed.pts) - listed.is_cut)
    kind = container.format.name.partition(",")[0]
    return Packets(
        container=kind,
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


def _num_missing(container: InputContainer, stream: VideoStream, listed: _Listed, path: Path) -> int:
    """How many frames are missing where the file is known to be cut; durations alone are too often wrong."""
    num_found = len(listed.pts)
    match container.format.name.partition(",")[0]:
        case "mov":  # as edited: samples that an edit list cuts off do not count
            return max(0, len(stream.index_entries) - num_found) + listed.is_cut
        case "matroska":
            is_cut = listed.is_cut or missing_bytes(path) > 0
        case "avi":
            is_cut = listed.is_cut or missing_riff_bytes(path) > 0
        case "flv":
            is_cut = listed.is_cut or ends_within_tag(path)
        case _:
            is_cut = listed.is_cut
    if not is_cut:
        return 0
    missing_s = _declared_end_s(container, stream) - listed.end_s
    rate = stream.average_rate or stream.guessed_rate
    return max(1, round(missing_s * rate)) if rate else 1


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float:
    """When the file says it ends; 0 where it does not."""
    container_s = (container.duration or 0) / av.time_base
    stream_s = float(stream.frames * (stream.time_base or 0))  # AVI counts in these, dropped frames and all
    return max(container_s, stream_s)
