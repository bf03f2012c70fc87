"""Pixels of a video file by PyAV, each frame placed by the packet that it was made of."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np

from samurai_batch.errors import VideoError
from samurai_batch.video.frame_index import FrameIndex
from samurai_batch.video.frames import Pixels
from samurai_batch.video.packet_decoder import NOT_TOLD, NUM_THREADS, PacketDecoder, checksum


class PyavDecoder:
    """Decodes one file from any frame on, and notices what is missing or damaged."""

    def __init__(self, path: Path, name: str, index: FrameIndex) -> None:
        self._name, self._index = name, index
        self._decoder = PacketDecoder(path, name, index.packets)
        self._place = np.full(len(index.packets), NOT_TOLD)  # of each packet's frame among those shown
        self._place[index.packet[index.packet != NOT_TOLD]] = np.flatnonzero(index.packet != NOT_TOLD)
        self._first_key = int(index.packets.is_key.argmax()) if index.packets.is_key.any() else 0

    def frames_from(self, start: int) -> Iterator[Pixels]:
        """Frame ``start`` and those after it; ends the iteration before. Raises VideoError."""
        expected = start
        try:
            for number, frame in self._frames_in_place(start):
                if frame.is_corrupt and not 0 <= number < self._first_key:
                    raise VideoError(f"{self._name}: frame {expected} is damaged; copy the file again, or cut it out")
                pixels = np.asarray(frame.to_ndarray(format="rgb24", threads=NUM_THREADS), dtype=np.uint8)
                yield self._index.orientation.shown(pixels)
                expected += 1
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{self._name}: decoding failed at frame {expected}; the file is damaged: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Let the file go."""
        self._decoder.close()

    def _frames_in_place(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames without a gap, and their packets. Some key packets need what is before, to show what follows them."""
        expected = start
        while expected < len(self._index):
            reached = expected
            for first in self._index.starts_before(expected):
                for number, frame in self._run_from(first, expected):
                    yield number, frame
                    expected += 1
                if expected > reached:
                    break
            if expected == reached:
                raise VideoError(
                    f"{self._name}: frame {expected} cannot be decoded; if players show this video, re-encode it"
                )

    def _run_from(self, first: int, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frame ``start`` and those after it, as far as they come one by one when decoding begins at a packet."""
        expected = start
        for place, number, frame in self._placed(first):
            if place < start:
                continue
            if place != expected or not self._is_the_one(place, frame):
                return
            yield number, frame
            expected += 1

    def _placed(self, first: int) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Frames decoded from a packet on with their places; those that are not shown are left out."""
        frames = self._decoder.frames_from(first, forgiving=self._index.checksums is not None)
        if self._index.packet[0] == NOT_TOLD:  # then decoding always begins at the first packet
            yield from ((place, number, frame) for place, (number, frame) in enumerate(frames))
            return
        for number, frame in frames:
            if (place := int(self._place[number])) != NOT_TOLD:
                yield place, number, frame

    def _is_the_one(self, place: int, frame: av.VideoFrame) -> bool:
        sums = self._index.checksums
        return sums is None or checksum(frame) == sums[place]
