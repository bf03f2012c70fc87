"""Which frames a video file shows, and which packet each of them is made of.

Where a packet is a frame for certain, the list of packets says so: a file is read once, and only its first frames are
decoded. Where packets and frames may differ (old codecs, containers without presentation times, joined recordings), the
whole file is decoded once, which takes as long as reading its frames does.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import VideoError
from samurai_batch.video.clock import best_times, rising_times, step_between_frames
from samurai_batch.video.orientation import AS_DECODED, Orientation, orientation_of
from samurai_batch.video.packet_decoder import NOT_TOLD, PacketDecoder, checksum
from samurai_batch.video.packets import NO_TIME, Flags, Numbers, Packets, list_packets

NUM_FRAMES_COMPARED = 8
NUM_KEPT = 8

_CONTAINERS = {"mov", "matroska", "mpegts", "flv"}
_CODECS = {"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video"}
_WITHOUT_CLOCK = {
    "h264",
    "hevc",
    "vvc",
    "m4v",
    "mpegvideo",
    "obu",
    "mjpeg",
    "cavsvideo",
    "dirac",
    "vc1",
    "h263",
    "h261",
}


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a file, in the order of showing.

    ``packet`` (N,) is the number of the packet each is made of, NOT_TOLD where the decoder does not say. ``ticks`` (N,)
    is when it is shown, in units of the packets' ``time_base``. ``checksums`` (N,) is None where the packets alone made
    the index. Decoding can begin at the packets ``starts`` (K,); frames ``entries`` (K,) and later ones come out then.
    ``num_declared`` is more than N in a truncated file. ``is_regular`` says that every packet is shown, and none before
    the key packet it follows. What is said of the format is the first frames' own.
    """

    packets: Packets
    packet: Numbers
    ticks: Numbers
    checksums: NDArray[np.uint32] | None
    starts: Numbers
    entries: Numbers
    num_declared: int
    is_regular: bool
    is_interlaced: bool
    pixel_format: str
    orientation: Orientation

    def __len__(self) -> int:
        return len(self.packet)

    def timestamp_s(self, index: int) -> float:
        """Presentation time of a frame in seconds."""
        return float(int(self.ticks[index]) * self.packets.time_base)

    def starts_before(self, index: int) -> list[int]:
        """Packets to begin at for a frame: the nearest, and if that does not lead there, ever earlier ones."""
        last = int(np.searchsorted(self.entries, index, side="right")) - 1
        steps = [0, *(2**power for power in range(last.bit_length()))] if last >= 0 else []
        return list(dict.fromkeys([*(int(self.starts[last - step]) for step in steps), 0]))


NumberedFrames: TypeAlias = Iterator[tuple[int, av.VideoFrame]]
_Identity: TypeAlias = tuple[str, int, int, int]
_kept: "OrderedDict[_Identity, FrameIndex]" = OrderedDict()  # a job opens the same few videos again and again


def read_frame_index(path: Path, name: str) -> FrameIndex:
    """The frames of a file; those of the last few files are remembered. Raises VideoError if it shows none."""
    state = path.stat()
    identity = (str(path), state.st_ino, state.st_size, state.st_mtime_ns)
    index = _kept.pop(identity, None) or _index(path, name)
    _kept[identity] = index
    while len(_kept) > NUM_KEPT:
        _kept.popitem(last=False)
    return index


def _index(path: Path, name: str) -> FrameIndex:
    packets = list_packets(path, name)
    decoder = PacketDecoder(path, name, packets)
    try:
        return _of_packets(packets, decoder, name) or _of_frames(packets, decoder, name)
    finally:
        decoder.close()


# -- by packets


def _of_packets(packets: Packets, decoder: PacketDecoder, name: str) -> FrameIndex | None:
    """The index as the packets tell it; None if they cannot be trusted, or the first frames are others."""
    if not _tell_frames(packets):
        return None
    is_shown = _shown(packets, decoder)
    # What is missing comes later in the file, so is shown after its last whole packet was to be decoded.
    last = packets.dts[-1] if packets.dts[-1] != NO_TIME else packets.pts[-1]
    is_there = is_shown & (packets.pts <= last) if packets.num_missing else is_shown
    order = np.argsort(packets.pts)
    packet = order[is_there[order]]
    first = list(islice(_decodable(_without_orphans(decoder.frames_from(0), packets)), NUM_FRAMES_COMPARED))
    if not first or [number for number, _ in first] != packet[: len(first)].tolist():
        return None
    keys = np.flatnonzero(packets.is_key)
    return FrameIndex(
        packets=packets,
        packet=packet,
        ticks=packets.pts[packet],
        checksums=None,
        starts=keys,
        entries=np.searchsorted(packets.pts[packet], packets.pts[keys]),
        num_declared=int(is_shown.sum()) + packets.num_missing,
        is_regular=bool(is_there.all()) and not packets.num_missing and _has_closed_groups(packets.pts, keys),
        is_interlaced=any(frame.interlaced_frame for _, frame in first),
        pixel_format=first[0][1].format.name,
        orientation=orientation_of(first[0][1], name),
    )


