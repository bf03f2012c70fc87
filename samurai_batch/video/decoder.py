"""Two decoders with one answer: decord, and PyAV where decord would return other frames than those asked for.

What decord 0.6.0 and decord2 3.4.0 were seen to do: they return wrong frames after seeking where groups of pictures are
open (the default of x265), in AVI with H.264 and in MPEG-PS; frames that an edit list cuts away are counted, and then
the last frame is repeated; MPEG-TS starts 86 frames late; a change of size is scaled away; near the end of a truncated
file they fail about 90 frames early, at a frame that depends on timing. In the files `decord_is_exact` names, their
frames equal PyAV's bit for bit.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Protocol

import av
import av.error
import decord
import numpy as np

from samurai_batch.errors import VideoError
from samurai_batch.video.frames import Pixels
from samurai_batch.video.packet_index import AnyPacket, PacketIndex, best_video_stream, shown_at

NUM_THREADS = 1  # the decoder runs beside the tracker; a second thread made neither decoder faster on 720p H.264


class Decoder(Protocol):
    """Decodes one file."""

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it, each in its place; ends the iteration before."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


def decord_is_exact(index: PacketIndex) -> bool:
    """Whether decord returns exactly the frames asked for, as far as the packets tell."""
    return (
        index.container in {"mov", "matroska"}
        and index.codec in {"h264", "hevc"}
        and index.is_regular
        and not index.is_truncated
    )


class DecordGaveUpError(Exception):
    """decord failed. It decodes ahead of the frames it returns, so which frame is at fault it cannot say."""


class DecordDecoder:
    """decord, for files it reads exactly. ``height`` and ``width`` are pixels as displayed."""

    def __init__(self, path: Path, num_frames: int, height: int, width: int) -> None:
        self._num_frames, self._height, self._width = num_frames, height, width
        decord.logging.set_level(decord.logging.QUIET)  # it prints; what fails is raised, too
        # decord hands out the nearest frame for one it cannot decode; less than one such frame is allowed.
        fault_tolerance = 0.5 / num_frames
        self._reader = decord.VideoReader(
            str(path), ctx=decord.cpu(0), num_threads=NUM_THREADS, fault_tol=fault_tolerance
        )

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it. Raises DecordGaveUpError."""
        try:
            self._reader.seek_accurate(start)
            for _ in range(start, self._num_frames):
                yield self._compact(self._reader.next().asnumpy())
        except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError) as error:
            raise DecordGaveUpError(str(error)) from error

    def close(self) -> None:
        """Let the file go."""
        del self._reader

    def _compact(self, frame: Pixels) -> Pixels:
        # decord takes padded rows for more channels: (64, 144, 4) for 64 rows of 144 pixels, padded to 192.
        rows = frame.reshape(self._height, -1)[:, : 3 * self._width]
        return np.ascontiguousarray(rows).reshape(self._height, self._width, 3)


class PyAVDecoder:
    """PyAV, for every file: places each frame by its presentation time, and so notices what is missing."""

    def __init__(self, path: Path, name: str, index: PacketIndex) -> None:
        self._path, self._name, self._index = path, name, index
        self._open()

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it. Raises VideoError."""
        expected = start
        try:
            for frame in self._frames_in_place(start):
                if frame.is_corrupt:
                    raise VideoError(f"{self._name}: frame {expected} is damaged")
                yield _displayed(frame)
                expected += 1
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{self._name}: decoding failed at frame {expected}; the file is damaged: {error}"
            ) from error

    def close(self) -> None:
        """Let the file go."""
        self._container.close()

    def _open(self) -> None:
        self._container = av.open(str(self._path))
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
        if key_pts != self._index.key_pts[0]:
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
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    quarter_turns, rest = divmod(frame.rotation, 90)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if rest == 0 else pixels
