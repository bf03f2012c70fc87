"""``samurai-batch report``: a HTML page of what an output folder holds, and how it came about.

The page is bounded in size however large the archive: see `write_report`.
"""

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.report.gather import MAX_VIDEOS, gather
from samurai_batch.report.page import render_page
from samurai_batch.report.storing import BesidePage, InPage

__all__ = ["write_report"]


def write_report(
    output: str,
    report_uri: str | None = None,
    with_pictures: bool = True,
    *,
    inline: bool = False,
    max_videos: int = MAX_VIDEOS,
) -> str:
    """Write the report of an output folder to ``report_uri`` (by default ``report.html`` in it); returns where it is.

    Timelines and pictures are of ``max_videos`` videos at most, those with tracks that failed and with the most moments
    worth a look first; the others are rows of one table, and the page says how many they are. Pictures lie beside the
    page in ``report_files/<video>/``, and a browser loads them as they come into view; with ``inline`` they stand in
    the page, which is then one file. Pictures need the videos; where a video cannot be read any more, the page says so.
    Raises ConfigError if nothing has ended there, LedgerError and StorageError.
    """
    if max_videos < 0:
        raise ConfigError(f"max_videos is {max_videos}: it should be 0 or more")
    uri = storage.join(output, "report.html") if report_uri is None else report_uri
    store = InPage() if inline else BesidePage(uri)
    page = render_page(gather(output, with_pictures, store=store, max_videos=max_videos))
    storage.write_bytes(uri, page.encode())
    store.tidy()
    return uri
