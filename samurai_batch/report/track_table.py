"""The table of all tracks as JSON for the page's script, which searches, sorts and shows it in parts."""

import json
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from samurai_batch.redaction import redact
from samurai_batch.report.gather import TrackLine

COLUMNS = ("Video", "Object", "Status", "Rows", "Present", "Mean score", "Severity", "Worst moment", "Frame")


def table_json(lines: Sequence[TrackLine], links: Mapping[tuple[str, str], str]) -> Markup:
    """``{"videos": [id, …], "rows": [[video number, object, status, …, link], …]}``, safe within a script element.

    ``links`` are addresses of tracks with details, by video and object; others have null. Texts are redacted.
    """
    videos = {video: number for number, video in enumerate(dict.fromkeys(line.video_id for line in lines))}
    rows = [_row(line, videos[line.video_id], links.get((line.video_id, line.object_id))) for line in lines]
    value = {"videos": [redact(one) for one in videos], "rows": rows}
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no tag and no comment can begin in it


def _row(line: TrackLine, video: int, link: str | None) -> list[object]:
    worst = line.worst
    return [
        video,
        redact(line.object_id),
        line.status,
        line.num_rows,
        None if line.present is None else round(line.present, 3),
        None if line.mean_score is None else round(line.mean_score, 3),
        None if worst is None else round(worst.severity, 3),
        "" if worst is None else worst.kind,
        None if worst is None else worst.frame_index,
        link,
    ]
