"""Prompts that name no place, words or everything, as a replica looks them up.

In a video, what is found is kept (`found`) and followed from then on, one track for each object. On pictures it is
the answer itself (`segmenting`).
"""

from samurai_batch.errors import PromptError
from samurai_batch.images.finding import Finder
from samurai_batch.images.networks import ImageNetwork
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.job import JobConfig
from samurai_batch.planning.validation import VideoFacts, validation_error
from samurai_batch.tasks import Prompt, Track
from samurai_batch.video import VideoSource


def make_finder(network: ImageNetwork, config: JobConfig) -> Finder:
    """What looks things up with this network; a detector is loaded when the first words come."""
    return Finder(ImagePredictor(network), config.detector, config.detector_threshold, config.everything)


def look_up(finder: Finder, source: VideoSource, track: Track) -> list[Prompt]:
    """The prompts that stand for the track's own in its video, best first; none if nothing is found.

    Raises PromptError if it lies outside the video, and what reading its frame raises.
    """
    prompt, info = track.auto_prompt, source.info
    assert prompt is not None
    if problem := validation_error(track, VideoFacts(info.num_frames, info.height, info.width)):
        raise PromptError(problem)
    (frame,) = source.frames(range(prompt.frame_index, prompt.frame_index + 1))
    return finder.find(prompt, frame.pixels)
