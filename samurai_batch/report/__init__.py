"""``samurai-batch report``: HTML about an output folder and its newest run.

The size of the page is bounded, whatever the size of the archive: see `write_report`.
"""

import posixpath
from dataclasses import replace
from urllib.parse import quote

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.report.gather import MAX_VIDEOS, Report, gather
from samurai_batch.report.jpegs import PAGE_NAME, BesidePage, InPage, in_their_folder
from samurai_batch.report.page import render_page, render_video

__all__ = ["write_report"]

MAX_VIDEOS_ON_PAGE = 10


def write_report(
    output: str,
    report_uri: str | None = None,
    with_pictures: bool = True,
    *,
    inline: bool = False,
    max_videos: int = MAX_VIDEOS,
    worst: int | None = None,
    other: str | None = None,
) -> str:
    """Write the report of an output folder to ``report_uri`` (default: ``report.html`` in it); returns its URI.

    The page lists all tracks, to search and to sort. At most ``max_videos`` videos get timelines and pictures: those
    with failed tracks first, then those with the worst moments. Up to `MAX_VIDEOS_ON_PAGE` videos are on the page
    itself, more get pages of their own, ``report_files/<video>/index.html``. Pictures are in the same folders, and a
    browser loads them when they scroll into view; with ``inline`` all is part of one file. ``worst`` puts that many
    worst moments of all tracks first; ``other`` is an output with the same tracks, made another way, such as backward:
    disagreement is then among them. If a video cannot be read, the report says so in place of its pictures. Raises
    ConfigError if ``output`` has no finished or failed track or ``report_uri`` is no ``.html``, LedgerError and
    StorageError.
    """
    if max_videos < 0:
        raise ConfigError(f"max_videos is {max_videos}: use 0 or more")
    if worst is not None and worst < 1:
        raise ConfigError(f"worst is {worst}: use 1 or more")
    uri = storage.join(output, "report.html") if report_uri is None else report_uri
    if not uri.endswith((".html", ".htm")):
        raise ConfigError(f"the report would be written to {storage.redact_uri(uri)}; end its name in .html")
    store = InPage() if inline else BesidePage(uri)
    report = gather(output, with_pictures, store=store, max_videos=max_videos, worst=worst or 0, other=other)
    addresses = None
    if isinstance(store, BesidePage) and len(report.videos) > MAX_VIDEOS_ON_PAGE:
        addresses = _write_videos(report, store)
    page = render_page(report, addresses, is_worst=worst is not None, has_other=other is not None)
    storage.write_bytes(uri, page.encode())
    store.tidy()
    return uri


def _write_videos(report: Report, store: BesidePage) -> dict[str, str]:
    """Write a page for each video; returns their addresses, by id."""
    back = f"../../{quote(posixpath.basename(store.page_uri))}"
    addresses = {}
    for video in report.videos:
        page = render_video(replace(video, pictures=in_their_folder(video.pictures)), back)
        addresses[video.ledger.video_id] = store.save(video.ledger.video_id, PAGE_NAME, page.encode())
    return addresses
