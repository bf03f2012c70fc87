"""Before any work: what is done already, what is pending, and what must not be left lying about."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from samurai_batch.errors import StorageError
from samurai_batch.masks import mask_table_uri
from samurai_batch.planning.book import KnownVideo, PendingTrack
from samurai_batch.planning.fingerprints import Recipe, VideoIdentity, fingerprint
from samurai_batch.planning.looks import make_looks
from samurai_batch.planning.orders import LookMember
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import PERMANENT, Failure, FailureKind
from samurai_batch.planning.shards import Shard, make_shards
from samurai_batch.runtime.found import found_fingerprints, read_found
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
    """A job sorted out.

    ``looks`` are tracks that are answered at once, those of one order together; ``found`` were looked up by an earlier
    run, whose ledger does not say so. ``unreachable`` tracks fail without work: their videos cannot be found.
    """

    shards: list[Shard]
    videos: dict[str, VideoState]
    pending: list[PendingTrack]
    looks: list[tuple[LookMember, ...]]
    found: list[LookMember]
    settled: list[tuple[Track, TrackEntry]]
    unreachable: list[tuple[Track, Failure]]

    @property
    def to_do(self) -> list[tuple[Track, str]]:
        """The tracks that need work, with their fingerprints."""
        looks = [(one.track, one.fingerprint) for members in self.looks for one in members]
        return [(one.track, one.fingerprint) for one in self.pending] + looks

    @property
    def tracks(self) -> list[Track]:
        """All tracks of the job, with those that stand for prompts looked up."""
        settled = [track for track, _ in self.settled] + [one.track for one in self.found]
        return settled + [track for track, _ in self.unreachable] + [track for track, _ in self.to_do]

    def known_videos(self) -> dict[str, KnownVideo]:
        """What the scheduler is told about each video's length: at least that the frames asked for exist."""
        asked_for: dict[str, int] = {}
        for shard in self.shards:
            last = max(max(leg.start_frame, leg.end_frame or 0) for _, leg in shard.members)
            asked_for[shard.video.video_id] = max(asked_for.get(shard.video.video_id, 0), last + 1)
        going_on = {one.track.video.video_id for one in self.pending if one.saved.parts}
        return {
            video_id: _known(self.videos[video_id], num_frames, goes_on=video_id in going_on)
            for video_id, num_frames in asked_for.items()
        }


