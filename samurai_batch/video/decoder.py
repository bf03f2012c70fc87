"""Pixels of a video file, each frame placed by its own presentation time.

PyAV decodes, not decord. decord 0.6.0 and decord2 3.4.0 decode ahead of a slow consumer without bound (0.4 to 1.8 GB
within 1,500 frames of 1280x720), and say nothing when they return other frames than those asked for: after seeks
where groups of pictures are open (the default of x265), with edit lists, in MPEG-TS and MPEG-PS, in H.264 in AVI, and
where the size changes. Where both are right, their frames are the same bit for bit.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import av
import av.error
import numpy as np

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import Pixels
from samurai_batch.video.packet_index import AnyPacket, PacketIndex, best_video_stream, shown_at

NUM_THREADS = 1  # of decoding and of turning into RGB: other cores are the tracker's, or another replica's


class Decoder:
    """Decodes one file from any frame on, and notices what is missing."""

    def __init__(self, path: Path, name: str, index: PacketIndex) -> None:
        self._path, self._name, self._index = path, name, index
        self._open()

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it; ends the iteration before. Raises VideoError."""
        expected = start
        try:
            for frame in self._frames_in_place(start):
                if frame.is_corrupt:
                    raise VideoError(f"{self._name}: frame {expected} is damaged")
                yield _displayed(frame)
                expected += 1
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{self._name}: decoding failed at frame {expected}; the file is damaged: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Let the file go."""
        self._container.close()

    def _open(self) -> None:
        self._container = av.open(str(self._path), metadata_errors="replace")
        self._stream = best_video_stream(self._container, self._name)
        self._stream.codec_context.thread_count = NUM_THREADS

    def _frames_in_place(self, start: int) -> Iterator[av.VideoFrame]:
        """Frames by index without a gap. Some key packets need the one before, to show what follows them."""
        keys = np.flatnonzero(self._index.key_pts <= self._index.pts[start])[::-1]
        expected = start
        for key in dict.fromkeys([*keys[:2], keys[-1]]):
            for index, frame in self._numbered(int(key)):
                if index < start:
                    continue
                if index != expected:
                    break
                yield frame
                expected += 1
            if expected > start:
                break
        if expected < len(self._index.pts):
            raise VideoError(
                f"{self._name}: frame {expected} cannot be decoded; if players show this video, re-encode it"
            )

    def _numbered(self, key: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames from a key packet on, with their indices; frames that are not shown are left out."""
        pts = self._index.pts
        expected = -1
        for frame in self._decoded(key):
            if frame.pts is None:
                raise VideoError(f"{self._name}: a frame after frame {expected} has no presentation time")
            if not 0 <= expected < len(pts) or pts[expected] != frame.pts:
                expected = int(np.searchsorted(pts, frame.pts))
                if expected == len(pts) or pts[expected] != frame.pts:
                    continue
            yield expected, frame
            expected += 1

    def _decoded(self, key: int) -> Iterator[av.VideoFrame]:
        packets = self._packets_from(int(self._index.key_pts[key]))
        codec = self._stream.codec_context
        for packet in packets:
            if packet.size == 0 or (packet.is_corrupt and self._index.is_truncated):
                break
            yield from codec.decode(packet)
        yield from codec.decode(None)

    def _packets_from(self, key_pts: int) -> Iterator[AnyPacket]:
        """Packets from exactly this key packet on, wherever the container's own seek leads."""
        with suppress(av.error.FFmpegError):
            self._container.seek(key_pts, stream=self._stream)
            if packets := self._find_key(key_pts):
                return packets
        self.close()
        self._open()
        return self._find_key(key_pts) or iter(())

    def _find_key(self, key_pts: int) -> Iterator[AnyPacket] | None:
        """Packets from this key packet on; None if the container stands behind it."""
        packets = self._container.demux(self._stream)
        for packet in packets:
            pts = shown_at(packet)
            if packet.is_keyframe and pts is not None and pts >= key_pts:
                return chain([packet], packets) if pts == key_pts else None
        return None


def _displayed(frame: av.VideoFrame) -> Pixels:
    pixels = np.asarray(frame.to_ndarray(format="rgb24", threads=NUM_THREADS), dtype=np.uint8)
    quarter_turns, rest = divmod(frame.rotation, 90)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if rest == 0 else pixels
