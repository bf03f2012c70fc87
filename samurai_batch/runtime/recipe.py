"""What a job's configuration says of how masks come about. Needs neither torch nor weights."""

from dataclasses import asdict, replace

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.modeling.configs import MODELS
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.tasks import Track
from samurai_batch.tracking.settings import TrackerSettings

TRACKER_VERSION = 1
"""To be raised with every change of code that changes masks: it makes all tracks stale."""


def job_recipe(config: JobConfig, weights_digest: str) -> Recipe:
    """The recipe of a job with these weights. Raises ConfigError for an unknown model or tracker setting."""
    if config.model not in MODELS:
        raise ConfigError(f"model {config.model!r} is not known; the models are {', '.join(MODELS)}")
    model = MODELS[config.model]
    return Recipe(
        model=config.model,
        weights_digest=weights_digest,
        image_size=config.image_size or model.image_size,
        dtype=config.dtype,
        settings=asdict(tracker_settings(config).resolve(model)),
        tracker_version=TRACKER_VERSION,
    )


def tracker_settings(config: JobConfig) -> TrackerSettings:
    """The tracker's settings, those of the job in place of their defaults. Raises ConfigError."""
    return TrackerSettings.from_overrides(config.mode, dict(config.tracker))


def absolute(uri: str) -> str:
    """A URI that means the same in every process of this machine."""
    return uri if storage.is_remote(uri) else str(storage.local_path(uri))


def with_absolute_paths(config: JobConfig) -> JobConfig:
    """The job with its output independent of the current folder."""
    return config.model_copy(update={"output": absolute(config.output)})


def with_redacted_uris(config: JobConfig) -> dict[str, object]:
    """The job's fields for a run's record, without credentials."""
    values = config.model_dump()
    return values | {
        name: storage.redact(values[name]) for name in ("prompts", "output", "weights", "ray_address") if values[name]
    }


def with_absolute_video(track: Track) -> Track:
    """The track with its video's path independent of the current folder."""
    return replace(track, video=replace(track.video, uri=absolute(track.video.uri)))
