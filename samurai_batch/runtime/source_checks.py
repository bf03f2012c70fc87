"""Whether the tracks whose memories a job begins with are there, or will be, and fit the job. Writes nothing."""

import json
from collections.abc import Iterator, Sequence
from functools import partial

from samurai_batch.background import for_each
from samurai_batch.errors import ConfigError, PromptsError, StateError
from samurai_batch.job import JobConfig
from samurai_batch.masks import file_metadata, mask_table_uri
from samurai_batch.planning.carried_tracks import PROMPTS
from samurai_batch.prompts import FromVideoPrompt
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.preparation import Preparer
from samurai_batch.tasks import Track, TrackId


def check_sources(config: JobConfig, tracks: Sequence[Track], carried: CarriedTracks) -> None:
    """Check the from_video prompts of a job against its other prompts and its output.

    Raises PromptsError with all mistakes: sources that neither the job nor its output has, or that were tracked in
    another way.
    """
    prompts = [(track, track.carried_from) for track in tracks if track.carried_from is not None]
    if not prompts:
        return
    if config.task == "segment":
        raise ConfigError("prompts of kind from_video need videos, and task is segment; give pictures a box or a mask")
    detecting = {track.track_id for track in tracks if track.auto_prompt is not None}
    video_ids = {video_id for video_id, _ in carried.entries} | {track.video.video_id for track in tracks}
    needed = sorted(one for one in carried.outside_job & carried.needed if one in carried.entries)
    differences = for_each(partial(_difference, carried.preparer), needed, carried.preparer.settings.num_transfers)
    unfit = dict(zip(needed, differences, strict=True))
    problems = [
        f"object {track.object_id!r} of video {track.video.video_id!r}: {problem}"
        for track, prompt in prompts
        for problem in _problems(prompt, carried, detecting, video_ids, unfit)
    ]
    if problems:
        raise PromptsError(PROMPTS, problems)


def _problems(
    prompt: FromVideoPrompt,
    carried: CarriedTracks,
    detecting: set[TrackId],
    video_ids: set[str],
    unfit: dict[TrackId, str],
) -> Iterator[str]:
    source, video_id, object_id = prompt.track_id, prompt.video_id, prompt.object_id
    named = f"object {object_id!r} of video {video_id!r}"
    if source in detecting:
        yield f"{named} is a prompt that detects objects; name one of its tracks, such as '{object_id}#0'"
    elif source in carried.outside_job and source not in carried.entries:
        if video_id in video_ids:
            yield f"neither the prompts nor the output have {named}, but others of this video; check from_object"
        else:
            yield f"neither the prompts nor the output have a track of video {video_id!r}; check from_video"
    elif source in carried.outside_job & carried.preparer.unkept:
        remedy = "add its prompts to this job, which then computes it again (with keep_memories they would be kept)"
        yield f"the output has {named}, but not its memories; {remedy}"
    elif unfit.get(source):
        yield f"{named} was tracked with {unfit[source]}; add its prompts to this job, or take its settings"


def _difference(preparer: Preparer, source: TrackId) -> str:
    """How a track of the output was made otherwise than this job would; "" if its memories fit."""
    recipe = preparer.recipe
    try:
        found = file_metadata(preparer.store.read_bytes(mask_table_uri(preparer.settings.output, *source)))
    except FileNotFoundError:
        return "a table that is gone"
    except StateError:
        return "a table that is damaged"
    mode = json.loads(found.get("tracker_settings", "{}")).get("mode")
    before = {"model": found.get("model"), "image_size": found.get("image_size"), "mode": mode}
    now = {"model": recipe.model, "image_size": str(recipe.image_size), "mode": str(recipe.settings["mode"])}
    others = [f"{name} {before[name]}, where this job has {now[name]}" for name in now if before[name] != now[name]]
    if not others and not preparer.trust_weights and found.get("weights_digest") != recipe.weights_digest:
        others = ["other weights"]
    return "; ".join(others)
