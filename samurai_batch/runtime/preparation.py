"""Before any work: what is done already, what is pending, and what must not be left lying about."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, islice

from samurai_batch.planning.detect_batches import make_detect_batches
from samurai_batch.planning.fingerprints import Recipe, fingerprint
from samurai_batch.planning.job_state import KnownVideo, PendingTrack
from samurai_batch.planning.orders import DetectMember
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import PERMANENT, Failure
from samurai_batch.planning.shards import Shard, make_shards
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.environment import Store
from samurai_batch.runtime.found import detected_fingerprints, read_detections
from samurai_batch.runtime.ledger import TrackEntry
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.video_states import VideoState, look_up_videos
from samurai_batch.runtime.work import discard_track, saved_fingerprints, saved_work
from samurai_batch.tasks import Track

logger = get_logger(__name__)

VIDEOS_AT_ONCE = 500
"""So many ledgers are held at a time: enough to keep storage busy, few beside what is to do."""


@dataclass(frozen=True)
class Preparation:
    """A job, or a part of its videos, sorted out. ``shards`` are those that something is left of.

    ``looks`` are tracks that are answered at once, those of one order together; ``found`` were looked up by an earlier
    run, whose ledger does not say so. ``unreachable`` tracks fail without work: their videos cannot be found.
    """

    shards: list[Shard]
    videos: Mapping[str, VideoState]
    pending: list[PendingTrack]
    looks: list[tuple[DetectMember, ...]]
    found: list[DetectMember]
    settled: list[tuple[Track, TrackEntry]]
    unreachable: list[tuple[Track, Failure]]

    @property
    def to_do(self) -> list[tuple[Track, str]]:
        """The tracks that need work, with their fingerprints."""
        followed = [(one.track, one.fingerprint) for one in self.pending]
        return followed + [(one.track, one.fingerprint) for one in self.asking]

    @property
    def tracks(self) -> list[Track]:
        """All its tracks, with those that stand for prompts looked up."""
        settled = [track for track, _ in self.settled] + [one.track for one in self.found]
        return settled + [track for track, _ in self.unreachable] + [track for track, _ in self.to_do]

    @property
    def asking(self) -> list[DetectMember]:
        """Those who are answered at once, one by one."""
        return [one for members in self.looks for one in members]

    @property
    def open_videos(self) -> set[str]:
        """The videos that have a track which is not settled."""
        tracks = [track for track, _ in self.to_do] + [one.track for one in self.found]
        return {track.video.video_id for track in (*tracks, *(track for track, _ in self.unreachable))}

    def known_videos(self) -> dict[str, KnownVideo]:
        """What the scheduler is told about each video's length: at least that the frames asked for exist."""
        asked_for: dict[str, int] = {}
        for shard in self.shards:
            last = max(max(leg.start_frame, leg.end_frame or 0) for leg in shard.legs)
            asked_for[shard.video.video_id] = max(asked_for.get(shard.video.video_id, 0), last + 1)
        going_on = {one.track.video.video_id for one in self.pending if one.saved.parts}
        return {
            video_id: self.videos[video_id].known(num_frames, goes_on=video_id in going_on)
            for video_id, num_frames in asked_for.items()
        }


def prepare(
    tracks: Sequence[Track],
    recipe: Recipe,
    store: Store,
    settings: DriverSettings,
    *,
    trust_weights: bool = False,
    on_progress: Callable[[], None] = lambda: None,
) -> Iterator[Preparation]:
    """Compare the prompts table with the ledger and with what earlier runs have saved. Writes nothing.

    A track is settled if its mask table is there, and the ledger has it under the same fingerprint, done (or partial,
    where the job keeps partial tracks); or if its input made it fail and is still the same, unless the job tries such
    tracks again. While its video cannot be found, what is published stays. Prompts that were looked up are followed by
    the tracks that stand for them. With ``trust_weights`` every entry is compared under the weights it was made with:
    for who asks before having any.

    Each part has some of the videos, so that nobody has to hold the ledger of a large job; a video is in one of them.
    ``meanwhile`` is called now and then: this may take minutes. Raises LedgerError, StateError, StorageError.
    """
    sorter = _Sorter(recipe, store, settings, trust_weights, on_progress)
    for part in _by_videos(tracks, VIDEOS_AT_ONCE):
        videos = look_up_videos({track.video for track in part}, store, settings, on_progress)
        yield sorter.sort_out(part, videos)


def _by_videos(tracks: Sequence[Track], num_videos: int) -> Iterator[list[Track]]:
    """The tracks of so many videos at a time, in the videos' order."""
    ordered = sorted(tracks, key=lambda track: track.video.video_id)
    each = groupby(ordered, key=lambda track: track.video.video_id)
    while part := [track for _, of_video in islice(each, num_videos) for track in of_video]:
        yield part


