"""A video file: its frames by index, decoded by PyAV, decord or torchcodec.

"auto" means PyAV. decord (its maintained build, decord2) gives the same frames bit for bit for undamaged files, but
reports no damage: of 60 files with a few overwritten bytes it returned wrong frames of 44 without an error, and PyAV
named the damaged frame of each. Whether a file is damaged cannot be told before it is decoded. decord also takes 15 to
20 % more CPU time, and with bounded memory 1.5 times (groups of 50 frames of 1280x720) to 3 times PyAV's (groups of
250).
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import av
import av.error
import numpy as np

from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.tasks import VideoInfo
from samurai_batch.video.decoders import DecoderName, describe_decoder
from samurai_batch.video.frame_index import FrameIndex, read_frame_index
from samurai_batch.video.frames import Pixels
from samurai_batch.video.packet_decoder import NUM_THREADS, UNKNOWN_PACKET, PacketDecoder, checksum

THREADED_CODECS = {"av1", "hevc", "prores", "vp9"}
"""Their decoders raise an error for damage. Those of H.264 and MPEG-4 repair the frame and mark it: with several frames
at a time, a frame can come out before its mark is set, and with several slices at a time H.264 has no marks."""

_CUT_ANYWHERE = frozenset("mpegts mpeg asf h264 hevc m4v mpegvideo obu".split())  # noqa: SIM905
"""Formats without a length or a table of contents: a recording that was interrupted is a whole file to FFmpeg."""


class Decoder(Protocol):
    """Decodes one file from any frame on."""

    def frames_from(self, start: int, step: int = 1) -> Iterator[Pixels]:
        """Frame ``start`` and every ``step``-th after it; ends the iteration before. Raises VideoError."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class FileReader:
    """One video file. Raises VideoError if it is no video, or its first frame cannot be decoded.

    Raises VideoError too if ``decoder`` would not give the same frames as PyAV (decord), or other frames (torchcodec),
    and ConfigError if it is not installed. PyAV decodes
    with ``num_threads``, which changes no frame and no error.
    """

    def __init__(self, path: Path, name: str, decoder: DecoderName = "auto", num_threads: int = NUM_THREADS) -> None:
        self._name = name
        self._index = read_frame_index(path, name)
        self._decoder: Decoder
        if decoder == "decord":
            describe_decoder(decoder)  # raises if it is not installed
            from samurai_batch.video.decord_decoder import DecordDecoder

            self._decoder = DecordDecoder(path, name, self._index)
        elif decoder == "torchcodec":
            describe_decoder(decoder)
            from samurai_batch.video.torchcodec_decoder import TorchcodecDecoder

            self._decoder = TorchcodecDecoder(path, name, self._index)
        else:
            self._decoder = PyavDecoder(path, name, self._index, num_threads)
        height, width, _ = next(self._decoder.frames_from(0)).shape
        self.info = VideoInfo(self._index.num_declared, height, width)
        self._frames: Iterator[Pixels] = iter(())
        self._next: tuple[int, int] | None = None  # frame and step

    def timestamp_s(self, index: int) -> float:
        """Presentation time in seconds. Raises TruncatedVideoError if the file ends before this frame."""
        self._check(index)
        return self._index.timestamp_s(index)

    def read(self, start: int, stop: int, step: int = 1) -> Iterator[Pixels]:
        """Every ``step``-th of the frames ``start`` to ``stop - 1``. Raises VideoError and TruncatedVideoError.

        Frames between are decoded, but not converted to RGB.
        """
        for index in range(start, stop, step):
            self._check(index)
            yield self._frame(index, step)

    def close(self) -> None:
        """Close the file."""
        self._frames = iter(())
        self._decoder.close()

    def _frame(self, index: int, step: int) -> Pixels:
        if self._next != (index, step):
            self._frames = self._decoder.frames_from(index, step)
        self._next = None  # after a failure, the next call starts a new iteration
        pixels = next(self._frames)
        height, width, _ = pixels.shape
        if (height, width) != (self.info.height, self.info.width):
            raise VideoError(
                f"{self._name}: frame {index} is {width}x{height} pixels, the frames before it "
                f"{self.info.width}x{self.info.height}; cut the video where its size changes"
            )
        self._next = index + step, step
        return pixels

    def _check(self, index: int) -> None:
        reached = len(self._index)
        if index >= reached:
            raise TruncatedVideoError(
                f"{self._name}: the file ends before frame {reached} of {self.info.num_frames}; copy it again from "
                "its source",
                frame_reached=reached,
            )


