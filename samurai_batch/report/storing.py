"""Where the page's pictures go: beside the page, from where a browser loads them as they come into view, or into it.

Beside ``report.html`` they are ``report_files/<video>/sheet.jpg``, and ``3-00120.jpg`` for the video's object number 3
on frame 120.
"""

import base64
import posixpath
import re
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from samurai_batch import storage

_OURS = re.compile(r"sheet\.jpg|\d+-\d+\.jpg")


class PictureStore(Protocol):
    """Takes JPEGs of videos, and says by which address the page shows each."""

    def save(self, video_id: str, name: str, jpeg: bytes) -> str:
        """Keep a picture of a video under a file's name; returns its address for ``src``."""
        ...

    def tidy(self) -> None:
        """Called once the page stands: what no page shows any more may go."""
        ...


class InPage:
    """Pictures inside the page, as data URIs: one file to send, and all of it to load."""

    def save(self, video_id: str, name: str, jpeg: bytes) -> str:
        """The picture itself."""
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")

    def tidy(self) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class BesidePage:
    """Pictures in a folder beside the page, ``<page>_files``, by video."""

    page_uri: str
    _saved: set[tuple[str, str]] = field(default_factory=set)

    @property
    def folder(self) -> str:
        """The URI of the folder."""
        return f"{posixpath.splitext(self.page_uri)[0]}_files"

    def save(self, video_id: str, name: str, jpeg: bytes) -> str:
        """Write the picture; its address is relative to the page."""
        folder = storage.quote_id(video_id)
        storage.write_bytes(storage.join(self.folder, folder, name), jpeg)
        self._saved.add((folder, name))
        return quote(f"{posixpath.basename(self.folder)}/{folder}/{name}")

    def tidy(self) -> None:
        """Remove the pictures of an earlier page of this name. What is not named as ours stays."""
        for folder in storage.list_names(self.folder):
            for name in storage.list_names(storage.join(self.folder, folder)):
                if _OURS.fullmatch(name) and (folder, name) not in self._saved:
                    storage.delete(storage.join(self.folder, folder, name))
