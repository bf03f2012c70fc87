"""Whether the tracks whose memories a job begins with are there, or will be, and fit the job. Writes nothing."""

import json
from collections.abc import Iterator, Sequence

from samurai_batch import storage
from samurai_batch.background import for_each
from samurai_batch.errors import ConfigError, PromptsError
from samurai_batch.job import JobConfig
from samurai_batch.ledger.store import Store
from samurai_batch.masks import file_metadata, mask_table_uri
from samurai_batch.planning.carried_tracks import PROMPTS
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.prompts import FromVideoPrompt
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.tasks import Track, TrackId


def check_sources(
    config: JobConfig, tracks: Sequence[Track], recipe: Recipe, store: Store = storage, *, trust_weights: bool = False
) -> None:
    """Check the from_video prompts of a job against its other prompts and its output.

    Raises PromptsError with all mistakes: tracks that wait for each other, sources that neither the job nor its output
    has, or that were tracked in another way. ``trust_weights`` is for callers without weights.
    """
    prompts = [(track, track.carried_from) for track in tracks if track.carried_from is not None]
    if not prompts:
        return
    if config.task == "segment":
        raise ConfigError("prompts of kind from_video need videos, and task is segment; give pictures a box or a mask")
    settings = DriverSettings.of(config)
    carried = CarriedTracks(tracks, recipe, store, settings, trust_weights=trust_weights)
    detecting = {track.track_id for track in tracks if track.auto_prompt is not None}
    needed = sorted(one for one in carried.outside_job & carried.needed if one in carried.entries)
    digest = None if trust_weights else recipe.weights_digest

    def compare(source: TrackId) -> str:
        return _difference(source, recipe, digest, store, settings.output)

    unfit = dict(zip(needed, for_each(compare, needed, settings.num_transfers), strict=True))
    problems = [
        f"object {track.object_id!r} of video {track.video.video_id!r}: {problem}"
        for track, prompt in prompts
        for problem in _problems(prompt, carried, detecting, unfit)
    ]
    if problems:
        raise PromptsError(PROMPTS, problems)


def _problems(
    prompt: FromVideoPrompt, carried: CarriedTracks, detecting: set[TrackId], unfit: dict[TrackId, str]
) -> Iterator[str]:
    source, video_id, object_id = prompt.track_id, prompt.video_id, prompt.object_id
    named = f"object {object_id!r} of video {video_id!r}"
    if source in detecting:
        yield f"{named} is a prompt that detects objects; name one of its tracks, such as '{object_id}#0'"
    elif source in carried.outside_job and source not in carried.entries:
        if video_id in carried.video_ids:
            yield f"neither the prompts nor the output have {named}, but others of this video; check from_object"
        else:
            yield f"neither the prompts nor the output have a track of video {video_id!r}; check from_video"
    elif source in carried.outside_job & carried.unkept:
        remedy = "add its prompts to this job, which then computes it again (with keep_memories they would be kept)"
        yield f"the output has {named}, but not its memories; {remedy}"
    elif unfit.get(source):
        yield f"{named} was tracked with {unfit[source]}; add its prompts to this job, or take its settings"


def _difference(source: TrackId, recipe: Recipe, digest: str | None, store: Store, output: str) -> str:
    """How a track of the output was made otherwise than this job would; "" if its memories fit."""
    try:
        found = file_metadata(store.read_bytes(mask_table_uri(output, *source)))
    except FileNotFoundError:
        return "a table that is gone"
    mode = json.loads(found.get("tracker_settings", "{}")).get("mode")
    before = {"model": found.get("model"), "image_size": found.get("image_size"), "mode": mode}
    now = {"model": recipe.model, "image_size": str(recipe.image_size), "mode": str(recipe.settings["mode"])}
    others = [f"{name} {before[name]}, where this job has {now[name]}" for name in now if before[name] != now[name]]
    if not others and digest is not None and found.get("weights_digest") != digest:
        others = ["other weights"]
    return "; ".join(others)
