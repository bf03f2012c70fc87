"""``samurai-batch report``: an HTML page about an output folder and its newest run.

The size of the page is bounded, whatever the size of the archive: see `write_report`.
"""

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.report.gather import MAX_VIDEOS, gather
from samurai_batch.report.jpegs import BesidePage, InPage
from samurai_batch.report.page import render_page

__all__ = ["write_report"]


def write_report(
    output: str,
    report_uri: str | None = None,
    with_pictures: bool = True,
    *,
    inline: bool = False,
    max_videos: int = MAX_VIDEOS,
) -> str:
    """Write the report of an output folder to ``report_uri`` (default: ``report.html`` in it); returns its URI.

    At most ``max_videos`` videos get timelines and pictures: those with failed tracks first, then those with the most
    moments to check. The others are rows of one table, and the page says how many there are. Pictures are written to
    ``report_files/<video>/`` beside the page, and a browser loads them when they scroll into view; with ``inline``
    they are part of the page, which is then a single file. If a video cannot be read, the page says so in place of
    its pictures. Raises ConfigError if ``output`` has no finished or failed track, LedgerError and StorageError.
    """
    if max_videos < 0:
        raise ConfigError(f"max_videos is {max_videos}: use 0 or more")
    uri = storage.join(output, "report.html") if report_uri is None else report_uri
    store = InPage() if inline else BesidePage(uri)
    page = render_page(gather(output, with_pictures, store=store, max_videos=max_videos))
    storage.write_bytes(uri, page.encode())
    store.tidy()
    return uri