class PyavDecoder:
    """Decodes one file from any frame on, and reports missing and damaged frames.

    Several threads decode THREADED_CODECS alone. FFmpeg tells of damage some packets later with them than with one. So
    where it tells of any, or a frame is missing, decoding goes on from there with one thread, which decides what is an
    error. Frames of all codecs are converted to RGB by all threads.
    """

    def __init__(self, path: Path, name: str, index: FrameIndex, num_threads: int = NUM_THREADS) -> None:
        self._name, self._index, self._num_threads = name, index, num_threads
        self._decoder = PacketDecoder(path, name, index.packets)
        is_threaded = num_threads > 1 and index.packets.codec in THREADED_CODECS
        self._fast = PacketDecoder(path, name, index.packets, num_threads) if is_threaded else None
        self._frame_of_packet = np.full(len(index.packets), -1)  # -1: not shown
        is_known = index.packet != UNKNOWN_PACKET
        self._frame_of_packet[index.packet[is_known]] = np.flatnonzero(is_known)

    def frames_from(self, start: int, step: int = 1) -> Iterator[Pixels]:
        """Frame ``start`` and every ``step``-th after it; ends the iteration before. Raises VideoError."""
        expected = start
        for frame in self._undamaged_frames(start):
            if (expected - start) % step == 0:
                yield self._pixels(frame)
            expected += 1
        try:
            for number, frame in self._consecutive_frames(expected):
                if self._is_damaged(number, frame):
                    raise self._damage_error(number, expected)
                if (expected - start) % step == 0:
                    yield self._pixels(frame)
                expected += 1
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{self._name}: decoding failed at frame {expected}; the file is damaged: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()
        if self._fast is not None:
            self._fast.close()

    def _undamaged_frames(self, start: int) -> Iterator[av.VideoFrame]:
        """Frames from ``start`` on by several threads, up to the first that is not in order."""
        if self._fast is None or start >= len(self._index):
            return
        first = next(iter(self._index.starts_before(start)))
        with suppress(av.error.FFmpegError):
            for number, frame in self._run_from(self._fast, first, start):
                if self._is_damaged(number, frame):
                    return
                yield frame

    def _damage_error(self, number: int, index: int) -> VideoError:
        """The error of a damaged frame. The last packet of a stream that may be cut at any byte is incomplete."""
        packets = self._index.packets
        if index > 0 and number == len(packets) - 1 and packets.container in _CUT_ANYWHERE:
            return TruncatedVideoError(
                f"{self._name}: the file ends within frame {index}; copy it again from its source", frame_reached=index
            )
        return VideoError(f"{self._name}: frame {index} is damaged; copy the file again, or cut it out")

    def _is_damaged(self, number: int, frame: av.VideoFrame) -> bool:
        return frame.is_corrupt and not 0 <= number < self._index.packets.first_key

    def _pixels(self, frame: av.VideoFrame) -> Pixels:
        pixels = np.asarray(frame.to_ndarray(format="rgb24", threads=self._num_threads), dtype=np.uint8)
        return self._index.orientation.apply(pixels)

    def _consecutive_frames(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames from ``start`` on without a gap, with their packets.

        Decoding restarts at an earlier key packet where the nearest one needs frames before it.
        """
        expected = start
        while expected < len(self._index):
            reached = expected
            for first in self._index.starts_before(expected):
                for number, frame in self._run_from(self._decoder, first, expected):
                    yield number, frame
                    expected += 1
                if expected > reached:
                    break
            if expected == reached:
                raise VideoError(
                    f"{self._name}: frame {expected} cannot be decoded; if players show this video, re-encode it"
                )

    def _run_from(self, decoder: PacketDecoder, first: int, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frame ``start`` and those after it, up to the first gap, when decoding begins at packet ``first``."""
        expected = start
        for index, number, frame in self._shown_frames(decoder, first):
            if index < start:
                continue
            if index != expected or not self._has_expected_pixels(index, frame):
                return
            yield number, frame
            expected += 1

    def _shown_frames(self, decoder: PacketDecoder, first: int) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Frame index, packet number and frame, decoded from packet ``first`` on."""
        frames = decoder.frames_from(first, tolerate_damage=self._index.checksums is not None)
        if self._index.packet[0] == UNKNOWN_PACKET:  # then decoding always begins at the first packet
            yield from ((index, number, frame) for index, (number, frame) in enumerate(frames))
            return
        for number, frame in frames:
            if (index := int(self._frame_of_packet[number])) >= 0:
                yield index, number, frame

    def _has_expected_pixels(self, index: int, frame: av.VideoFrame) -> bool:
        checksums = self._index.checksums
        return checksums is None or checksum(frame) == checksums[index]
