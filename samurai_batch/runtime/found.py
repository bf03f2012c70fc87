"""What prompts without a place have found: ``<output>/_prompts/<fingerprint>.json``, by the replica that looked.

Whoever comes later, the driver first of all, knows the objects from there, without a detector or a network.
"""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from samurai_batch.errors import PromptError, StateError
from samurai_batch.ledger.store import Store
from samurai_batch.planning.orders import DetectMember, TrackSettled
from samurai_batch.storage import join, redact
from samurai_batch.tasks import BoxPrompt, MaskPrompt, Prompt, Track

_FOUND = TypeAdapter(list[BoxPrompt | MaskPrompt])
_SUFFIX = ".json"


def detected_fingerprints(store: Store, output: str) -> set[str]:
    """The fingerprints of all prompts that have been looked up."""
    return {name.removesuffix(_SUFFIX) for name in store.list_names(_folder(output)) if name.endswith(_SUFFIX)}


def write_detections(store: Store, output: str, fingerprint: str, prompts: Sequence[Prompt]) -> None:
    """Keep the boxes or masks that were found, the best first; none says that nothing was."""
    store.write_bytes(_uri(output, fingerprint), _FOUND.dump_json(list(prompts)))  # type: ignore[arg-type]


def read_detections(store: Store, output: str, track: Track, fingerprint: str) -> tuple[Track, ...]:
    """The tracks that stand for one that was looked up. Raises StateError if what was kept is damaged."""
    uri = _uri(output, fingerprint)
    try:
        return track.tracks_of_detections(_FOUND.validate_json(store.read_bytes(uri)))
    except (ValidationError, PromptError) as error:
        raise StateError(f"{redact(uri)} is damaged; delete it to have the prompt looked up again") from error


def _folder(output: str) -> str:
    return join(output, "_prompts")


def _uri(output: str, fingerprint: str) -> str:
    return join(_folder(output), fingerprint + _SUFFIX)


def detected_before(member: DetectMember) -> TrackSettled:
    """The end of a prompt that an earlier run has looked up, as far as it came."""
    return TrackSettled(
        track=member.track,
        fingerprint=member.fingerprint,
        status="done",
        num_rows=0,
        attempts=1,
        seconds=0.0,
        failure=None,
    )