def prepare(
    tracks: Sequence[Track],
    recipe: Recipe,
    store: Store,
    settings: DriverSettings,
    *,
    trust_weights: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Preparation:
    """Compare the prompts table with the ledger and with what earlier runs have saved. Writes nothing.

    A track is settled if its mask table is there, and the ledger has it under the same fingerprint, done (or partial,
    where the job keeps partial tracks); or if its input made it fail and is still the same, unless the job tries such
    tracks again. While its video cannot be found, what is published stays. Prompts that were looked up are followed by
    the tracks that stand for them. With ``trust_weights`` every entry is compared under the weights it was made with:
    for who asks before having any. ``meanwhile`` is called now and then: this may take minutes. Raises LedgerError,
    StateError, StorageError.
    """
    videos = _look_up({track.video for track in tracks}, store, settings, meanwhile)
    return _Sorter(videos, recipe, store, settings, trust_weights, meanwhile).sort_out(tracks)


def prepare_found(
    tracks: Sequence[Track], before: Preparation, recipe: Recipe, store: Store, settings: DriverSettings
) -> Preparation:
    """The same for tracks that stand for a prompt of the job prepared before, which has just been looked up.

    Nobody can have followed them yet, so storage is not asked for their work.
    """
    return _Sorter(before.videos, recipe, store, settings, has_saved_work=False).sort_out(tracks)


@dataclass(frozen=True)
class _Case:
    """A track and what the output says of it.

    ``fingerprint`` is None while its video cannot be found. ``stands``: its mask table, or what its prompt has found,
    is there.
    """

    track: Track
    entry: TrackEntry | None
    fingerprint: str | None
    stands: bool

    @property
    def kept_under(self) -> str | None:
        """The fingerprint of the video as it is or, as long as it cannot be found, as it was."""
        return self.fingerprint or (self.entry.fingerprint if self.entry else None)


@dataclass(frozen=True)
class _Sorter:
    """Tells tracks apart by what is to be done for them."""

    videos: dict[str, VideoState]
    recipe: Recipe
    store: Store
    settings: DriverSettings
    trust_weights: bool = False
    meanwhile: Callable[[], None] = lambda: None
    has_saved_work: bool = True

    def sort_out(self, tracks: Sequence[Track]) -> Preparation:
        """What is found for one prompt is followed by itself, so that a resumed run meets the same batches."""
        asking = [track for track in tracks if self._asks(track)]
        kept = found_fingerprints(self.store, self.settings.output) if asking else set()
        looked_up = [case for case in (self._case(track, kept) for track in asking) if case.stands]
        groups = [[track for track in tracks if not self._is_look(track)], *self._read_found(looked_up)]
        cases = [self._case(track, kept) for track in tracks]
        cases += [self._case(track, kept) for group in groups[1:] for track in group]
        settled = [(case.track, case.entry) for case in cases if case.entry and self._is_settled(case)]
        others = [case for case in cases if not self._is_settled(case)]
        to_do = [(case.track, case.fingerprint) for case in others if case.fingerprint is not None]
        looks = [LookMember(track, name) for track, name in to_do if self._is_look(track)]
        new_looks = [one for one in looks if not (self._asks(one.track) and one.fingerprint in kept)]
        return Preparation(
            shards=[shard for group in groups for shard in make_shards(group, self.settings.max_tracks_per_shard)],
            videos=self.videos,
            pending=self._with_saved_work([(track, name) for track, name in to_do if not self._is_look(track)]),
            looks=make_looks(new_looks, self.settings.pictures_per_look or 1),
            found=[one for one in looks if self._asks(one.track) and one.fingerprint in kept],
            settled=settled,
            unreachable=[(case.track, self._why(case)) for case in others if case.fingerprint is None],
        )

    def _asks(self, track: Track) -> bool:
        """Whether other tracks stand for this one: on pictures, what a prompt finds is the answer itself."""
        return track.asked is not None and self.settings.pictures_per_look is None

    def _is_look(self, track: Track) -> bool:
        return self.settings.pictures_per_look is not None or track.asked is not None

    def _case(self, track: Track, kept: set[str]) -> _Case:
        state = self.videos[track.video.video_id]
        entry = state.ledger.tracks.get(track.object_id)
        made_by = self.recipe
        if self.trust_weights and entry:
            made_by = replace(self.recipe, weights_digest=entry.weights_digest)
        name = fingerprint(track, state.identity, made_by) if state.identity else None
        table = _table_of(self.settings.output, track.video.video_id, track.object_id)[1]
        case = _Case(track, entry, name, stands=table in state.tables)
        return replace(case, stands=case.kept_under in kept) if self._asks(track) else case

    def _read_found(self, looked_up: Sequence[_Case]) -> list[tuple[Track, ...]]:
        def read(case: _Case) -> tuple[Track, ...]:
            assert case.kept_under is not None
            return read_found(self.store, self.settings.output, case.track, case.kept_under)

        return for_each(read, looked_up, self.settings.num_transfers, meanwhile=self.meanwhile)

    def _is_settled(self, case: _Case) -> bool:
        entry, keep_partial = case.entry, self.settings.keep_partial
        if entry is None:
            return False
        if entry.status == "failed":
            is_permanent = entry.error_kind in PERMANENT and not (keep_partial and entry.error_kind == "truncated")
            is_same = case.fingerprint is not None and entry.fingerprint == case.fingerprint
            return is_permanent and is_same and not self.settings.retry_failed
        if not case.stands:
            return False
        is_kept = entry.status == "done" or (entry.status == "partial" and keep_partial)
        return is_kept and case.fingerprint in (None, entry.fingerprint)

    def _why(self, case: _Case) -> Failure:
        failure = self.videos[case.track.video.video_id].failure
        assert failure is not None, "a video that can be found has an identity"
        return failure

    def _with_saved_work(self, wanted: Sequence[tuple[Track, str]]) -> list[PendingTrack]:
        output, chunk_frames = self.settings.output, self.settings.chunk_frames
        saved = saved_fingerprints(self.store, output) if wanted and self.has_saved_work else set()

        def look(pair: tuple[Track, str]) -> PendingTrack:
            track, name = pair
            work = saved_work(self.store, output, name, chunk_frames) if name in saved else NOTHING_SAVED
            return PendingTrack(track, name, work)

        return for_each(look, wanted, self.settings.num_transfers, meanwhile=self.meanwhile)


def sweep(
    store: Store,
    output: str,
    needed: Iterable[str],
    num_transfers: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Remove saved work under fingerprints that no pending track needs."""
    leftovers = sorted(saved_fingerprints(store, output) - set(needed))
    if leftovers:
        logger.info("removing the saved work of %d tracks that nobody goes on with", len(leftovers))
    for_each(lambda name: discard_track(store, output, name), leftovers, num_transfers, meanwhile=meanwhile)


def _look_up(
    videos: Iterable[Video], store: Store, settings: DriverSettings, meanwhile: Callable[[], None]
) -> dict[str, VideoState]:
    ordered = sorted(videos, key=lambda video: video.video_id)

    def look_up(video: Video) -> VideoState:
        return _look_up_one(video, store, settings.output)

    states = for_each(look_up, ordered, settings.num_transfers, meanwhile=meanwhile)
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
        ledger = replace(ledger, video_uri=redact(video.uri), identity=_redacted(identity), facts=None, cut=None)
    return VideoState(video, ledger, tables, identity, None)


def _redacted(identity: VideoIdentity) -> VideoIdentity:
    return replace(identity, uri=redact(identity.uri))


def _known(state: VideoState, num_asked_for: int, *, goes_on: bool) -> KnownVideo:
    """Where a video is cut is believed only by who goes on with work that was saved under it: others may be luckier."""
    ledger = state.ledger
    if ledger.facts is not None:
        cut = Failure(FailureKind.TRUNCATED, ledger.cut.message, ledger.cut.frame_reached) if ledger.cut else None
        return KnownVideo(ledger.facts.num_frames, ledger.facts, cut if goes_on else None)
    size_bytes = state.identity.size_bytes if state.identity else 0
    return KnownVideo(max(num_asked_for, size_bytes // BYTES_PER_FRAME))