def prepare_detected(
    tracks: Sequence[Track], videos: Mapping[str, VideoState], recipe: Recipe, store: Store, settings: DriverSettings
) -> Preparation:
    """The same for tracks that stand for a prompt of the job, which has just been looked up.

    Nobody can have followed them yet, so storage is not asked for their work.
    """
    return _Sorter(recipe, store, settings, has_saved_work=False).sort_out(tracks, videos)


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

    recipe: Recipe
    store: Store
    settings: DriverSettings
    trust_weights: bool = False
    on_progress: Callable[[], None] = lambda: None
    has_saved_work: bool = True

    @cached_property
    def kept(self) -> set[str]:
        """The fingerprints of prompts that were looked up."""
        return detected_fingerprints(self.store, self.settings.output)

    @cached_property
    def saved(self) -> set[str]:
        """The fingerprints under which work is saved."""
        return saved_fingerprints(self.store, self.settings.output)

    def sort_out(self, tracks: Sequence[Track], videos: Mapping[str, VideoState]) -> Preparation:
        """What is found for one prompt is followed by itself, so that a resumed run meets the same batches."""
        cases = [self._case(track, videos) for track in tracks]
        looked_up = [case for case in cases if case.stands and self._asks(case.track)]
        groups = [[track for track in tracks if not self._is_look(track)], *self._read_found(looked_up)]
        cases += [self._case(track, videos) for group in groups[1:] for track in group]
        settled = [(case.track, case.entry) for case in cases if case.entry and self._is_settled(case)]
        others = [case for case in cases if not self._is_settled(case)]
        to_do = [(case.track, case.fingerprint) for case in others if case.fingerprint is not None]
        looks = [DetectMember(track, name) for track, name in to_do if self._is_look(track)]
        found = [one for one in looks if self._is_found(one)]
        pending = self._with_saved_work([(track, name) for track, name in to_do if not self._is_look(track)])
        return Preparation(
            shards=self._shards(groups, pending),
            videos=videos,
            pending=pending,
            looks=make_detect_batches(
                [one for one in looks if not self._is_found(one)], self.settings.pictures_per_order or 1
            ),
            found=found,
            settled=settled,
            unreachable=[(case.track, _why(case, videos)) for case in others if case.fingerprint is None],
        )

    def _shards(self, groups: Sequence[Sequence[Track]], pending: Sequence[PendingTrack]) -> list[Shard]:
        """All tracks of a video say how it is cut into shards; those that somebody has to follow are told."""
        if not pending:
            return []
        wanted = {one.track.track_id for one in pending}
        shards = [shard for group in groups for shard in make_shards(group, self.settings.max_tracks_per_shard)]
        return [shard for shard in shards if any(leg.track.track_id in wanted for leg in shard.legs)]

    def _asks(self, track: Track) -> bool:
        """Whether other tracks stand for this one: on pictures, what a prompt finds is the answer itself."""
        return track.auto_prompt is not None and self.settings.pictures_per_order is None

    def _is_look(self, track: Track) -> bool:
        return self.settings.pictures_per_order is not None or track.auto_prompt is not None

    def _is_found(self, look: DetectMember) -> bool:
        """Whether an earlier run has looked, and its ledger does not say so."""
        return self._asks(look.track) and look.fingerprint in self.kept

    def _case(self, track: Track, videos: Mapping[str, VideoState]) -> _Case:
        state = videos[track.video.video_id]
        entry = state.ledger.tracks.get(track.object_id)
        made_by = self.recipe
        if self.trust_weights and entry:
            made_by = replace(self.recipe, weights_digest=entry.weights_digest)
        name = fingerprint(track, state.identity, made_by) if state.identity else None
        if self._asks(track):
            case = _Case(track, entry, name, stands=False)
            return replace(case, stands=case.kept_under in self.kept)
        return _Case(track, entry, name, stands=state.has_table(track.object_id))

    def _read_found(self, looked_up: Sequence[_Case]) -> list[tuple[Track, ...]]:
        def read(case: _Case) -> tuple[Track, ...]:
            assert case.kept_under is not None
            return read_detections(self.store, self.settings.output, case.track, case.kept_under)

        return for_each(read, looked_up, self.settings.num_transfers, on_progress=self.on_progress)

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

    def _with_saved_work(self, wanted: Sequence[tuple[Track, str]]) -> list[PendingTrack]:
        output, chunk_frames = self.settings.output, self.settings.chunk_frames

        def look(pair: tuple[Track, str]) -> PendingTrack:
            track, name = pair
            is_saved = self.has_saved_work and name in self.saved
            return PendingTrack(
                track, name, saved_work(self.store, output, name, chunk_frames) if is_saved else NOTHING_SAVED
            )

        return for_each(look, wanted, self.settings.num_transfers, on_progress=self.on_progress)


def _why(case: _Case, videos: Mapping[str, VideoState]) -> Failure:
    failure = videos[case.track.video.video_id].failure
    assert failure is not None, "a video that can be found has an identity"
    return failure


def sweep(
    store: Store,
    output: str,
    needed: Iterable[str],
    num_transfers: int,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Remove saved work under fingerprints that no pending track needs."""
    leftovers = sorted(saved_fingerprints(store, output) - set(needed))
    if leftovers:
        logger.info("removing the saved work of %d tracks that nobody goes on with", len(leftovers))
    for_each(lambda name: discard_track(store, output, name), leftovers, num_transfers, on_progress=on_progress)
