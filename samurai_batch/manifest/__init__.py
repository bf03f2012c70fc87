"""The prompts table: what a job is asked to follow, read from a file or a data frame and checked row by row.

One row is one prompt. Columns: ``video_id, video_uri, object_id, frame_index, kind``, the prompt in ``box_xyxy``,
``points_xy`` and ``labels``, ``mask``, or ``text``, and optionally ``start_frame, end_frame, direction``. Kinds are
box, points, mask, and two that are looked up on their frame, where each object found becomes a track of its own: text
and everything. Boxes and points are in pixels of the original video. In CSV the lists are JSON text. Every row is
checked before any work starts, and a PromptsError tells of all bad ones at once.
"""

from samurai_batch.manifest.files import read_prompts, write_prompts
from samurai_batch.manifest.flags import prompts_from_flags
from samurai_batch.manifest.pictures import read_pictures
from samurai_batch.manifest.rows import parse_prompts

__all__ = ["parse_prompts", "prompts_from_flags", "read_pictures", "read_prompts", "write_prompts"]
