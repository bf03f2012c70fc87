"""The frames of a video file, with their times and the packet that each is made of.

For codecs and containers in which every packet is one frame, the list of packets is enough: the file is read once, and
only its first frames are decoded. For others (old codecs, containers without presentation times, joined recordings)
the whole file is decoded once, which takes as long as reading all its frames.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import AS_DECODED, Orientation, orientation_of
from samurai_batch.video.packet_decoder import UNKNOWN_PACKET, PacketDecoder, checksum
from samurai_batch.video.packets import NO_TIME, Flags, Numbers, Packets, list_packets

NUM_FRAMES_COMPARED = 8
NUM_CACHED = 8

_CONTAINERS = {"mov", "matroska", "mpegts", "flv"}
_CODECS = {"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video"}
_RAW_STREAMS = frozenset("h264 hevc vvc m4v mpegvideo obu mjpeg cavsvideo dirac vc1 h263 h261".split())  # noqa: SIM905
"""Formats of a stream without a container, which has no usable times."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The N frames of a file in presentation order.

    ``packet`` (N,) is the number of the packet that each frame is made of, UNKNOWN_PACKET if the decoder does not say.
    ``ticks`` (N,) is its presentation time in units of the packets' ``time_base``. ``checksums`` (N,) is None if the
    index was made without decoding the file. Decoding can begin at the packets ``starts`` (K,) and then yields the
    frames ``entries`` (K,) and later ones. ``num_declared`` is more than N in a truncated file. ``is_regular`` means
    that every packet is shown, and none before the key packet it follows. ``pixel_format`` and ``orientation`` are
    those of the first frame.
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
        """Packets at which to begin decoding for a frame: the nearest first, then earlier ones as fallbacks."""
        last = int(np.searchsorted(self.entries, index, side="right")) - 1
        steps = [0, *(2**power for power in range(last.bit_length()))] if last >= 0 else []
        return list(dict.fromkeys([*(int(self.starts[last - step]) for step in steps), 0]))


NumberedFrames: TypeAlias = Iterator[tuple[int, av.VideoFrame]]
_FileVersion: TypeAlias = tuple[str, int, int, int]
_cache: "OrderedDict[_FileVersion, FrameIndex]" = OrderedDict()  # a job opens the same few videos repeatedly


def read_frame_index(path: Path, name: str) -> FrameIndex:
    """The frames of a file; the indices of the last NUM_CACHED files are cached.

    Raises VideoError if no frame can be decoded.
    """
    stat = path.stat()
    version = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    index = _cache.pop(version, None) or _index(path, name)
    _cache[version] = index
    while len(_cache) > NUM_CACHED:
        _cache.popitem(last=False)
    return index


def _index(path: Path, name: str) -> FrameIndex:
    packets = list_packets(path, name)
    decoder = PacketDecoder(path, name, packets)
    try:
        return _index_from_packets(packets, decoder, name) or _index_by_decoding(packets, decoder, name)
    finally:
        decoder.close()


# -- by packets


def _index_from_packets(packets: Packets, decoder: PacketDecoder, name: str) -> FrameIndex | None:
    """The index by the packets' times; None if these are unreliable, or disagree with the first decoded frames."""
    if not _each_packet_is_a_frame(packets):
        return None
    is_shown = _shown(packets, decoder)
    # In a truncated file, only frames up to the decoding time of the last complete packet are certain to be complete.
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


def _each_packet_is_a_frame(packets: Packets) -> bool:
    """Whether each packet is one frame with its own presentation time, judged by container, codec and times."""
    dts = packets.dts[packets.dts != NO_TIME]
    if not packets.is_plain or not packets.is_key.any() or (packets.pts == NO_TIME).any():
        return False
    if (np.diff(dts) < 0).any() or len(np.unique(packets.pts)) < len(packets):
        return False
    if packets.is_intra_only and np.array_equal(packets.pts, packets.dts):
        return True
    return packets.container in _CONTAINERS and packets.codec in _CODECS


def _shown(packets: Packets, decoder: PacketDecoder) -> Flags:
    """The packets whose frames are shown. The first group of pictures is decoded if it may be incomplete."""
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
    """Whether all frames before a key packet in the file are shown before it, and all after it are shown after it."""
    latest_before = np.maximum.accumulate(pts)
    earliest_after = np.minimum.accumulate(pts[::-1])[::-1]
    return bool(keys[0] == 0 and (latest_before[keys] == pts[keys]).all() and (earliest_after[keys] == pts[keys]).all())


# -- by decoding


