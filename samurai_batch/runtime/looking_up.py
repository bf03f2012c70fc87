"""Before a job begins: prompts that name no place are looked up, in this process, and what they found is kept.

``<output>/_prompts/<key>.jsonl`` holds the tracks of one such prompt, so that the same job again follows the same
objects and needs neither detector nor network to know them. The key is a hash over all that decides what is found.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from samurai_batch import storage
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.images.everything import EverythingSettings
from samurai_batch.images.networks import Sam2Network
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.text import OpenVocabularyDetector
from samurai_batch.images.video_prompts import Finder, asked_prompt, look_up
from samurai_batch.job import JobConfig
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.modeling.checkpoints import Weights
from samurai_batch.planning.fingerprints import VideoIdentity, fingerprint
from samurai_batch.runtime.assembly import cache_folder, make_tracker
from samurai_batch.runtime.recipe import job_recipe
from samurai_batch.tasks import TextPrompt, Track, Video
from samurai_batch.video import StagingCache, open_staged

logger = logging.getLogger(__name__)


def with_places(tracks: Sequence[Track], config: JobConfig, weights: Weights) -> list[Track]:
    """The tracks, those of kind text and everything replaced by one for each object found on their frame.

    A video that cannot be read keeps its track as it is: it fails later, with all tracks of that video. Raises
    ConfigError for what is missing to look things up.
    """
    if all(asked_prompt(track) is None for track in tracks):
        return list(tracks)
    settings = everything_settings(config)
    make_finder = cache(lambda: _finder(config, weights, settings, needs_words=_any_words(tracks)))
    if _any_words(tracks) and config.detector is None:
        raise ConfigError("prompts of kind text need a detector; name one in the field detector")
    return [
        found
        for track in tracks
        for found in ([track] if asked_prompt(track) is None else _looked_up(track, config, weights, make_finder))
    ]


def everything_settings(config: JobConfig) -> EverythingSettings:
    """Raises ConfigError for a name or a type that does not exist there."""
    try:
        return EverythingSettings(**config.everything)  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigError(f"everything: {error}; the settings are those of EverythingSettings") from error


def _any_words(tracks: Sequence[Track]) -> bool:
    return any(isinstance(asked_prompt(track), TextPrompt) for track in tracks)


def _finder(config: JobConfig, weights: Weights, settings: EverythingSettings, *, needs_words: bool) -> Finder:
    network = Sam2Network(make_tracker(config, weights).model)
    detector = None
    if needs_words and config.detector is not None:
        detector = OpenVocabularyDetector(config.detector, threshold=config.detector_threshold, device=network.device)
    return Finder(ImagePredictor(network), detector, settings)


def _looked_up(track: Track, config: JobConfig, weights: Weights, make_finder: Callable[[], Finder]) -> list[Track]:
    prompt = asked_prompt(track)
    assert prompt is not None
    try:
        kept = storage.join(config.output, "_prompts", f"{_key(track, config, weights)}.jsonl")
        if storage.exists(kept):
            return [replace(one, video=track.video) for one in _read(kept)]
        videos = StagingCache(cache_folder(config), int(config.cache_limit_gb * 1e9))
        with open_staged(track.video.uri, videos) as source:
            (frame,) = source.frames(range(prompt.frame_index, prompt.frame_index + 1))
    except (VideoError, FileNotFoundError) as error:
        logger.warning("%s of %s is not looked up: %s", track.object_id, track.video.video_id, error)
        return [track]
    found = look_up(track, make_finder(), frame.pixels)
    logger.info("%s of %s: %d object(s) found", track.object_id, track.video.video_id, len(found))
    public = Video(track.video.video_id, storage.redact(track.video.uri))
    write_prompts(kept, [replace(one, video=public) for one in found])
    return found


def _read(uri: str) -> list[Track]:
    """What was kept; an empty file says that nothing was found."""
    return read_prompts(uri) if storage.read_bytes(uri) else []


def _key(track: Track, config: JobConfig, weights: Weights) -> str:
    seen = storage.identity(track.video.uri)
    recipe = job_recipe(config, weights.digest)
    name = fingerprint(track, VideoIdentity(track.video.uri, seen.size_bytes, seen.version), recipe)
    how = [name, config.detector, config.detector_threshold, dict(config.everything)]
    return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()
