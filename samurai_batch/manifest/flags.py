"""Prompts from options of the command line: boxes, points or masks on one frame of one video."""

import posixpath
from collections.abc import Callable, Sequence
from typing import TypeVar

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.manifest import cells
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from samurai_batch.tasks import Direction, Track, Video

Value = TypeVar("Value")


def prompts_from_flags(
    video_uri: str,
    *,
    boxes: Sequence[str] = (),
    points: Sequence[str] = (),
    negatives: Sequence[str] = (),
    masks: Sequence[str] = (),
    frame: int = 0,
    start_frame: int | None = None,
    end_frame: int | None = None,
    direction: Direction = "forward",
) -> list[Track]:
    """The tracks, with the object_ids "1", "2", ...; the video_id is the file name without its ending.

    ``boxes`` are ``"x1,y1,x2,y2"``, ``points`` (on the object) and ``negatives`` (beside it) ``"x,y"``, all in pixels;
    ``masks`` are URIs of PNGs. Each box and each mask is one object. All points together belong to the only box, or are
    one object. Raises ConfigError with the option, its value and the remedy.
    """
    _parsed("--frame", frame, cells.frame_index)
    box_prompts = [BoxPrompt(frame, _parsed("--box", text, _box)) for text in boxes]
    mask_prompts = [MaskPrompt(frame, _parsed("--mask", uri, cells.png_mask)) for uri in masks]
    clicks = _clicks(frame, points, negatives)
    whole_prompts: list[Prompt] = [*box_prompts, *mask_prompts]
    objects: list[tuple[Prompt, ...]] = [(prompt,) for prompt in whole_prompts]
    if clicks is not None:
        objects = [_with_clicks(objects, clicks)]
    if not objects:
        raise ConfigError("no prompt is given; add --box x1,y1,x2,y2, --point x,y or --mask file.png")
    _check_span(frame, start_frame, end_frame)
    video = Video(video_id_of(video_uri), video_uri)
    return [
        Track(
            video=video,
            object_id=str(number),
            prompts=prompts,
            start_frame=start_frame,
            end_frame=end_frame,
            direction=direction,
        )
        for number, prompts in enumerate(objects, start=1)
    ]


def check_video_is_there(video_uri: str) -> None:
    """Raises ConfigError for a local file or folder that does not exist; sends no request for others."""
    for uri in storage.uris_of_files(storage.with_matches(video_uri)):
        if not storage.is_remote(uri) and not storage.local_path(uri).exists():
            raise ConfigError(f"video {uri} does not exist; check its path")


def _clicks(frame: int, points: Sequence[str], negatives: Sequence[str]) -> PointsPrompt | None:
    positive = [_parsed("--point", text, _point) for text in points]
    negative = [_parsed("--negative", text, _point) for text in negatives]
    if not positive and not negative:
        return None
    return PointsPrompt(frame, (*positive, *negative), (1,) * len(positive) + (0,) * len(negative))


def _with_clicks(objects: list[tuple[Prompt, ...]], clicks: PointsPrompt) -> tuple[Prompt, ...]:
    """The prompts of the only object: its box, if it has one, and the points."""
    if len(objects) > 1:
        raise ConfigError(
            f"--point and --negative belong to one object, but there are {len(objects)}; write a prompts table"
        )
    if not objects and 1 not in clicks.labels:
        raise ConfigError("--negative alone does not mark the object; add --point x,y or --box x1,y1,x2,y2")
    if objects and isinstance(objects[0][0], MaskPrompt):
        raise ConfigError("--mask cannot be combined with points; remove --point and --negative")
    return (*objects[0], clicks) if objects else (clicks,)


def _check_span(frame: int, start_frame: int | None, end_frame: int | None) -> None:
    for flag, value in (("--start-frame", start_frame), ("--end-frame", end_frame)):
        if value is not None:
            _parsed(flag, value, cells.frame_index)
    if start_frame is not None and frame < start_frame:
        raise ConfigError(f"--frame {frame} is before --start-frame {start_frame}; exchange them")
    if end_frame is not None and frame > end_frame:
        raise ConfigError(f"--frame {frame} is after --end-frame {end_frame}; exchange them")


def _parsed(flag: str, value: object, parse: Callable[[object], Value]) -> Value:
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigError(f"{flag} {value}: {error}") from error


def _box(text: object) -> tuple[float, float, float, float]:
    return cells.box(_comma_separated(text, "x1,y1,x2,y2"))


def _point(text: object) -> tuple[float, float]:
    numbers = _comma_separated(text, "x,y")
    return cells.points([numbers])[0]


def _comma_separated(text: object, example: str) -> list[float]:
    try:
        numbers = [float(part) for part in str(text).split(",")]
    except ValueError as error:
        raise ValueError(f"it should be numbers separated by commas; write {example} in pixels") from error
    if len(numbers) != example.count(",") + 1:
        raise ValueError(f"it has {len(numbers)} number(s); write {example} in pixels")
    return numbers


def video_id_of(uri: str) -> str:
    """The default video_id: the file name without its ending."""
    uri = storage.uris_of_files(uri)[0]
    path = uri.partition("?")[0] if storage.is_remote(uri) else uri
    name = posixpath.basename(path.rstrip("/"))
    return posixpath.splitext(name)[0] or "video"
