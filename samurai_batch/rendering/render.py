"""``samurai-batch render``: a video with its tracks drawn on it, as an mp4 or a contact sheet."""

import io
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from samurai_batch import storage
from samurai_batch.counting import counted
from samurai_batch.errors import ConfigError
from samurai_batch.rendering.annotate import RenderedTracks, annotate
from samurai_batch.rendering.output import contact_sheet, spread, write_mp4
from samurai_batch.video import StagingCache, VideoSource, open_staged

TILES, TILE_COLUMNS, TILE_WIDTH_PX, TILE_TEXT_PX = 12, 4, 320, 11


def render(
    masks_uri: str,
    video_id: str,
    video_uri: str,
    output: str,
    objects: Iterable[str] | None = None,
    frames: range | None = None,
    num_tiles: int = TILES,
) -> int:
    """Draw the tracks of a video on its frames: ``output`` ends in ``.mp4``, or in ``.png`` for a contact sheet.

    ``frames`` defaults to the span of frames with rows. A contact sheet shows tracked frames; an mp4 leaves out the
    frames between those that ``frame_step`` tracks. Returns the number of frames drawn. Raises ConfigError if there is
    nothing to draw, or ``output`` ends in neither or is the video itself, VideoError if the video cannot be read.
    """
    if not output.endswith((".mp4", ".png")):
        raise ConfigError(f"output {output!r} ends neither in .mp4 nor in .png; use one of these endings")
    if any(_are_one_file(output, file) for file in storage.uris_of_files(video_uri)):
        raise ConfigError(f"output {output!r} is the video itself, which would be replaced; name another file")
    if num_tiles < 1:
        raise ConfigError(f"num_tiles is {num_tiles}: use 1 or more")
    if frames is not None and (not isinstance(frames, range) or frames.step != 1 or not frames):
        raise ConfigError(f"frames is {frames!r}: it should be a range of at least one frame, with step 1")
    tracks = RenderedTracks.read(masks_uri, video_id, None if objects is None else list(objects))
    with opened_video(video_uri) as source:
        span = tracks.frames if frames is None else frames
        inside = range(max(span.start, 0), min(span.stop, source.info.num_frames))
        if not inside:
            raise ConfigError(f"{video_id}: frames {span.start} to {span.stop - 1} are not in the video")
        if output.endswith(".png"):
            chosen = spread(tracks.tracked_frames(inside) or inside, num_tiles)
            storage.write_bytes(output, sheet_png(source, tracks, chosen))
            return len(chosen)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "video.mp4"
            moving = set(tracks.moving_frames(inside))
            frames_read = counted(source.frames(inside), "frames read", len(inside))
            shown = (one for one in frames_read if one.index in moving)
            count = write_mp4(path, ((one.timestamp_s, annotate(one.pixels, tracks.on(one.index))) for one in shown))
            storage.write_bytes(output, path.read_bytes())
            return count


def _are_one_file(one: str, other: str) -> bool:
    if storage.is_remote(one) or storage.is_remote(other):
        return one == other
    paths = storage.local_path(one), storage.local_path(other)
    return paths[0] == paths[1] or (all(path.exists() for path in paths) and paths[0].samefile(paths[1]))


def sheet_png(source: VideoSource, tracks: RenderedTracks, frames: list[int]) -> bytes:
    """A contact sheet of these frames, as PNG."""
    tiles = []
    for index in frames:
        (frame,) = source.frames(range(index, index + 1))
        text_px = TILE_TEXT_PX * source.info.width / TILE_WIDTH_PX
        picture = annotate(frame.pixels, tracks.on(index), text_px)
        tiles.append((f"frame {index}  {frame.timestamp_s:.2f} s", picture))
    sink = io.BytesIO()
    contact_sheet(tiles, TILE_COLUMNS, TILE_WIDTH_PX).save(sink, format="PNG")
    return sink.getvalue()


@contextmanager
def opened_video(uri: str) -> Iterator[VideoSource]:
    """A video at any URI. A remote video is copied to a temporary folder first."""
    with tempfile.TemporaryDirectory() as folder:
        cache = StagingCache(Path(folder), limit_bytes=sys.maxsize)
        with open_staged(uri, cache) as source:
            yield source
