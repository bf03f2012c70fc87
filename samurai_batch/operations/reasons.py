"""Why a track runs tonight: the ledger and the old table against the job as it is now. Writes nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from samurai_batch import storage
from samurai_batch.masks import file_metadata, mask_table_uri
from samurai_batch.planning.fingerprints import Recipe, VideoIdentity, fingerprint
from samurai_batch.runtime.ledger import (
    TrackEntry,
    VideoLedger,
    ledger_uri,
    read_video_ledger,
    video_ledger_uri,
)
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.preparation import Preparation, prepare
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.storage import join, redact
from samurai_batch.tasks import Track, TrackId


@dataclass(frozen=True)
class Decision:
    """A track that runs, and why. ``before`` is its ledger entry so far, None for a new one."""

    track: Track
    reason: str
    before: TrackEntry | None


@dataclass(frozen=True)
class Comparison:
    """A job against its output. ``left`` are tracks in the ledger that nobody asks for any more."""

    num_tracks: int
    decisions: tuple[Decision, ...]
    left: tuple[TrackId, ...]


def compare(tracks: Sequence[Track], recipe: Recipe, settings: DriverSettings) -> Comparison:
    """What a run of these tracks would compute, and why, track by track: what `prepare` of the same run decides.

    Raises LedgerError, StorageError.
    """
    num_tracks = 0
    decisions: list[Decision] = []
    asked_for: set[TrackId] = set()
    to_detect: set[TrackId] = set()
    for part in prepare(tracks, recipe, storage, settings):
        num_tracks += len(part.tracks)
        decisions += _decisions(part, recipe, settings)
        asked_for.update(track.track_id for track in part.tracks)
        to_detect.update(one.track.track_id for one in part.asking)
    return Comparison(num_tracks, tuple(decisions), _left(asked_for, to_detect, settings))


def _decisions(part: Preparation, recipe: Recipe, settings: DriverSettings) -> list[Decision]:
    ledgers = _ledgers_as_written(part, settings)
    old_tables = _Tables(settings.output)
    unreachable = [
        Decision(track, f"its video cannot be read: {failure.message}", _entry(ledgers, track))
        for track, failure in part.unreachable
    ]

    def decide(pair: tuple[Track, str]) -> Decision:
        track, now = pair
        ledger, identity = ledgers.get(track.video.video_id), part.videos[track.video.video_id].identity
        assert identity is not None, "a pending track has a fingerprint, and so its video an identity"
        entry = _entry(ledgers, track)
        if ledger is None or entry is None:
            return Decision(track, "new", None)
        return Decision(track, _reason(track, entry, now, ledger, identity, recipe, old_tables), entry)

    return unreachable + for_each(decide, part.to_do, settings.num_transfers)


def _ledgers_as_written(preparation: Preparation, settings: DriverSettings) -> dict[str, VideoLedger]:
    """As they lie in storage: in a preparation, the identity of a changed video is the new one already."""
    pending = {track.video.video_id for track, _ in preparation.to_do}
    unreachable = {track.video.video_id for track, _ in preparation.unreachable}
    uris = [video_ledger_uri(settings.output, video_id) for video_id in sorted(pending | unreachable)]
    found = for_each(lambda uri: read_video_ledger(storage, uri), uris, settings.num_transfers)
    return {ledger.video_id: ledger for ledger in found if ledger is not None}


def _entry(ledgers: Mapping[str, VideoLedger], track: Track) -> TrackEntry | None:
    ledger = ledgers.get(track.video.video_id)
    return ledger.tracks.get(track.object_id) if ledger else None


def _left(asked_for: set[TrackId], to_detect: set[TrackId], settings: DriverSettings) -> tuple[TrackId, ...]:
    """What stands for a prompt that is about to be looked up is not known yet, and so nothing of it has left."""
    folder = ledger_uri(settings.output)
    uris = [join(folder, name) for name in storage.list_names(folder) if name.endswith(".json")]
    found = for_each(lambda uri: read_video_ledger(storage, uri), uris, settings.num_transfers)
    known = {(ledger.video_id, object_id) for ledger in found if ledger for object_id in ledger.tracks}
    left = known - asked_for
    return tuple(sorted(one for one in left if (one[0], one[1].rpartition("#")[0]) not in to_detect))


class _Tables:
    """What the mask tables of an output say of the recipe they were made with."""

    def __init__(self, output: str) -> None:
        self._output = output

    def recipe(self, track: Track) -> Recipe | None:
        """None if the table is gone, or does not say."""
        try:
            data = storage.read_bytes(mask_table_uri(self._output, track.video.video_id, track.object_id))
        except FileNotFoundError:
            return None
        says = file_metadata(data)
        try:
            return Recipe(
                model=says["model"],
                weights_digest=says["weights_digest"],
                image_size=int(says["image_size"]),
                dtype=says["dtype"],
                settings=json.loads(says["tracker_settings"]),
                tracker_version=int(says["tracker_version"]),
                look_up=json.loads(says.get("look_up", "{}")),
            )
        except KeyError:
            return None


def _reason(
    track: Track,
    entry: TrackEntry,
    now: str,
    ledger: VideoLedger,
    identity: VideoIdentity,
    recipe: Recipe,
    tables: _Tables,
) -> str:
    if entry.status == "failed":
        return f"failed before: {entry.error}"
    if entry.fingerprint == now:
        return "partial" if entry.status == "partial" else "its table is gone"
    before = _identity_before(entry.video or ledger.identity, identity)
    old_recipe = tables.recipe(track)
    changed = ["video"] if before != identity else []
    if entry.weights_digest != recipe.weights_digest:
        changed.append("weights")
    if old_recipe is not None:
        changed += _changed_settings(old_recipe, recipe)
        if fingerprint(track, before, old_recipe) != entry.fingerprint:
            changed.append("prompts")
    return f"changed: {', '.join(changed or ['prompts or settings'])}"


def _identity_before(before: VideoIdentity | None, identity: VideoIdentity) -> VideoIdentity:
    """The video that a track was made from; its URI stands in the ledger without credentials."""
    if before is None:
        return identity
    return replace(before, uri=identity.uri) if before.uri == redact(identity.uri) else before


def _changed_settings(old: Recipe, new: Recipe) -> list[str]:
    names = [name for name in ("model", "image_size", "dtype", "tracker_version") if _differ(old, new, name)]
    both = json.loads(json.dumps(dict(new.settings)))  # as they come back from JSON: lists for tuples
    return names + [
        f"tracker.{name}" for name in sorted(both.keys() | old.settings) if both.get(name) != old.settings.get(name)
    ]


def _differ(old: Recipe, new: Recipe, name: str) -> bool:
    return bool(getattr(old, name) != getattr(new, name))
