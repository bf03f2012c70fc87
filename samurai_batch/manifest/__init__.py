"""The prompts table: which objects of which videos a job tracks. Reading, checking and writing it.

One row is one prompt. Columns: ``video_id, video_uri, object_id, frame_index, kind``, the prompt in ``box_xyxy``,
``points_xy`` and ``labels``, ``mask``, or ``text``, and optionally ``start_frame, end_frame, direction``. Kinds are
box, points, mask, text and everything; the last two detect objects on their frame, each of which becomes a track.
Boxes and points are in pixels of the original video. In CSV, lists are JSON text. All rows are checked before any work
starts, and a PromptsError lists all mistakes.

    files.py     read and write tables at any path or URI; folders and lists of pictures
    formats.py   Parquet, CSV, TSV, JSON Lines
    rows.py      parse a data frame, column by column
    cells.py     parse one cell
    tracks.py    group rows into tracks, and check rows against each other
    flags.py     prompts from options of the command line
"""

from samurai_batch.manifest.files import read_pictures, read_prompts, write_prompts
from samurai_batch.manifest.flags import prompts_from_flags
from samurai_batch.manifest.rows import parse_prompts

__all__ = ["parse_prompts", "prompts_from_flags", "read_pictures", "read_prompts", "write_prompts"]
