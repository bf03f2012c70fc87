"""What prompts that name no place need, checked before a job begins. Needs no torch."""

from collections.abc import Sequence

from samurai_batch.errors import ConfigError
from samurai_batch.images.text_models import check_detector
from samurai_batch.job import JobConfig
from samurai_batch.tasks import TextPrompt, Track


def check_auto_prompts(tracks: Sequence[Track], config: JobConfig) -> None:
    """Raise ConfigError or CheckpointError for what is missing to look up these tracks' prompts."""
    asking = [track for track in tracks if track.auto_prompt is not None]
    if any(isinstance(track.auto_prompt, TextPrompt) for track in asking):
        if config.detector is None:
            raise ConfigError("prompts of kind text need a detector; name one in the field detector")
        check_detector(config.detector)
    asking_ids = {track.track_id for track in asking}
    for track in tracks:
        asked, _, number = track.object_id.rpartition("#")
        if number.isdecimal() and (track.video.video_id, asked) in asking_ids:
            raise ConfigError(
                f"object_id {track.object_id!r} of video {track.video.video_id!r} is what an object found for {asked!r}"
                " may be called; rename one of them"
            )
