"""The prompts table: which objects of which videos a job tracks. Reading, checking and writing it.

One row is one prompt. Columns: ``video_id, video_uri, object_id, frame_index, kind``, the prompt in ``box_xyxy``,
``points_xy`` and ``labels``, ``mask``, or ``text``, and optionally ``start_frame, end_frame, direction``. Kinds are
box, points, mask, text, everything and discover; the last three detect objects, each of which becomes a track: text
and everything on their frame, discover on their frame and all later ones (there, ``text`` limits the classes).
Boxes and points are in pixels of the original video. In CSV, lists are JSON text. All rows are checked before any work
starts, and a PromptsError lists all mistakes.

    files.py     read and write tables at any path or URI; folders and lists of pictures
    formats.py   Parquet, CSV, TSV, JSON Lines
    rows.py      parse a data frame, column by column
    cells.py     parse one cell
    tracks.py    group rows into tracks, and check rows against each other
    flags.py     prompts from options of the command line

    detections.py          the detections table: its schema and its checks
    detection_files.py     read detections at any path or URI
    detection_formats.py   what ultralytics, supervision, COCO and MOTChallenge write
"""

from samurai_batch.manifest.detection_files import read_detections
from samurai_batch.manifest.detections import parse_detections
from samurai_batch.manifest.files import read_pictures, read_prompts, write_prompts
from samurai_batch.manifest.flags import check_video_is_there, prompts_from_flags
from samurai_batch.manifest.rows import parse_prompts

__all__ = [
    "check_video_is_there",
    "parse_detections",
    "parse_prompts",
    "prompts_from_flags",
    "read_detections",
    "read_pictures",
    "read_prompts",
    "write_prompts",
]
