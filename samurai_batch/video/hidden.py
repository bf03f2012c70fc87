"""Frames of VP8 and VP9 that are decoded and not shown: their packets make no picture by themselves."""

from typing import Any

import av

_VP9_MARKER = 0b10


def is_hidden(packet: "av.Packet[Any]", codec: str) -> bool:
    """Whether a packet only prepares frames to come, as its first byte says (RFC 6386, 9.1; VP9 bitstream, 6.2)."""
    if codec not in {"vp8", "vp9"}:
        return False
    first = memoryview(packet)[0]
    if codec == "vp8":
        return not first >> 4 & 1
    marker, profile = first >> 6, first >> 5 & 1 | first >> 3 & 2
    if marker != _VP9_MARKER or profile == 3 or first >> 3 & 1:  # the last bit shows a frame decoded before
        return False
    return not first >> 1 & 1 and not _is_superframe(packet)


def _is_superframe(packet: "av.Packet[Any]") -> bool:
    """Whether several frames lie in the packet, of which the last one is shown."""
    return memoryview(packet)[packet.size - 1] >> 5 == 0b110