def _tell_frames(packets: Packets) -> bool:
    """Whether each packet is one frame, shown at its own time, as far as container, codec and the times tell."""
    dts = packets.dts[packets.dts != NO_TIME]
    if not packets.is_plain or not packets.is_key.any() or (packets.pts == NO_TIME).any():
        return False
    if (np.diff(dts) < 0).any() or len(np.unique(packets.pts)) < len(packets):
        return False
    if packets.is_intra_only and np.array_equal(packets.pts, packets.dts):
        return True
    return packets.container in _CONTAINERS and packets.codec in _CODECS


def _shown(packets: Packets, decoder: PacketDecoder) -> Flags:
    """The packets whose frames are shown; where the file does not begin with a whole group, decoding tells."""
    is_shown = ~packets.is_discarded
    first_key, next_key = (*np.flatnonzero(packets.is_key)[:2], len(packets))[:2]
    if first_key or (packets.pts[first_key:] < packets.pts[first_key]).any():
        is_shown[:next_key] = False
        for number, _ in _decodable(_without_orphans(decoder.frames_from(0), packets)):
            if number >= next_key:
                break
            is_shown[number] = True
    return is_shown


def _has_closed_groups(pts: Numbers, keys: Numbers) -> bool:
    """Whether nothing that follows a key packet in the file is shown before it, and nothing before it after it."""
    latest_before = np.maximum.accumulate(pts)
    earliest_after = np.minimum.accumulate(pts[::-1])[::-1]
    return bool(keys[0] == 0 and (latest_before[keys] == pts[keys]).all() and (earliest_after[keys] == pts[keys]).all())


# -- by decoding


def _of_frames(packets: Packets, decoder: PacketDecoder, name: str) -> FrameIndex:
    """The index as decoding the whole file tells it."""
    numbers, pts, dts, checksums = array("q"), array("q"), array("q"), array("L")
    orientation, is_interlaced, pixel_format = AS_DECODED, False, ""
    for number, frame in _without_orphans(decoder.surviving_frames(), packets):
        if not numbers:
            orientation, pixel_format = orientation_of(frame, name), frame.format.name
        is_interlaced |= frame.interlaced_frame
        numbers.append(number)
        pts.append(NO_TIME if frame.pts is None or packets.has_decoding_times_alone else frame.pts)
        dts.append(NO_TIME if frame.dts is None else frame.dts)
        checksums.append(checksum(frame))
    if not numbers:
        raise VideoError(f"{name}: the file holds no frame that can be decoded; it is empty, or lacks its beginning")
    packet = np.array(numbers, np.int64)
    is_numbered = packet.min() >= 0 and len(np.unique(packet)) == len(packet)
    starts, entries = _starts(packets, packet) if is_numbered else (np.zeros(1, np.int64),) * 2
    return FrameIndex(
        packets=packets,
        packet=packet if is_numbered else np.full(len(packet), NOT_TOLD),
        ticks=_ticks(packets, packet, pts, dts),
        checksums=np.array(checksums, np.uint32),
        starts=starts,
        entries=entries,
        num_declared=len(packet) + packets.num_missing,
        is_regular=False,
        is_interlaced=is_interlaced,
        pixel_format=pixel_format,
        orientation=orientation,
    )


def _ticks(packets: Packets, packet: Numbers, pts: Iterable[int], dts: Iterable[int]) -> Numbers:
    """When the frames are shown; by the frame rate alone where a stream without a container has no usable times."""
    step = step_between_frames(packets.rate, packets.time_base)
    times = best_times(zip(_known(pts), _known(dts), strict=True))
    ticks = np.fromiter(rising_times(times, step), np.int64)
    if packets.container in _WITHOUT_CLOCK and ticks[0] < 0:
        return (max(0, int(packet.min())) + np.arange(len(packet))) * step
    return ticks


def _known(times: Iterable[int]) -> Iterator[int | None]:
    return (None if time == NO_TIME else time for time in times)


def _starts(packets: Packets, packet: Numbers) -> tuple[Numbers, Numbers]:
    """The key packets, and the frames that come out after them: their own, or the first after all those before."""
    place = np.full(len(packets) + 1, -1)  # of each packet's frame; the last one stands for none
    place[packet] = np.arange(len(packet))
    latest = np.maximum.accumulate(place)
    keys = np.flatnonzero(packets.is_key)
    entries = np.where(place[keys] >= 0, place[keys], np.where(keys > 0, latest[keys - 1] + 1, 0))
    return keys, np.maximum.accumulate(entries)


# -- both


def _without_orphans(frames: NumberedFrames, packets: Packets) -> NumberedFrames:
    """The frames but for the damaged ones before the first key frame that follow it in the file.

    They need frames that the file no longer holds; FFmpeg shows them only where it is asked for damaged frames.
    """
    first_key = int(packets.is_key.argmax()) if packets.is_key.any() else 0
    has_passed_key = False
    for number, frame in frames:
        has_passed_key = has_passed_key or number == first_key
        if has_passed_key or number < first_key or not frame.is_corrupt:
            yield number, frame


def _decodable(frames: NumberedFrames) -> NumberedFrames:
    """The frames up to where decoding fails."""
    with suppress(av.error.FFmpegError):
        yield from frames
