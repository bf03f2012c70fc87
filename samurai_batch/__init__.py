"""samurai_batch: the SAMURAI tracker over datasets of long videos.

The public names, each loaded when it is first asked for: importing the package loads neither torch nor ray nor pandas.

    run_job, JobConfig                              a whole job, as the command line runs it
    read_masks                                      its mask tables as a DataFrame
    open_video, track_video, Tracker, TrackerSettings   one video in this process, without Ray
    Track, Video, BoxPrompt, PointsPrompt, MaskPrompt, read_prompts   what is to be followed
    MODELS, load_weights, build_model               the networks
    errors                                          everything raised on purpose
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samurai_batch import errors
    from samurai_batch.job import JobConfig
    from samurai_batch.manifest import read_prompts
    from samurai_batch.masks import read_masks
    from samurai_batch.modeling.checkpoints import build_model, load_weights
    from samurai_batch.modeling.configs import MODELS
    from samurai_batch.pipeline import track_video
    from samurai_batch.runtime.run import run_job
    from samurai_batch.tasks import BoxPrompt, MaskPrompt, PointsPrompt, Track, Video
    from samurai_batch.tracking.settings import TrackerSettings
    from samurai_batch.tracking.tracker import Tracker
    from samurai_batch.video import open_video

__all__ = [
    "MODELS",
    "BoxPrompt",
    "JobConfig",
    "MaskPrompt",
    "PointsPrompt",
    "Track",
    "Tracker",
    "TrackerSettings",
    "Video",
    "build_model",
    "errors",
    "load_weights",
    "open_video",
    "read_masks",
    "read_prompts",
    "run_job",
    "track_video",
]

_HOMES = {
    "BoxPrompt": "tasks",
    "JobConfig": "job",
    "MODELS": "modeling.configs",
    "MaskPrompt": "tasks",
    "PointsPrompt": "tasks",
    "Track": "tasks",
    "Tracker": "tracking.tracker",
    "TrackerSettings": "tracking.settings",
    "Video": "tasks",
    "build_model": "modeling.checkpoints",
    "load_weights": "modeling.checkpoints",
    "open_video": "video",
    "read_masks": "masks",
    "read_prompts": "manifest",
    "run_job": "runtime.run",
    "track_video": "pipeline",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # from now on it is found without asking
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
