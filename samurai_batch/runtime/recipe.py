"""A job's recipe, which decides its masks, and its tracks. Needs no weights, and torch only to ask for a GPU."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.manifest import read_detections, read_pictures, read_prompts
from samurai_batch.manifest.detections import Detections
from samurai_batch.modeling.configs import image_model_config, model_config
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.prompts import DiscoverPrompt
from samurai_batch.tasks import Track, Video, check_distinct

TRACKER_VERSION = 2
"""Raise it with every change of code that changes the masks of videos: all tracks become stale."""

PICTURES_VERSION = 1
"""Raise it with every change of code that changes the masks of pictures."""


NVIDIA_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvmap", "/dev/dxg")


def job_recipe(config: JobConfig, weights_digest: str) -> Recipe:
    """The recipe of a job with these weights. Raises ConfigError for an unknown model or setting."""
    settings, version, image_size = _settings(config)
    if config.decoder == "torchcodec":  # whose pixels are not those of the others
        settings = settings | {"decoder": config.decoder}
    return Recipe(
        model=config.model,
        weights_digest=weights_digest,
        image_size=config.image_size or image_size,
        dtype=resolved_dtype(config),
        settings=settings,
        tracker_version=version,
        detection={
            "detector": config.detector,
            "detector_threshold": config.detector_threshold,
            "everything": asdict(config.everything),
        },
        discovery={**asdict(config.discovery), "chunk_frames": config.chunk_frames},
    )


def resolved_dtype(config: JobConfig) -> str:
    """The dtype of a job; for ``auto`` the one of the GPU of this machine (`gpu.auto_dtype`), float32 on the CPU.

    Where ``device`` is cuda and this machine has no GPU, as a cluster's head, it is bfloat16.
    """
    if config.dtype != "auto":
        return config.dtype
    if config.device == "cpu":
        return "float32"
    if _may_have_gpu():
        import torch

        from samurai_batch.modeling.gpu import auto_dtype

        if torch.cuda.is_available():
            return str(auto_dtype("cuda")).removeprefix("torch.")
    return "bfloat16" if config.device == "cuda" else "float32"


def with_resolved_dtype(config: JobConfig) -> JobConfig:
    """The job with the dtype that all its replicas compute in, wherever they run."""
    return config.model_copy(update={"dtype": resolved_dtype(config)})


def _may_have_gpu() -> bool:
    """Whether it is worth loading torch, which takes seconds, to ask for a GPU."""
    return "torch" in sys.modules or any(Path(path).exists() for path in NVIDIA_DRIVERS)


def _settings(config: JobConfig) -> tuple[dict[str, object], int, int]:
    """The settings that decide masks, the version of the code, and the default image size of the model."""
    if config.task == "track":
        tracking = model_config(config.model)
        tracking.check_image_size(config.image_size)
        return config.tracker_settings.resolve(tracking).decisive(), TRACKER_VERSION, tracking.image_size
    model = image_model_config(config.model)
    model.check_image_size(config.image_size)
    return {"task": config.task}, PICTURES_VERSION, model.image_size


def absolute(uri: str) -> str:
    """A URI that does not depend on the current folder; of each file of a video of several."""
    files = storage.uris_of_files(uri)
    return storage.as_one([file if storage.is_remote(file) else str(storage.local_path(file)) for file in files])


def with_absolute_paths(config: JobConfig) -> JobConfig:
    """The job with an output that does not depend on the current folder."""
    return config.model_copy(update={"output": absolute(config.output)})


def check_output_store(config: JobConfig) -> None:
    """Check that the store of the output can be used, before anything is read. Raises StoreError."""
    storage.check_output(config.output, in_one_process=config.pool == "local")


def checked_tracks(config: JobConfig, tracks: Sequence[Track] | None) -> list[Track]:
    """The tracks of a job, or these in their place, with paths that do not depend on the current folder.

    Raises StoreError for an output or a video whose store cannot be used here, PromptsError, and PromptError for two
    tracks of one name.
    """
    check_output_store(config)
    if tracks is None:
        tracks = read_prompts(config.prompts) if config.task == "track" else read_pictures(config.prompts)
    else:
        check_distinct(tracks)
    checked = with_absolute_videos(tracks)
    sampling = config.frame_sampling
    checked = [track if track.sampling == sampling else replace(track, sampling=sampling) for track in checked]
    storage.check_inputs((track.video.uri for track in checked), in_one_process=config.pool == "local")
    return checked


def with_absolute_videos(tracks: Iterable[Track]) -> list[Track]:
    """The tracks with paths of videos that do not depend on the current folder. Tracks of one video share it.

    A URI with ``*`` in its last part means all files that match it now, as one video; without a match it stays.
    """
    videos: dict[Video, Video] = {}
    moved = []
    for track in tracks:
        video = videos.get(track.video)
        if video is None:
            uri = storage.with_matches(absolute(track.video.uri))
            video = videos[track.video] = track.video if uri == track.video.uri else replace(track.video, uri=uri)
        moved.append(track if video is track.video else replace(track, video=video))
    return moved


def with_detections(config: JobConfig, tracks: Sequence[Track]) -> tuple[list[Track], Detections]:
    """The tracks with the digest of their detections in each discover prompt, and the detections of those videos.

    Raises ConfigError where a job cannot discover, or its table has no detection on a sampled frame of a video, and
    PromptsError.
    """
    videos = [track.video.video_id for track in tracks if isinstance(track.auto_prompt, DiscoverPrompt)]
    if not videos:
        return list(tracks), {}
    if config.task == "segment":
        raise ConfigError("prompts of kind discover need videos, and task is segment; give pictures a text prompt")
    if config.mode == "sam2long":  # its rows of a chunk wait for later frames, and a window is decided from its rows
        raise ConfigError("prompts of kind discover need a tracker that decides each frame at once; mode is sam2long")
    if config.on_cut == "end":  # a detection at the border of a window would prompt a track that has ended there
        raise ConfigError(
            "prompts of kind discover end their tracks by their own rules, and on_cut is end; set on_cut to continue,"
            " and rows say their shot"
        )
    if config.discovery.every % config.frame_step:
        raise ConfigError(
            f"discovery.every is {config.discovery.every}, and frame_step {config.frame_step}: sampled frames should be"
            " tracked; set discovery.every to a multiple of frame_step"
        )
    if config.detections is None:  # the job itself detects
        return list(tracks), {}
    found = read_detections(config.detections, videos)
    kept = {video_id: found[video_id] for video_id in videos if video_id in found}
    return [_with_digest(track, kept, config.discovery.every) for track in tracks], kept


def _with_digest(track: Track, detections: Detections, every: int) -> Track:
    prompt = track.auto_prompt
    if not isinstance(prompt, DiscoverPrompt):
        return track
    video_id = track.video.video_id
    found = detections.get(video_id)
    if prompt.frame_index % track.sampling.every:
        raise ConfigError(
            f"the discover prompt of video {video_id!r} is on frame {prompt.frame_index}, which frame_step leaves out;"
            f" set its frame_index to a multiple of {track.sampling.every}"
        )
    if found is None:
        raise ConfigError(f"video {video_id!r} has a discover prompt, but no detections; check the video_id of both")
    if not ((found.frames >= prompt.frame_index) & ((found.frames - prompt.frame_index) % every == 0)).any():
        first = prompt.frame_index
        sampled = f"{first}, {first + every}, {first + 2 * every}, …"
        raise ConfigError(
            f"video {video_id!r} has no detection on its sampled frames, {sampled}; set frame_index of its discover"
            " prompt, or discovery.every"
        )
    return replace(track, prompts=(replace(prompt, detections=found.digest),))
