"""Prompts that name no place, words or everything: what they need, checked before a job; how a replica looks them up.

In a video, what is found is kept (`found`) and followed from then on, one track for each object. On pictures it is
the answer itself (`segmenting`).
"""

from collections.abc import Sequence

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.images.finding import Finder
from samurai_batch.images.networks import ImageNetwork
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.text import check_detector
from samurai_batch.job import JobConfig
from samurai_batch.planning.fit import VideoFacts, misfit
from samurai_batch.runtime.recipe import everything_settings
from samurai_batch.tasks import Prompt, TextPrompt, Track
from samurai_batch.video import VideoSource


def check_askable(tracks: Sequence[Track], config: JobConfig) -> None:
    """Raise ConfigError or CheckpointError for what is missing to look up these tracks' prompts."""
    asking = [track for track in tracks if track.asked is not None]
    if any(isinstance(track.asked, TextPrompt) for track in asking):
        if config.detector is None:
            raise ConfigError("prompts of kind text need a detector; name one in the field detector")
        check_detector(config.detector)
    ids = {(track.video.video_id, track.object_id) for track in tracks}
    for track in asking:
        if (first := (track.video.video_id, f"{track.object_id}#0")) in ids:
            raise ConfigError(
                f"object_id {first[1]!r} of video {first[0]!r} is what the first object found for"
                f" {track.object_id!r} is called; rename one of them"
            )


def make_finder(network: ImageNetwork, config: JobConfig) -> Finder:
    """What looks things up with this network; a detector is loaded when the first words come."""
    return Finder(ImagePredictor(network), config.detector, config.detector_threshold, everything_settings(config))


def look_up(finder: Finder, source: VideoSource, track: Track) -> list[Prompt]:
    """The prompts that stand for the track's own in its video, best first; none if nothing is found.

    Raises PromptError if it lies outside the video, and what reading its frame raises.
    """
    prompt, info = track.asked, source.info
    assert prompt is not None
    if problem := misfit(track, VideoFacts(info.num_frames, info.height, info.width)):
        raise PromptError(problem)
    (frame,) = source.frames(range(prompt.frame_index, prompt.frame_index + 1))
    return finder.find(prompt, frame.pixels)
