"""Why a track is computed again: compares the job with the ledger and the mask tables of its output. Writes nothing."""

import json
from dataclasses import dataclass, replace

from samurai_batch import storage
from samurai_batch.background import for_each
from samurai_batch.errors import StateError
from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.ledger.schema import TrackEntry, VideoLedger
from samurai_batch.ledger.store import read_video_ledgers
from samurai_batch.masks import file_metadata, mask_table_name, mask_table_uri, mask_tables_uri
from samurai_batch.planning.fingerprints import Recipe, VideoIdentity, fingerprint
from samurai_batch.planning.retry import Failure
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.preparation import Preparation
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.storage import redact_uri
from samurai_batch.tasks import Track, TrackId, possible_prompts


@dataclass(frozen=True)
class Decision:
    """A track to compute, and why. ``before`` is its ledger entry so far, None for a new one."""

    track: Track
    reason: str
    before: TrackEntry | None


@dataclass(frozen=True)
class Comparison:
    """A job against its output. ``removed`` are tracks of the ledger that the job no longer has."""

    decisions: tuple[Decision, ...]
    removed: tuple[TrackId, ...]


def compare(carried: CarriedTracks) -> Comparison:
    """What a run of a job's tracks would compute, and why, track by track. Raises LedgerError, StorageError."""
    decisions: list[Decision] = []
    of_job: set[TrackId] = set()
    to_detect: set[TrackId] = set()
    recipe, settings = carried.preparer.recipe, carried.preparer.settings
    for part in carried.all_parts():
        decisions += _decisions(part, recipe, settings)
        of_job.update(track.track_id for track in part.tracks)
        to_detect.update(one.track.track_id for one in part.to_detect)
        to_detect.update(one.track.track_id for one in part.discoveries)
    ledgers = read_video_ledgers(storage, settings.output, num_transfers=settings.num_transfers)
    in_ledger = {(ledger.video_id, object_id) for ledger in ledgers for object_id in ledger.tracks}
    removed = [one for one in in_ledger - of_job if to_detect.isdisjoint(possible_prompts(one))]
    return Comparison(tuple(decisions), tuple(sorted(removed)))


def _decisions(part: Preparation, recipe: Recipe, settings: DriverSettings) -> list[Decision]:
    # Read again: a preparation has the new identity of a changed video already.
    stored = read_video_ledgers(storage, settings.output, part.open_videos, settings.num_transfers)
    ledgers = {ledger.video_id: ledger for ledger in stored}

    def entry_of(track: Track) -> TrackEntry | None:
        ledger = ledgers.get(track.video.video_id)
        return ledger.tracks.get(track.object_id) if ledger else None

    continued = {one.track.track_id: one for one in part.continued}

    def decide(track_and_fingerprint: tuple[Track, str]) -> Decision:
        track, now = track_and_fingerprint
        entry = entry_of(track)
        if entry is None:
            return Decision(track, "new", None)
        if track.track_id in continued and entry.status != "failed":
            return Decision(track, continued[track.track_id].describe(), entry)
        identity = part.videos[track.video.video_id].identity
        assert identity is not None, "a track with a fingerprint has a video with an identity"
        reason = _reason(track, entry, now, ledgers[track.video.video_id], identity, recipe, settings.output)
        return Decision(track, reason, entry)

    unreachable = [
        Decision(track, _why_not(track, failure, part), entry_of(track)) for track, failure in part.unreachable
    ]
    return unreachable + for_each(decide, part.to_do, settings.num_transfers)


def _reason(
    track: Track, entry: TrackEntry, now: str, ledger: VideoLedger, identity: VideoIdentity, recipe: Recipe, output: str
) -> str:
    """Why a track is computed again, whose fingerprint is ``now``."""
    if entry.status == "failed":
        return f"failed before: {entry.error}"
    if entry.fingerprint == now:
        return "partial" if entry.status == "partial" else _what_is_gone(track, output)
    before = _with_secrets(entry.video or ledger.identity, identity)
    changed = ["video"] if before != identity else []
    if entry.weights_digest != recipe.weights_digest:
        changed.append("weights")
    made_with = _made_with(output, track)
    if made_with is not None:
        old_recipe, old_sampling = made_with
        changed += _changed_settings(old_recipe, recipe) + _changed_sampling(old_sampling, track.sampling)
        if fingerprint(replace(track, sampling=old_sampling), before, old_recipe) != entry.fingerprint:
            changed.append("prompts" if track.carried_from is None else "prompts, or the track it begins with")
    return f"changed: {', '.join(changed or ['prompts or settings'])}"


def _why_not(track: Track, failure: Failure, part: Preparation) -> str:
    """Why a track cannot begin."""
    is_missing = part.videos[track.video.video_id].failure is not None
    return f"its video cannot be read: {failure.message}" if is_missing else failure.message


def _what_is_gone(track: Track, output: str) -> str:
    if mask_table_name(track.object_id) in storage.list_names(mask_tables_uri(output, track.video.video_id)):
        return "its memories were not kept, and a track of another video begins with them"
    return "its table is gone"


def _with_secrets(before: VideoIdentity | None, identity: VideoIdentity) -> VideoIdentity:
    """The video that a track was made from. Its URI is in the ledger without credentials: take those of today."""
    if before is None:
        return identity
    return replace(before, uri=identity.uri) if before.uri == redact_uri(identity.uri) else before


def _made_with(output: str, track: Track) -> tuple[Recipe, FrameSampling] | None:
    """What a track's mask table was made with; None if the table is gone, damaged, or has no such metadata."""
    try:
        metadata = file_metadata(storage.read_bytes(mask_table_uri(output, *track.track_id)))
        recipe = Recipe(
            model=metadata["model"],
            weights_digest=metadata["weights_digest"],
            image_size=int(metadata["image_size"]),
            dtype=metadata["dtype"],
            settings=json.loads(metadata["tracker_settings"]),
            tracker_version=int(metadata["tracker_version"]),
            detection=json.loads(metadata.get("look_up", "{}")),
        )
        return recipe, FrameSampling(**json.loads(metadata.get("frame_sampling", "{}")))
    except (FileNotFoundError, KeyError, StateError):
        return None


def _changed_sampling(old: FrameSampling, new: FrameSampling) -> list[str]:
    fields = {"every": "frame_step", "interpolates": "interpolate_boxes", "on_cut": "on_cut"}
    return [field for name, field in fields.items() if getattr(old, name) != getattr(new, name)]


def _changed_settings(old: Recipe, new: Recipe) -> list[str]:
    names = ("model", "image_size", "dtype", "tracker_version")
    changed = [name for name in names if getattr(old, name) != getattr(new, name)]
    settings = json.loads(json.dumps(dict(new.settings)))  # as they come back from JSON: lists for tuples
    both = sorted(settings.keys() | old.settings)
    return changed + [f"tracker.{name}" for name in both if settings.get(name) != old.settings.get(name)]
