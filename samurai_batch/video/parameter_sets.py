"""What the key packets of H.264 and HEVC hold: whether each can be decoded by itself, and all as the first one is."""

from collections.abc import Iterator

from samurai_batch.video.packet_decoder import PacketDecoder

_PARAMETERS = {"h264": {7}, "hevc": {33}}
_CLEAN_STARTS = {"h264": {5}, "hevc": {16, 17, 18, 19, 20, 21}}
"""Kinds of units (H.264, table 7-1; H.265, table 7-1): IDR pictures, and with HEVC the other random access points."""


def why_not_alike(packets: PacketDecoder) -> str:
    """Why some group of pictures may come out otherwise by itself; empty if none does. Reads the whole file."""
    codec = packets.stream.codec_context
    name, extradata = codec.codec.canonical_name, codec.extradata or b""
    found = set()
    for _, packet in packets.packets_from(0):
        if packet.has_sidedata("new_extradata"):
            return "as its pictures change their format"
        if packet.is_keyframe:
            units = list(_units(bytes(packet), name, extradata))
            if not any(kind in _CLEAN_STARTS[name] for kind, _ in units):
                return "as some of its key frames need frames before them"
            found.add(tuple(unit for kind, unit in units if kind in _PARAMETERS[name]))
    return "as its pictures change their format" if len(found) > 1 else ""


def _units(data: bytes, codec: str, extradata: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes of the units in a packet, each after its length, as MP4 and Matroska hold them."""
    size_at = 4 if codec == "h264" else 21  # ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1
    num_bytes = (extradata[size_at] & 3) + 1 if len(extradata) > size_at else 4
    while len(data) > num_bytes:
        size = int.from_bytes(data[:num_bytes], "big")
        unit, data = data[num_bytes : num_bytes + size], data[num_bytes + size :]
        if unit:
            yield (unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F), unit
