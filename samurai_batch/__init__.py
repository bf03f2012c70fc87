"""samurai_batch: the SAMURAI tracker over datasets of long videos.

    import samurai_batch

    table = samurai_batch.track("clip.mp4", boxes={"dog": (10, 20, 200, 300)})

The public names. Each is loaded on first use: importing the package loads neither torch nor ray nor pandas.

    track                                           track objects through one video, into a DataFrame
    run_job, JobConfig, make_job, load_job          a job, as the command line runs it
    read_masks, iter_masks, compact_masks           its mask tables: as a DataFrame, in batches; merge into large files
    to_supervision                                  the rows of one frame as supervision.Detections
    measure_tracks, write_measurements              paths, speeds, zones and line crossings, as tables
    read_prompts, write_prompts, parse_prompts      prompts tables: read, write, check a DataFrame
    read_detections, parse_detections               detections of any detector: read, check a DataFrame
    Track, Video, BoxPrompt, PointsPrompt, MaskPrompt, TextPrompt, EverythingPrompt, DiscoverPrompt   what to track
    FromVideoPrompt                                 go on with the memories of a track of another video
    Rle, encode_mask, decode_mask                   masks as COCO run lengths
    open_video, track_video, Tracker, TrackerSettings   one video in this process, step by step
    ImagePredictor, load_network                    segment one picture with many prompts
    MODELS, load_weights, build_model               models and weights
    errors                                          all errors of this package
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samurai_batch import errors
    from samurai_batch.exports.supervision import to_supervision
    from samurai_batch.images.networks import load_network
    from samurai_batch.images.predictor import ImagePredictor
    from samurai_batch.job import JobConfig, load_job, make_job
    from samurai_batch.manifest import parse_detections, parse_prompts, read_detections, read_prompts, write_prompts
    from samurai_batch.masks import compact_masks, iter_masks, read_masks
    from samurai_batch.measuring import measure_tracks, write_measurements
    from samurai_batch.modeling.checkpoints import build_model, load_weights
    from samurai_batch.modeling.configs import MODELS
    from samurai_batch.one_video import track
    from samurai_batch.pipeline import track_video
    from samurai_batch.prompts import (
        BoxPrompt,
        DiscoverPrompt,
        EverythingPrompt,
        FromVideoPrompt,
        MaskPrompt,
        PointsPrompt,
        Rle,
        TextPrompt,
    )
    from samurai_batch.rle import decode_mask, encode_mask
    from samurai_batch.runtime.run import run_job
    from samurai_batch.tasks import Track, Video
    from samurai_batch.tracking.settings import TrackerSettings
    from samurai_batch.tracking.tracker import Tracker
    from samurai_batch.video import open_video

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "BoxPrompt",
    "DiscoverPrompt",
    "EverythingPrompt",
    "FromVideoPrompt",
    "ImagePredictor",
    "JobConfig",
    "MaskPrompt",
    "PointsPrompt",
    "Rle",
    "TextPrompt",
    "Track",
    "Tracker",
    "TrackerSettings",
    "Video",
    "build_model",
    "compact_masks",
    "decode_mask",
    "encode_mask",
    "errors",
    "iter_masks",
    "load_job",
    "load_network",
    "load_weights",
    "make_job",
    "measure_tracks",
    "open_video",
    "parse_detections",
    "parse_prompts",
    "read_detections",
    "read_masks",
    "read_prompts",
    "run_job",
    "to_supervision",
    "track",
    "track_video",
    "write_measurements",
    "write_prompts",
]

_HOMES = {
    "BoxPrompt": "prompts",
    "DiscoverPrompt": "prompts",
    "EverythingPrompt": "prompts",
    "FromVideoPrompt": "prompts",
    "ImagePredictor": "images.predictor",
    "JobConfig": "job",
    "MODELS": "modeling.configs",
    "MaskPrompt": "prompts",
    "PointsPrompt": "prompts",
    "Rle": "prompts",
    "TextPrompt": "prompts",
    "Track": "tasks",
    "Tracker": "tracking.tracker",
    "TrackerSettings": "tracking.settings",
    "Video": "tasks",
    "build_model": "modeling.checkpoints",
    "compact_masks": "masks",
    "decode_mask": "rle",
    "encode_mask": "rle",
    "iter_masks": "masks",
    "load_job": "job",
    "load_network": "images.networks",
    "load_weights": "modeling.checkpoints",
    "make_job": "job",
    "measure_tracks": "measuring",
    "open_video": "video",
    "parse_detections": "manifest",
    "parse_prompts": "manifest",
    "read_detections": "manifest",
    "read_masks": "masks",
    "read_prompts": "manifest",
    "run_job": "runtime.run",
    "to_supervision": "exports.supervision",
    "track": "one_video",
    "track_video": "pipeline",
    "write_measurements": "measuring",
    "write_prompts": "manifest",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # the next access does not call __getattr__
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
