"""How pyarrow reads files of remote stores: the ranges it wants, and nothing around them.

fsspec's files read ahead by default, on S3 by 50 MB: more than most readers of a table want in total.
"""

from pyarrow import PythonFile
from pyarrow.fs import FSSpecHandler


class ExactReads(FSSpecHandler):  # type: ignore[misc]
    """pyarrow's handler of an fsspec file system, without reading ahead and with one request to open a file."""

    def open_input_file(self, path: str) -> PythonFile:
        """A file for reading at any position. Raises FileNotFoundError."""
        return PythonFile(self.fs.open(path, mode="rb", cache_type="none"), mode="r")