def _index_by_decoding(packets: Packets, decoder: PacketDecoder, name: str) -> FrameIndex:
    """The index made by decoding the whole file."""
    numbers, pts, dts, checksums = array("q"), array("q"), array("q"), array("L")
    orientation, is_interlaced, pixel_format = AS_DECODED, False, ""
    for number, frame in _without_orphans(decoder.surviving_frames(), packets):
        if not numbers:
            orientation, pixel_format = orientation_of(frame, name), frame.format.name
        is_interlaced |= frame.interlaced_frame
        numbers.append(number)
        pts.append(NO_TIME if frame.pts is None or packets.has_only_decoding_times else frame.pts)
        dts.append(NO_TIME if frame.dts is None else frame.dts)
        checksums.append(checksum(frame))
    if not numbers:
        raise VideoError(
            f"{name}: the file holds no decodable frame; it is empty or its beginning is missing, fetch it again"
        )
    packet = np.array(numbers, np.int64)
    is_numbered = packet.min() >= 0 and len(np.unique(packet)) == len(packet)
    starts, entries = _starts(packets, packet) if is_numbered else (np.zeros(1, np.int64),) * 2
    return FrameIndex(
        packets=packets,
        packet=packet if is_numbered else np.full(len(packet), UNKNOWN_PACKET),
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
    """Presentation times; by the frame rate alone for a raw stream without usable times."""
    step = step_between_frames(packets.rate, packets.time_base)
    times = best_times(zip(_known(pts), _known(dts), strict=True))
    ticks = np.fromiter(rising_times(times, step), np.int64)
    if packets.container in _RAW_STREAMS and ticks[0] < 0:
        return (max(0, int(packet.min())) + np.arange(len(packet))) * step
    return ticks


def _known(times: Iterable[int]) -> Iterator[int | None]:
    return (None if time == NO_TIME else time for time in times)


def _starts(packets: Packets, packet: Numbers) -> tuple[Numbers, Numbers]:
    """The key packets, and the first frame that decoding yields from each.

    That is the key packet's own frame, or if it is not shown, the first frame after all those of earlier packets.
    """
    frame_of = np.full(len(packets) + 1, -1)  # by packet; the extra entry makes index -1 mean "not shown"
    frame_of[packet] = np.arange(len(packet))
    latest = np.maximum.accumulate(frame_of)
    keys = np.flatnonzero(packets.is_key)
    entries = np.where(frame_of[keys] >= 0, frame_of[keys], np.where(keys > 0, latest[keys - 1] + 1, 0))
    return keys, np.maximum.accumulate(entries)


# -- presentation times of decoded frames


def best_times(stamps: Iterable[tuple[int | None, int | None]]) -> Iterator[int | None]:
    """One time per frame, of (presentation time, decoding time) pairs in presentation order.

    As FFmpeg's "best effort" timestamp: the presentation time, unless presentation times have failed to rise more
    often than decoding times.
    """
    pts_faults, dts_faults = _FaultCounter(), _FaultCounter()
    for pts, dts in stamps:
        pts_faults.add(pts, dts)
        dts_faults.add(dts, pts)
        has_better_pts = pts_faults.count <= dts_faults.count or dts is None
        yield pts if pts is not None and has_better_pts else dts


class _FaultCounter:
    """Counts how often one kind of timestamp did not rise."""

    def __init__(self) -> None:
        self.count = 0
        self._last: int | None = None

    def add(self, time: int | None, other: int | None) -> None:
        """The next timestamp; a missing one is replaced by the other kind's and is no fault."""
        if time is not None and self._last is not None and time <= self._last:
            self.count += 1
        if time is not None or other is not None:
            self._last = other if time is None else time


def rising_times(times: Iterable[int | None], step: int) -> Iterator[int]:
    """The same times, made to rise: a missing time is 0 for the first frame, and one step after the frame before.

    That step is the one between the last two frames with times, since containers may declare twice the frame rate;
    ``step`` if there are none. Where times fall back, because recordings were joined, they continue one ``step`` after
    the frame before.
    """
    last, shift, measured = -step, 0, step
    is_first = has_time = True
    for time in times:
        had_time, has_time = has_time, time is not None
        if time is None:
            last += step if is_first else measured
        elif not is_first and time + shift < last:
            shift = last + step - time
            last += step
        else:
            if had_time and not is_first and time + shift > last:
                measured = time + shift - last
            last = time + shift
        is_first = False
        yield last


def step_between_frames(rate: Fraction | None, time_base: Fraction) -> int:
    """Ticks from one frame to the next; at 25 frames/s if the rate is unknown."""
    return max(1, round(1 / ((rate or Fraction(25)) * time_base)))


# -- by packets and by decoding


def _without_orphans(frames: NumberedFrames, packets: Packets) -> NumberedFrames:
    """Leave out damaged frames that follow the first key packet in the file but are shown before it.

    They need frames that the file no longer holds; FFmpeg shows them only with its flag for corrupt frames.
    """
    first_key, has_passed_key = packets.first_key, False
    for number, frame in frames:
        has_passed_key = has_passed_key or number == first_key
        if has_passed_key or number < first_key or not frame.is_corrupt:
            yield number, frame


def _decodable(frames: NumberedFrames) -> NumberedFrames:
    """The frames before the first decoding error."""
    with suppress(av.error.FFmpegError):
        yield from frames
