"""What replicas detect on the sampled frames of a discovery's windows: `<output>/_detections/<key>/<window>.parquet`.

Each file is a detections table: a job with other thresholds reads it again, and it can be given to another job as
``detections``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samurai_batch.errors import StateError, TruncatedVideoError
from samurai_batch.ledger.store import Store
from samurai_batch.manifest.detection_files import detections_from_bytes, detections_to_bytes
from samurai_batch.prompts import DiscoverPrompt, FrameDetection
from samurai_batch.runtime.frame_facts import sampled_frames
from samurai_batch.storage import join, redact_uri
from samurai_batch.tasks import Track

if TYPE_CHECKING:  # torch is for replicas
    from samurai_batch.images.pictures import ObjectDetector
    from samurai_batch.video import VideoSource

_SUFFIX = ".parquet"


def detect_window(
    detector: "ObjectDetector", source: "VideoSource", track: Track, every: int
) -> Sequence[FrameDetection]:
    """What the detector finds on the sampled frames of the window of a discover prompt.

    A frame that cannot be read has no detections: the tracks that reach it tell that the video is truncated.
    """
    prompt = track.auto_prompt
    assert isinstance(prompt, DiscoverPrompt)
    assert prompt.window is not None
    low, high = prompt.window
    found: list[FrameDetection] = []
    try:
        for frame in source.frames(sampled_frames(prompt, range(low, high + 1), every)):
            found += detector.detect_all(prompt, frame.index, frame.pixels)
    except TruncatedVideoError:
        pass
    return found


def write_window(store: Store, output: str, name: str, track: Track, found: Sequence[FrameDetection]) -> None:
    """Keep the detections of a window; ``name`` is ``<key>/<window>``."""
    store.write_bytes(_uri(output, name), detections_to_bytes(track.video.video_id, found))


def read_windows(store: Store, output: str, key: str, windows: range) -> tuple[FrameDetection, ...]:
    """The detections of these windows. Raises StateError for one that is missing or damaged."""
    found: list[FrameDetection] = []
    for window in windows:
        uri = _uri(output, f"{key}/{window}")
        try:
            found += detections_from_bytes(store.read_bytes(uri))
        except FileNotFoundError as error:
            raise StateError(f"{redact_uri(uri)}: the detections of this window are missing") from error
    return tuple(found)


def detected_windows(store: Store, output: str, key: str) -> frozenset[int]:
    """The windows whose detections are kept."""
    names = store.list_names(join(output, "_detections", key))
    stems = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
    return frozenset(int(stem) for stem in stems if stem.isdecimal())


def _uri(output: str, name: str) -> str:
    return join(output, "_detections", f"{name}{_SUFFIX}")
