"""``samurai-batch report``: one self-contained HTML page of what an output folder holds, and how it came about."""

from samurai_batch import storage
from samurai_batch.report.gather import gather
from samurai_batch.report.page import render_page

__all__ = ["write_report"]


def write_report(output: str, report_uri: str | None = None, with_pictures: bool = True) -> str:
    """Write the report of an output folder to ``report_uri`` (by default ``report.html`` in it); returns where it is.

    Pictures need the videos; without them, or where a video cannot be read any more, the page says so. Raises
    ConfigError if nothing has ended there, LedgerError and StorageError.
    """
    uri = storage.join(output, "report.html") if report_uri is None else report_uri
    storage.write_bytes(uri, render_page(gather(output, with_pictures)).encode())
    return uri
