"""Track objects through one video in this process, without a job, output files or Ray."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from samurai_batch import checks
from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.frame_sampling import FrameSampling, OnCut
from samurai_batch.job import JobConfig, make_job
from samurai_batch.manifest.flags import video_id_of
from samurai_batch.masks import mask_table_name
from samurai_batch.masks.reading import to_pandas
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt, Rle
from samurai_batch.rle import encode_mask
from samurai_batch.tasks import Direction, Track, Video
from samurai_batch.tracking.rescue import RescueName
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.trackers import Mode

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_MODE: Mode = "samurai"
Objects = Mapping[str, Any] | Sequence[Any] | NDArray[Any]
"""One value per object: a dict by object name, or a list, whose objects are called "0", "1", …"""


def track(
    video: str | Sequence[str],
    boxes: Objects | None = None,
    *,
    points: Objects | None = None,
    labels: Objects | None = None,
    masks: Objects | None = None,
    frame: int = 0,
    frames: range | None = None,
    direction: Direction = "forward",
    model: str = "nano",
    weights: str | None = None,
    image_size: int | None = None,
    mode: Mode = DEFAULT_MODE,
    rescue: RescueName = "none",
    tracker: Mapping[str, Any] | TrackerSettings | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto",
    chunk_frames: int = 200,
    frames_per_batch: int = 1,
    frame_step: int = 1,
    interpolate_boxes: bool = False,
    on_cut: OnCut | None = None,
) -> "pd.DataFrame":
    """Track objects through one video, in this process; returns a DataFrame like `read_masks`.

        import samurai_batch

        table = samurai_batch.track("clip.mp4", boxes={"dog": (10, 20, 200, 300)})
        mask = table.masks.decode(0)  # (H, W) bool

    ``video`` is a file or a folder of numbered frames: path or URI; or a list of files that together are one video.
    Prompts are given by object name, or in a list, whose objects are called "0", "1", …; they are in pixels of the
    video, on frame ``frame``:

    boxes: ``{"dog": (x1, y1, x2, y2)}``; one box is ``[(x1, y1, x2, y2)]``.
    points: ``{"dog": [(x, y), ...]}``, with labels ``{"dog": [1, 0, ...]}``: 1 on the object (default), 0 beside it.
        An object may have a box and points.
    masks: ``{"dog": array}``, (height, width) of bool, or of numbers that are 0 beside the object.

    ``frames`` are the frames to track through, in ``direction`` from ``frame``; ``frame_step`` takes every
    n-th, and ``interpolate_boxes`` adds rows with boxes between; ``on_cut`` is "ignore", "continue" or "end".
    ``model``, ``weights`` and the other arguments are fields of a job (`JobConfig`); ``tracker`` is a
    `TrackerSettings`, or a dict of settings by name.

    Raises PromptError for wrong prompts and for prompts outside the video, ConfigError and CheckpointError for the
    model and its settings, VideoError for the video.
    """
    of_model = {"model": model, "weights": weights, "image_size": image_size, "device": device, "dtype": dtype}
    of_chunks = {"chunk_frames": chunk_frames, "frames_per_batch": frames_per_batch}
    of_frames = {"frame_step": frame_step, "interpolate_boxes": interpolate_boxes, "on_cut": on_cut}
    uri = checks.checked(checks.uri, video, "video")
    fields = {"prompts": "unused", "output": "unused", **of_model, **of_chunks, **of_frames}
    config = make_job({**fields, **_settings(mode, rescue, tracker)}, source="track")
    prompts = _prompts(frame, boxes, points, labels, masks)
    return _track(config, _tracks(uri, prompts, frames, direction, config.frame_sampling))


def _tracks(
    uri: str,
    prompts: Mapping[str, Sequence[Prompt]],
    frames: range | None,
    direction: Direction,
    sampling: FrameSampling,
) -> list[Track]:
    video, (start, end) = Video(video_id_of(uri), uri), _span(frames)
    span: dict[str, Any] = {"start_frame": start, "end_frame": end, "direction": direction, "sampling": sampling}
    return [Track(video=video, object_id=name, prompts=tuple(own), **span) for name, own in prompts.items()]


def _settings(mode: str, rescue: str, tracker: "Mapping[str, Any] | TrackerSettings | None") -> dict[str, Any]:
    """The fields ``mode``, ``rescue`` and ``tracker`` of a job. `TrackerSettings` contain all of them."""
    if not isinstance(tracker, TrackerSettings):
        return {"mode": mode, "rescue": rescue, "tracker": tracker or {}}
    own = asdict(tracker)
    if rescue not in ("none", own["rescue"]):
        raise ConfigError(
            f"track: rescue is {rescue!r}, but that of tracker is {own['rescue']!r}; leave one of them out"
        )
    if mode not in (DEFAULT_MODE, own["mode"]):
        raise ConfigError(f"track: mode is {mode!r}, but that of tracker is {own['mode']!r}; leave one of them out")
    return {"mode": own.pop("mode"), "rescue": own.pop("rescue"), "tracker": own}


def _span(frames: range | None) -> tuple[int | None, int | None]:
    """The first and the last frame to track."""
    if frames is None:
        return None, None
    if not isinstance(frames, range) or frames.step != 1 or not frames:
        raise PromptError(f"frames is {frames!r}: it should be a range of one frame or more, in steps of 1")
    return frames.start, frames.stop - 1


def _prompts(
    frame: int, boxes: Objects | None, points: Objects | None, labels: Objects | None, masks: Objects | None
) -> dict[str, list[Prompt]]:
    """The prompts of each object, in the order in which names first appear."""
    found: dict[str, list[Prompt]] = {}

    def add(name: str, make: Callable[[], Prompt]) -> None:
        try:
            found.setdefault(name, []).append(make())
        except PromptError as error:
            raise PromptError(f"object {name!r}: {error}") from None

    for name, box in _by_name("boxes", boxes):
        add(name, partial(BoxPrompt, frame, box))
    labels_of = dict(_by_name("labels", labels))
    for name, clicks in _by_name("points", points):
        add(name, partial(_clicks, frame, clicks, labels_of.pop(name, None)))
    if labels_of:
        raise PromptError(
            f"object {next(iter(labels_of))!r} has labels, but no points; give points, one for each label"
        )
    for name, mask in _by_name("masks", masks):
        add(name, partial(_mask, frame, mask))
    if not found:
        raise PromptError('no prompt is given; give boxes={"dog": (x1, y1, x2, y2)}, points or masks')
    return found


def _by_name(argument: str, objects: Objects | None) -> list[tuple[str, Any]]:
    if objects is None:
        return []
    if isinstance(objects, Mapping):
        return list(objects.items())
    if not isinstance(objects, list | tuple | np.ndarray) or any(np.isscalar(one) for one in objects):
        example = f'{argument}={{"dog": ...}} or {argument}=[...]'
        raise PromptError(f"{argument} is {checks.shown(objects)}: give one for each object, as in {example}")
    return [(str(place), one) for place, one in enumerate(objects)]


def _clicks(frame: int, clicks: Any, labels: Any) -> PointsPrompt:
    """Several points, or one point as (x, y); without labels, all are on the object."""
    is_one = isinstance(clicks, list | tuple | np.ndarray) and len(clicks) == 2 and all(map(np.isscalar, clicks))
    checked = checks.checked(checks.points, [clicks] if is_one else clicks, f"points on frame {frame}")
    given: Any = (1,) * len(checked) if labels is None else labels
    if np.isscalar(given):
        given = (given,)
    return PointsPrompt(frame, checked, given)


def _mask(frame: int, mask: Any) -> MaskPrompt:
    if isinstance(mask, Rle):
        return MaskPrompt(frame, mask)
    pixels = np.asarray(mask)
    if pixels.ndim != 2 or pixels.dtype.kind not in "biuf":
        raise PromptError(
            f"the mask on frame {frame} is an array of shape {pixels.shape} and type {pixels.dtype}: "
            "it should be (height, width), of bool or numbers"
        )
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise PromptError(f"the mask on frame {frame} has NaN; give numbers that are 0 beside the object")
    rle = encode_mask(pixels != 0) if pixels.size else None
    if rle is None:
        raise PromptError(f"the mask on frame {frame} is empty; mark at least one pixel")
    return MaskPrompt(frame, rle)


def _track(config: JobConfig, tracks: Sequence[Track]) -> "pd.DataFrame":
    import pyarrow as pa  # torch is loaded after all arguments are checked

    from samurai_batch.modeling.checkpoints import load_weights
    from samurai_batch.pipeline import track_video
    from samurai_batch.runtime.assembly import make_tracker, video_opener
    from samurai_batch.runtime.devices import dtype_of

    weights = load_weights(config.model, config.weights).in_dtype(dtype_of(config))
    tracker = make_tracker(config, weights)
    with video_opener(config, ahead=True)(tracks[0].video.uri) as source:
        chunk_frames = config.chunk_frames * config.frame_step
        tables = track_video(tracker, source, tracks, chunk_frames, config.frames_per_batch)
    return to_pandas(pa.concat_tables([tables[name] for name in sorted(tables, key=mask_table_name)]))
