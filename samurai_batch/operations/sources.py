"""The tracks that a source has now: a prompts table, several of them, or rows with patterns for videos.

``prompts`` of a job may be a pattern such as ``s3://bucket/in/*.csv``: every table that matches now is read, so that a
video may arrive together with its prompts. In any table, a ``video_uri`` with ``*`` or ``?`` in its last part is
replaced by every file or folder that matches, and ``*`` in its ``video_id`` by that file's name without suffix. This is
for fixed cameras, whose videos all begin with the same prompts. A row with the URI of a video precedes patterns.
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace

from samurai_batch import storage
from samurai_batch.errors import PromptsError
from samurai_batch.manifest import read_prompts
from samurai_batch.runtime.recipe import with_absolute_videos
from samurai_batch.tasks import Track, TrackId, Video


def read_source(prompts: str, read: Callable[[str], list[Track]] = read_prompts) -> list[Track]:
    """All tracks of ``prompts`` at this moment, patterns replaced by what they match; ``read`` reads one table.

    Raises PromptsError for bad rows and for objects that are in two tables, ConfigError for a pattern that cannot be
    used, and StorageError. A pattern without a match is no error: the videos may come later.
    """
    tables = storage.matches(prompts) if storage.is_pattern(prompts) else [prompts]
    found: dict[TrackId, Track] = {}
    for table in tables:
        for track in _expanded(read(table)):
            if track.track_id in found:
                video_id, object_id = track.track_id
                problem = f"object {object_id} of video {video_id} is in another table as well; remove one of them"
                raise PromptsError(storage.redact_uri(table), [problem])
            found[track.track_id] = track
    return with_absolute_videos(found.values())


def _expanded(tracks: Sequence[Track]) -> list[Track]:
    own = [track for track in tracks if not storage.is_pattern(track.video.uri)]
    taken = {track.track_id for track in own}
    matches: dict[str, list[str]] = {}
    expanded = []
    for track in tracks:
        pattern = track.video.uri
        if not storage.is_pattern(pattern):
            continue
        if "*" not in track.video.video_id:
            expanded.append(track)  # all files that match are one video: `with_absolute_videos`
            continue
        if pattern not in matches:
            matches[pattern] = storage.matches(pattern)
        expanded += [replace(track, video=_video(track.video.video_id, uri)) for uri in matches[pattern]]
    return own + [track for track in expanded if track.track_id not in taken]


def _video(video_id: str, uri: str) -> Video:
    return Video(video_id.replace("*", posixpath.splitext(posixpath.basename(uri))[0]), uri)
