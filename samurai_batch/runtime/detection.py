"""Auto prompts (text, everything) of a job on videos: checked, run on their frame, and their detections kept.

A replica detects the objects of an auto prompt on its frame, and writes them to `<output>/_prompts/<fingerprint>.json`.
The driver reads them from there: each object becomes a track of its own. A later run with the same fingerprint reads
them again instead of detecting. On pictures the detections are the result itself (`segmenting`), and none are kept.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from samurai_batch.errors import ConfigError, PromptError, StateError
from samurai_batch.images.text_models import check_detector
from samurai_batch.job import JobConfig
from samurai_batch.ledger.store import Store
from samurai_batch.planning.validation import validation_error
from samurai_batch.prompts import BoxPrompt, DiscoverPrompt, MaskPrompt, Prompt, TextPrompt
from samurai_batch.runtime.discovery import read_found
from samurai_batch.storage import join, quote_id, redact_uri
from samurai_batch.tasks import Track

if TYPE_CHECKING:  # torch is for replicas
    from samurai_batch.images.pictures import ObjectDetector
    from samurai_batch.video import VideoSource

_DETECTIONS = TypeAdapter(list[BoxPrompt | MaskPrompt])
_SUFFIX = ".json"
MAX_DISCOVERED_ID_BYTES = 100
"""The object_ids of a discovery's tracks begin with its own, and they name files."""


def check_auto_prompts(tracks: Sequence[Track], config: JobConfig) -> None:
    """Raise ConfigError or CheckpointError if the auto prompts of these tracks lack a detector or a free object_id."""
    detecting = [track for track in tracks if track.auto_prompt is not None]
    prompts = [track.auto_prompt for track in detecting]
    has_words = any(isinstance(one, DiscoverPrompt) and one.classes for one in prompts) and config.detections is None
    if any(isinstance(prompt, TextPrompt) for prompt in prompts) or has_words:
        if config.detector is None:
            what = "discover with classes need detections or a detector; name one in the field detections or"
            what = f"{what} detector" if has_words else "text need a detector; name one in the field detector"
            raise ConfigError(f"prompts of kind {what}")
        check_detector(config.detector)
    _check_discoveries(tracks)
    reserved = {track.track_id for track in detecting}
    for track in tracks:
        object_id, _, number = track.object_id.rpartition("#")
        if number.isdecimal() and (track.video.video_id, object_id) in reserved:
            raise ConfigError(
                f"object_id {track.object_id!r} of video {track.video.video_id!r} is reserved for an object that is"
                f" detected for {object_id!r}; rename one of them"
            )


def _check_discoveries(tracks: Sequence[Track]) -> None:
    """Raise ConfigError for a discover prompt that is not alone in its video, or does not go forward."""
    discovering = {track.video.video_id: track for track in tracks if isinstance(track.auto_prompt, DiscoverPrompt)}
    for track in tracks:
        discovery = discovering.get(track.video.video_id)
        if discovery is None:
            continue
        where = f"object_id {discovery.object_id!r} of video {discovery.video.video_id!r} has a prompt of kind discover"
        if track is not discovery:
            raise ConfigError(
                f"{where}, and the video has another prompt, of {track.object_id!r}, whose object would be tracked"
                " twice, as a discovery knows no tracks but its own; give the classes of one discover prompt as a list,"
                " and other prompts a video_id of their own"
            )
        if track.direction != "forward":
            raise ConfigError(f"{where}, which goes forward only; leave direction empty")
        if len(quote_id(track.object_id)) > MAX_DISCOVERED_ID_BYTES:
            raise ConfigError(f"{where}; its object_id begins those of its tracks and is too long, shorten it")


def detect(detector: "ObjectDetector", source: "VideoSource", track: Track) -> list[Prompt]:
    """A box or mask for each object that the track's auto prompt means in its video, best first.

    Raises PromptError if the prompt lies outside the video, and what reading its frame raises.
    """
    prompt = track.auto_prompt
    assert prompt is not None
    if problem := validation_error(track, source.info):
        raise PromptError(problem)
    (frame,) = source.frames(range(prompt.frame_index, prompt.frame_index + 1))
    return detector.detect(prompt, frame.pixels)


def write_detections(store: Store, output: str, fingerprint: str, prompts: Sequence[Prompt]) -> None:
    """Keep the boxes or masks of an auto prompt, best first; an empty list means that no object was found."""
    store.write_bytes(detections_uri(output, fingerprint), _DETECTIONS.dump_json(list(prompts)))  # type: ignore[arg-type]


def read_detections(store: Store, output: str, track: Track, fingerprint: str) -> tuple[Track, ...]:
    """The tracks of the objects detected for ``track``. Raises StateError if the file is damaged."""
    uri = detections_uri(output, fingerprint)
    if isinstance(track.auto_prompt, DiscoverPrompt):
        return read_found(store, uri, track, fingerprint)
    try:
        return track.tracks_of_detections(_DETECTIONS.validate_json(store.read_bytes(uri)))
    except (ValidationError, PromptError) as error:
        raise StateError(f"{redact_uri(uri)} is damaged; delete it to have its prompt detected again") from error


def detected_fingerprints(store: Store, output: str) -> set[str]:
    """The fingerprints of all auto prompts whose detections are kept."""
    return {name.removesuffix(_SUFFIX) for name in store.list_names(_folder(output)) if name.endswith(_SUFFIX)}


def _folder(output: str) -> str:
    return join(output, "_prompts")


def detections_uri(output: str, fingerprint: str) -> str:
    """Where the detections of an auto prompt are kept."""
    return join(_folder(output), fingerprint + _SUFFIX)
