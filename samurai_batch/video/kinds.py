"""Files and addresses that name videos and are none: refused with what to give instead."""

from pathlib import Path
from urllib.parse import urlsplit

from samurai_batch.errors import VideoError

_PLAYLIST_SUFFIXES = (".m3u8", ".m3u", ".mpd", ".ism", ".ffconcat")
_PLAYLISTS = (b"#extm3u", b"<mpd", b"<smoothstreamingmedia", b"ffconcat version")
_WEB_PAGES = (b"<!doctype html", b"<html")


def refuse_web_folder(uri: str, name: str) -> None:
    """Raises VideoError for a folder over http, which has no list of its files."""
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"} and parts.path.endswith("/"):
        raise VideoError(
            f"{name} is a folder over {parts.scheme}, whose files cannot be listed; copy the frames to a local folder"
            " or to object storage, or give a video file"
        )


def refuse_other_kinds(path: Path, name: str) -> None:
    """Raises VideoError for a playlist, which names the videos that it is made of, and for a web page."""
    with path.open("rb") as file:
        head = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_text_list = any(head.startswith(mark) for mark in _PLAYLISTS) or (
        head.startswith(b"<?xml") and any(mark in head for mark in _PLAYLISTS)
    )
    if is_text_list or path.suffix.lower() in _PLAYLIST_SUFFIXES:
        raise VideoError(
            f"{name} is a playlist, which is not supported; make one file of what it lists, as with ffmpeg -i"
            " playlist.m3u8 -c copy clip.mp4"
        )
    if head.startswith(_WEB_PAGES):
        raise VideoError(f"{name} is a web page, not a video; give the address of the video file itself")
