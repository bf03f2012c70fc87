"""Whether a stream's coding parameters change on the way, as far as its key packets tell."""

import av
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

_LENGTH_SIZE_AT = {"h264": 4, "hevc": 21}  # byte of the configuration record (ISO/IEC 14496-15) that ends in it
_SEQUENCE_PARAMETER_SET = {"h264": 7, "hevc": 33}


class ParameterSets:
    """The sequence parameter sets of an H.264 or HEVC stream; those of other codecs are taken to change."""

    def __init__(self, codec: VideoCodecContext) -> None:
        self._codec = codec.name
        self._record = codec.extradata or b""
        self._length_size = 0
        at = _LENGTH_SIZE_AT.get(codec.name)
        if at is not None and len(self._record) > at and self._record[0] == 1:
            self._length_size = (self._record[at] & 3) + 1

    def change_in(self, packet: "av.Packet[Stream]") -> bool:
        """Whether a key packet brings parameters that the stream's header does not have, or might."""
        if not self._length_size or packet.has_sidedata("new_extradata"):
            return True
        return any(unit not in self._record for unit in self._sequence_parameter_sets(bytes(packet)))

    def _sequence_parameter_sets(self, data: bytes) -> list[bytes]:
        wanted = _SEQUENCE_PARAMETER_SET[self._codec]
        found, start = [], 0
        while start + self._length_size < len(data):
            first = start + self._length_size
            start = first + int.from_bytes(data[start:first], "big")
            kind = data[first] & 0x1F if self._codec == "h264" else data[first] >> 1 & 0x3F
            if kind == wanted:
                found.append(data[first:start])
        return found
