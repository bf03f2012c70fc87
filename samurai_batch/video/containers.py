"""Facts that FFmpeg does not report, read from a file's own bytes.

A file may be a playlist or a web page instead of a video, it may be truncated, and a packet may hold a frame that is
decoded but not shown.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import av.error
from av.container import InputContainer

from samurai_batch import storage
from samurai_batch.errors import VideoError

_PLAYLIST_SUFFIXES = (".m3u8", ".m3u", ".mpd", ".ism", ".ffconcat")
_PLAYLISTS = (b"#extm3u", b"<mpd", b"<smoothstreamingmedia", b"ffconcat version")
_WEB_PAGES = (b"<!doctype html", b"<html")

_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
_FLV_HEADER_BYTES = 11
_FLV_LENGTH_BYTES = 4
_VP9_MARKER = 0b10

_END_OF_JPEG = b"\xff\xd9"
_RAW_STREAMS = (".264", ".265", ".avc", ".h264", ".h265", ".hevc", ".h26l")  # files without a container
_START_CODE = b"\x00\x00\x01"
_SEARCHED_BYTES = 16_000_000  # for a start code: more than any picture takes


# -- opening


def open_container(path: Path) -> InputContainer:
    """Open a video file for reading. Raises av.error.FFmpegError.

    A raw stream that was cut inside a picture is opened at its first start code: FFmpeg refuses one whose first packet
    has none.
    """
    try:
        return av.open(str(path), metadata_errors="replace")
    except av.error.InvalidDataError:
        begin = _first_start_code(path) if path.suffix.lower() in _RAW_STREAMS else 0
        if begin <= 0:
            raise
        return av.open(str(path), metadata_errors="replace", options={"skip_initial_bytes": str(begin)})


def _first_start_code(path: Path) -> int:
    """Offset of the first start code of H.264 or H.265; -1 if there is none."""
    with path.open("rb") as file:
        return file.read(_SEARCHED_BYTES).find(_START_CODE)


# -- files and addresses that are no videos


def check_address(uri: str) -> None:
    """Raises VideoError for the address of a playlist, and of a folder over HTTP, whose files cannot be listed."""
    parts, name = urlsplit(uri), storage.redact_uri(uri)
    if parts.scheme in {"http", "https"} and parts.path.endswith("/"):
        raise VideoError(
            f"{name} is a folder over {parts.scheme}, whose files cannot be listed; copy the frames to a local folder"
            " or to object storage, or give a video file"
        )
    if storage.file_name(uri).lower().endswith(_PLAYLIST_SUFFIXES):
        raise _playlist_error(name)


def check_is_video(path: Path, name: str) -> None:
    """Raises VideoError for a playlist and for a web page, by suffix and first bytes."""
    with path.open("rb") as file:
        head = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_text_list = head.startswith(_PLAYLISTS) or (
        head.startswith(b"<?xml") and any(mark in head for mark in _PLAYLISTS)
    )
    if is_text_list or path.suffix.lower() in _PLAYLIST_SUFFIXES:
        raise _playlist_error(name)
    if head.startswith(_WEB_PAGES):
        raise VideoError(f"{name} is a web page, not a video; give the address of the video file itself")


def _playlist_error(name: str) -> VideoError:
    return VideoError(
        f"{name} is a playlist, which is not supported; make one file of the videos it lists, for example with"
        " ffmpeg -i playlist.m3u8 -c copy clip.mp4"
    )


# -- truncated files


def ends_within_picture(packet: "av.Packet[Any]", container: str) -> bool:
    """Whether a picture of a GIF or of a file of JPEGs is cut off; FFmpeg fills it up with an earlier one."""
    match container:
        case "gif":  # a picture ends with an empty block, the file with a semicolon
            return memoryview(packet)[packet.size - 1] not in b"\0;"
        case "mjpeg" | "jpeg_pipe":
            return _END_OF_JPEG not in bytes(packet)
    return False


def is_truncated(path: Path, container: str) -> bool:
    """Whether a Matroska, AVI or FLV file is shorter than it declares; False for other containers."""
    match container:
        case "matroska":
            return missing_matroska_bytes(path) > 0
        case "avi":
            return missing_riff_bytes(path) > 0
        case "flv":
            return flv_ends_within_tag(path)
    return False


def missing_riff_bytes(path: Path) -> int:
    """How many bytes an AVI file is shorter than its first chunk declares; 0 if it is whole or declares no length."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    if head[:4] != b"RIFF" or size in (0, 2**32 - 1):  # the length of a recording that was interrupted
        return 0
    return max(0, 8 + size - path.stat().st_size)


def missing_matroska_bytes(path: Path) -> int:
    """How many bytes a Matroska or WebM file is shorter than its segment declares (RFC 8794, RFC 9559).

    0 if it is whole or declares no length.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.find(_MATROSKA_SEGMENT)
    if not 0 <= start < len(head) - len(_MATROSKA_SEGMENT) - 8:
        return 0
    size_at = start + len(_MATROSKA_SEGMENT)
    num_bytes = 9 - head[size_at].bit_length()
    size = int.from_bytes(head[size_at : size_at + num_bytes], "big") & (1 << 7 * num_bytes) - 1
    if size == (1 << 7 * num_bytes) - 1:  # "unknown", the length of a live recording
        return 0
    return max(0, size_at + num_bytes + size - path.stat().st_size)


def flv_ends_within_tag(path: Path) -> bool:
    """Whether an FLV file does not end with a whole tag (Adobe Flash Video File Format 10.1, annex E).

    Each tag is followed by its length. The duration in the header is too often wrong to be compared.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _FLV_LENGTH_BYTES))
        tag_bytes = int.from_bytes(file.read(_FLV_LENGTH_BYTES), "big")
        start = size - _FLV_LENGTH_BYTES - tag_bytes
        if tag_bytes < _FLV_HEADER_BYTES or start < 0:
            return True
        file.seek(start)
        header = file.read(4)
    return int.from_bytes(header[1:], "big") != tag_bytes - _FLV_HEADER_BYTES


# -- frames that are decoded but not shown


def is_hidden(packet: "av.Packet[Any]", codec: str) -> bool:
    """Whether a VP8 or VP9 packet is not shown, by its first byte (RFC 6386, 9.1; VP9 bitstream, 6.2)."""
    if codec not in {"vp8", "vp9"}:
        return False
    data = memoryview(packet)
    first = data[0]
    if codec == "vp8":
        return not first >> 4 & 1
    marker, profile = first >> 6, first >> 5 & 1 | first >> 3 & 2
    if marker != _VP9_MARKER or profile == 3 or first >> 3 & 1:  # the last bit shows a frame decoded earlier
        return False
    is_superframe = data[packet.size - 1] >> 5 == 0b110  # several frames, of which the last one is shown
    return not first >> 1 & 1 and not is_superframe
