"""Before any work: what is done already, what is pending, and what must not be left lying about."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from samurai_batch.errors import StorageError
from samurai_batch.masks import mask_table_uri
from samurai_batch.planning.book import KnownVideo, PendingTrack
from samurai_batch.planning.fingerprints import Recipe, VideoIdentity, fingerprint
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.shards import Shard, make_shards
from samurai_batch.runtime.ledger import TrackEntry, VideoLedger, read_video_ledger, video_ledger_uri
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.surroundings import Store
from samurai_batch.runtime.work import discard_track, saved_fingerprints, saved_work
from samurai_batch.storage import redact
from samurai_batch.tasks import Track, Video

logger = logging.getLogger(__name__)

BYTES_PER_FRAME = 10_000
"""Compressed video, to the order of magnitude: it only ranks videos that nobody has opened yet."""


@dataclass(frozen=True)
class VideoState:
    """A video of the job as storage has it now: its ledger, and its identity or why there is none.

    ``tables`` are the names of the mask tables that stand in its folder.
    """

    video: Video
    ledger: VideoLedger
    tables: frozenset[str]
    identity: VideoIdentity | None
    failure: Failure | None


@dataclass(frozen=True)
class Preparation:
    """A job sorted out. ``unreachable`` tracks fail without work: their videos cannot be found."""

    shards: list[Shard]
    videos: dict[str, VideoState]
    pending: list[PendingTrack]
    settled: list[tuple[Track, TrackEntry]]
    unreachable: list[tuple[Track, Failure]]

    def known_videos(self) -> dict[str, KnownVideo]:
        """What the scheduler is told about each video's length: at least that the frames asked for exist."""
        asked_for: dict[str, int] = {}
        for shard in self.shards:
            last = max(max(leg.start_frame, leg.end_frame or 0) for _, leg in shard.members)
            asked_for[shard.video.video_id] = max(asked_for.get(shard.video.video_id, 0), last + 1)
        return {video_id: _known(state, asked_for[video_id]) for video_id, state in self.videos.items()}


def prepare(
    tracks: Sequence[Track],
    recipe: Recipe,
    store: Store,
    settings: DriverSettings,
    *,
    trust_weights: bool = False,
) -> Preparation:
    """Compare the prompts table with the ledger and with what earlier runs have saved. Writes nothing.

    A track is settled if its mask table is there, and the ledger has it under the same fingerprint, done (or partial,
    where the job keeps partial tracks). While its video cannot be found, what is done stays done. With
    ``trust_weights`` every entry is compared under the weights it was made with: for who asks before having any.
    Raises LedgerError, StorageError.
    """
    videos = _look_up({track.video for track in tracks}, store, settings)
    settled: list[tuple[Track, TrackEntry]] = []
    unreachable: list[tuple[Track, Failure]] = []
    wanted: list[tuple[Track, str]] = []
    for track in tracks:
        state = videos[track.video.video_id]
        entry = state.ledger.tracks.get(track.object_id)
        made_by = replace(recipe, weights_digest=entry.weights_digest) if trust_weights and entry else recipe
        track_fingerprint = fingerprint(track, state.identity, made_by) if state.identity else None
        is_published = _table_of(settings.output, track.video.video_id, track.object_id)[1] in state.tables
        if entry is not None and is_published and _is_settled(entry, track_fingerprint, settings.keep_partial):
            settled.append((track, entry))
        elif track_fingerprint is None:
            assert state.failure is not None
            unreachable.append((track, state.failure))
        else:
            wanted.append((track, track_fingerprint))
    pending = _with_saved_work(wanted, store, settings)
    shards = make_shards(tracks, settings.max_tracks_per_shard)
    return Preparation(shards, videos, pending, settled, unreachable)


def sweep(store: Store, output: str, needed: Iterable[str], num_transfers: int) -> None:
    """Remove saved work under fingerprints that no pending track needs."""
    leftovers = sorted(saved_fingerprints(store, output) - set(needed))
    if leftovers:
        logger.info("removing the saved work of %d tracks that nobody goes on with", len(leftovers))
    for_each(lambda name: discard_track(store, output, name), leftovers, num_transfers)


def _look_up(videos: Iterable[Video], store: Store, settings: DriverSettings) -> dict[str, VideoState]:
    ordered = sorted(videos, key=lambda video: video.video_id)
    states = for_each(lambda video: _look_up_one(video, store, settings.output), ordered, settings.num_transfers)
    return {state.video.video_id: state for state in states}


def _table_of(output: str, video_id: str, object_id: str) -> tuple[str, str]:
    """Folder and name of a track's mask table."""
    folder, _, name = mask_table_uri(output, video_id, object_id).rpartition("/")
    return folder, name


def _look_up_one(video: Video, store: Store, output: str) -> VideoState:
    ledger = read_video_ledger(store, video_ledger_uri(output, video.video_id))
    if ledger is None:
        ledger = VideoLedger(video_id=video.video_id, video_uri=redact(video.uri))
    tables = frozenset(store.list_names(_table_of(output, video.video_id, "any")[0]))
    try:
        found = store.identity(video.uri)
    except FileNotFoundError:
        failure = Failure(FailureKind.VIDEO, f"{redact(video.uri)} does not exist")
        return VideoState(video, ledger, tables, None, failure)
    except StorageError as error:
        return VideoState(video, ledger, tables, None, Failure(FailureKind.STORAGE, str(error)))
    identity = VideoIdentity(video.uri, found.size_bytes, found.version)
    if ledger.identity != _redacted(identity):
        ledger = replace(ledger, video_uri=redact(video.uri), identity=_redacted(identity), facts=None)
    return VideoState(video, ledger, tables, identity, None)


def _redacted(identity: VideoIdentity) -> VideoIdentity:
    return replace(identity, uri=redact(identity.uri))


def _is_settled(entry: TrackEntry, track_fingerprint: str | None, keep_partial: bool) -> bool:
    if track_fingerprint is None:
        return entry.status == "done"
    if entry.fingerprint != track_fingerprint:
        return False
    return entry.status == "done" or (entry.status == "partial" and keep_partial)


def _with_saved_work(wanted: Sequence[tuple[Track, str]], store: Store, settings: DriverSettings) -> list[PendingTrack]:
    saved = saved_fingerprints(store, settings.output)

    def look(pair: tuple[Track, str]) -> PendingTrack:
        track, name = pair
        is_saved = name in saved
        work = saved_work(store, settings.output, name, settings.chunk_frames) if is_saved else NOTHING_SAVED
        return PendingTrack(track, name, work)

    return for_each(look, wanted, settings.num_transfers)


def _known(state: VideoState, num_asked_for: int) -> KnownVideo:
    if state.ledger.facts is not None:
        return KnownVideo(state.ledger.facts.num_frames, state.ledger.facts)
    size_bytes = state.identity.size_bytes if state.identity else 0
    return KnownVideo(max(num_asked_for, size_bytes // BYTES_PER_FRAME))
