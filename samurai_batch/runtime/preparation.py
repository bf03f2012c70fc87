"""Before any work: which tracks have ended, which are left to do, and which checkpoints nobody needs any more."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, islice
from types import MappingProxyType

from samurai_batch.background import for_each
from samurai_batch.ledger.checkpoints import list_saved_chunks, list_saved_tracks
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.store import Store
from samurai_batch.masks import mask_table_name
from samurai_batch.planning.continuation import Continuation, is_continuable
from samurai_batch.planning.fingerprints import (
    Recipe,
    VideoIdentity,
    fingerprint,
    fingerprint_of_detections,
    fingerprint_of_found,
)
from samurai_batch.planning.job_state import KnownVideo, PendingDiscovery, PendingTrack
from samurai_batch.planning.orders import DetectMember
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import PERMANENT, Failure
from samurai_batch.planning.shards import Shard, make_detect_batches, make_shards
from samurai_batch.runtime.continuation import find_continuation
from samurai_batch.runtime.detection import detected_fingerprints, read_detections
from samurai_batch.runtime.discovery import as_track, discover_prompt_of, first_window, found_tracks, read_decisions
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.video_states import VideoState, read_video_states
from samurai_batch.runtime.window_detections import detected_windows
from samurai_batch.tasks import Track, TrackId

VIDEOS_AT_ONCE = 500
"""So many videos are compared at a time: enough to keep storage busy, and few enough to hold their ledgers."""


@dataclass(frozen=True)
class Preparation:
    """The tracks of a job, or of some of its videos, by what is left to do for them.

    ``settled`` tracks have ended in an earlier run, and ``unreachable`` ones fail at once: their videos cannot be
    found. ``pending`` tracks are propagated, in ``shards`` that also hold other tracks of their videos. The prompts of
    ``detect_batches`` are detected, each batch by one order; those of ``detected`` tracks were detected by an earlier
    run that ended before its ledger said so. ``discoveries`` are discover prompts, from where an earlier run left them.
    Pending tracks that are ``continued`` in added files have all before as saved, once `begin_continued` was called.
    """

    videos: Mapping[str, VideoState]
    settled: list[tuple[Track, TrackEntry]]
    unreachable: list[tuple[Track, Failure]]
    pending: list[PendingTrack]
    shards: list[Shard]
    detect_batches: list[tuple[DetectMember, ...]]
    detected: list[DetectMember]
    discoveries: list[PendingDiscovery]
    continued: list[Continuation]

    @property
    def saved_fingerprints(self) -> set[str]:
        """The fingerprints of all tracks that may have checkpoints that are still needed."""
        return {one.fingerprint for one in self.pending} | {name for one in self.discoveries for name in one.found}

    @property
    def to_detect(self) -> list[DetectMember]:
        """The members of all batches."""
        return [member for batch in self.detect_batches for member in batch]

    @property
    def to_do(self) -> list[tuple[Track, str]]:
        """The tracks that need work, with their fingerprints."""
        pending = [(one.track, one.fingerprint) for one in self.pending]
        discoveries = [(one.track, one.fingerprint) for one in self.discoveries]
        return pending + [(one.track, one.fingerprint) for one in self.to_detect] + discoveries

    @property
    def tracks(self) -> list[Track]:
        """All tracks, with those that detections have become."""
        return [track for track, _ in self.settled] + self._open_tracks

    @property
    def open_videos(self) -> set[str]:
        """The videos with a track that is not settled."""
        return {track.video.video_id for track in self._open_tracks}

    @property
    def _open_tracks(self) -> list[Track]:
        done = [one.track for one in self.detected] + [track for track, _ in self.unreachable]
        return done + [track for track, _ in self.to_do]

    def known_videos(self) -> dict[str, KnownVideo]:
        """What the scheduler is told about each video: at least that the frames of its prompts exist."""
        num_frames: dict[str, int] = {}
        for shard in self.shards:
            last = max(max(leg.start_frame, leg.end_frame or 0) for leg in shard.legs)
            num_frames[shard.video.video_id] = max(num_frames.get(shard.video.video_id, 0), last + 1)
        for one in self.continued:
            video_id = one.track.video.video_id
            num_frames[video_id] = max(num_frames[video_id], one.start.frame + 1)
        begun = {one.track.track_id for one in self.continued}  # under no truncation that was found later
        saved = [one.track for one in self.pending if one.saved.parts and one.track.track_id not in begun]
        resumed = {track.video.video_id for track in saved}
        for discovery in self.discoveries:
            num_frames[discovery.track.video.video_id] = discover_prompt_of(discovery.track).frame_index + 1
            resumed |= {discovery.track.video.video_id} if discovery.found else set()
        cutting = {track.video.video_id for track in self._open_tracks if track.sampling.on_cut != "ignore"}
        return {
            video_id: self.videos[video_id].known(count, resumes=video_id in resumed, needs_cuts=video_id in cutting)
            for video_id, count in num_frames.items()
        }


def _by_videos(tracks: Sequence[Track], num_videos: int) -> Iterator[list[Track]]:
    """The tracks of so many videos at a time, in the videos' order."""
    ordered = sorted(tracks, key=lambda track: track.video.video_id)
    each = groupby(ordered, key=lambda track: track.video.video_id)
    while part := [track for _, of_video in islice(each, num_videos) for track in of_video]:
        yield part


@dataclass(frozen=True)
class _Candidate:
    """A track, its ledger entry, and the fingerprint that it has now: None while its video or its source is not there.

    ``has_result``: its mask table is there or, if detections become tracks of their own, they are.
    """

    track: Track
    entry: TrackEntry | None
    fingerprint: str | None
    has_result: bool = False

    @property
    def result_fingerprint(self) -> str | None:
        """The current fingerprint or, while the video cannot be found, that of its ledger entry."""
        return self.fingerprint or (self.entry.fingerprint if self.entry else None)


@dataclass(frozen=True)
class Preparer:
    """Compares the tracks of a job with the ledger and the checkpoints of its output. Writes nothing.

    A track is settled if its mask table is there and the ledger has it as done under the same fingerprint; or as
    partial, if the job keeps partial tracks. It is also settled if it failed because of its input and the input is the
    same, unless the job retries such tracks. While a video cannot be found, what is published of it stays. Prompts
    that have been detected come with the tracks of their detections. With ``trust_weights`` every entry is compared
    under the weights that it was made with, for callers without weights. Tracks that are ``unkept`` have a table, but
    not the memories that another track waits for. Where no track can have checkpoints, ``may_have_checkpoints`` False
    saves a listing. ``on_progress`` is called often: this may take minutes.
    """

    recipe: Recipe
    store: Store
    settings: DriverSettings
    trust_weights: bool = False
    on_progress: Callable[[], None] = lambda: None
    may_have_checkpoints: bool = True
    unkept: frozenset[TrackId] = frozenset()

    @cached_property
    def detections(self) -> set[str]:
        """The fingerprints of prompts whose detections are in storage."""
        return detected_fingerprints(self.store, self.settings.output)

    @cached_property
    def checkpoints(self) -> set[str]:
        """The fingerprints of tracks with checkpoints."""
        return list_saved_tracks(self.store, self.settings.output) if self.may_have_checkpoints else set()

    def parts(self, tracks: Sequence[Track]) -> Iterator[Preparation]:
        """What is left to do for tracks that wait for none (others: `carried_tracks`), in parts.

        Each part has some of the videos, and each video is in one part, so that the ledger of a large job need not fit
        into memory. Raises LedgerError, StateError, StorageError.
        """
        for part in _by_videos(tracks, VIDEOS_AT_ONCE):
            videos = read_video_states({track.video for track in part}, self.store, self.settings, self.on_progress)
            yield self.prepare(part, videos)

    def prepare(
        self,
        tracks: Sequence[Track],
        videos: Mapping[str, VideoState],
        failures: Mapping[TrackId, Failure] = MappingProxyType({}),
    ) -> Preparation:
        """What is left to do for tracks of these videos; those with ``failures`` cannot begin. Raises as `parts`."""
        settings = self.settings
        candidates = [self._candidate(track, videos) for track in tracks]
        groups = [
            [track for track in tracks if not settings.is_detected(track)],
            *self._tracks_of_detections(candidates),  # each prompt's in shards of its own, as when it was detected
        ]
        candidates += [self._candidate(track, videos) for group in groups[1:] for track in group]
        settled = [(one.track, one.entry) for one in candidates if one.entry and self._is_settled(one)]
        others = [one for one in candidates if not self._is_settled(one)]
        to_do = [(one.track, one.fingerprint) for one in others if one.fingerprint is not None]
        members = [DetectMember(track, name) for track, name in to_do if settings.is_detected(track)]
        new = [one for one in members if not self._is_detected_already(one)]
        pending = self._pending([(track, name) for track, name in to_do if not settings.is_detected(track)])
        continued = {one.track.track_id: one for one in self._continued(pending, videos)}
        pending = [
            replace(one, saved=continued[one.track.track_id].saved) if one.track.track_id in continued else one
            for one in pending
        ]
        return Preparation(
            videos=videos,
            settled=settled,
            unreachable=[
                (one.track, why)
                for one in others
                if (why := videos[one.track.video.video_id].failure or failures.get(one.track.track_id))
            ],
            pending=pending,
            shards=self._shards(groups, pending),
            detect_batches=make_detect_batches(
                [one for one in new if not settings.is_discovered(one.track)], settings.videos_per_detect_order
            ),
            detected=[one for one in members if self._is_detected_already(one)],
            discoveries=[
                self._discovery(one, videos[one.track.video.video_id].identity)
                for one in new
                if settings.is_discovered(one.track)
            ],
            continued=list(continued.values()),
        )

    def _continued(self, pending: Sequence[PendingTrack], videos: Mapping[str, VideoState]) -> list[Continuation]:
        """The tracks that go on where they have ended in a video of fewer files."""
        output, chunk_frames = self.settings.output, self.settings.chunk_frames

        def find(one: PendingTrack) -> Continuation | None:
            video = videos[one.track.video.video_id]
            entry = video.ledger.tracks.get(one.track.object_id)
            if entry is None or mask_table_name(one.track.object_id) not in video.tables:
                return None
            return find_continuation(one, video, self.recipe_of(entry), self.store, output, chunk_frames)

        candidates = [one for one in pending if is_continuable(one.track)]
        found = for_each(find, candidates, self.settings.num_transfers, on_progress=self.on_progress)
        return [one for one in found if one is not None]

    def recipe_of(self, entry: TrackEntry | None) -> Recipe:
        """The recipe that an entry is compared with."""
        if self.trust_weights and entry:
            return replace(self.recipe, weights_digest=entry.weights_digest)
        return self.recipe

    def _discovery(self, member: DetectMember, identity: VideoIdentity | None) -> PendingDiscovery:
        """A discovery from where an earlier run has left it."""
        track, name, chunk_frames = member.track, member.fingerprint, self.settings.chunk_frames
        decisions = read_decisions(self.store, self.settings.output, track, name, chunk_frames)
        found = {one.object_id: as_track(track, name, one) for one in found_tracks(decisions)}
        assert identity is not None, "a prompt whose video is missing has no fingerprint"
        detects = not discover_prompt_of(track).detections
        key = fingerprint_of_detections(track, identity, self.recipe) if detects else ""
        going_on = [found[one.object_id] for one in decisions[-1].state] if decisions else []
        return PendingDiscovery(
            track=track,
            fingerprint=name,
            window=first_window(track, chunk_frames) + len(decisions),
            going_on=tuple(self._pending([(one, fingerprint_of_found(one)) for one in going_on])),
            found=tuple(fingerprint_of_found(one) for one in found.values()),
            detections_key=key,
            detected=detected_windows(self.store, self.settings.output, key) if key else frozenset(),
        )

    def _candidate(self, track: Track, videos: Mapping[str, VideoState]) -> _Candidate:
        state = videos[track.video.video_id]
        entry = state.ledger.tracks.get(track.object_id)
        recipe = self.recipe_of(entry)
        is_known = track.carried_from is None or track.carried_from.source != ""
        identity = state.identity if is_known else None
        one = _Candidate(track, entry, fingerprint(track, identity, recipe) if identity else None)
        if self.settings.has_detected_tracks(track):
            return replace(one, has_result=one.result_fingerprint in self.detections)
        is_unkept = identity is not None and track.track_id in self.unkept
        return replace(one, has_result=mask_table_name(track.object_id) in state.tables and not is_unkept)

    def _is_settled(self, one: _Candidate) -> bool:
        entry, keep_partial = one.entry, self.settings.keep_partial
        if entry is None:
            return False
        if entry.status == "failed":
            is_permanent = entry.error_kind in PERMANENT and not (keep_partial and entry.error_kind == "truncated")
            is_same = one.fingerprint is not None and entry.fingerprint == one.fingerprint
            return is_permanent and is_same and not self.settings.retry_failed
        is_kept = entry.status == "done" or (entry.status == "partial" and keep_partial)
        return one.has_result and is_kept and one.fingerprint in (None, entry.fingerprint)

    def _is_detected_already(self, member: DetectMember) -> bool:
        return self.settings.has_detected_tracks(member.track) and member.fingerprint in self.detections

    def _tracks_of_detections(self, candidates: Sequence[_Candidate]) -> list[tuple[Track, ...]]:
        """The tracks that each prompt's detections have become."""

        def read(one: _Candidate) -> tuple[Track, ...]:
            assert one.result_fingerprint is not None
            return read_detections(self.store, self.settings.output, one.track, one.result_fingerprint)

        settings = self.settings
        detected = [one for one in candidates if one.has_result and settings.has_detected_tracks(one.track)]
        return for_each(read, detected, self.settings.num_transfers, on_progress=self.on_progress)

    def _shards(self, groups: Sequence[Sequence[Track]], pending: Sequence[PendingTrack]) -> list[Shard]:
        """The shards with a pending track. All tracks of a video decide how it is cut into shards."""
        if not pending:
            return []
        names = {one.track.track_id for one in pending}
        shards = [shard for group in groups for shard in make_shards(group, self.settings.max_tracks_per_shard)]
        return [shard for shard in shards if any(leg.track.track_id in names for leg in shard.legs)]

    def _pending(self, to_do: Sequence[tuple[Track, str]]) -> list[PendingTrack]:
        output, chunk_frames = self.settings.output, self.settings.chunk_frames

        saved_tracks = self.checkpoints if to_do else set()

        def with_checkpoints(track_and_fingerprint: tuple[Track, str]) -> PendingTrack:
            track, name = track_and_fingerprint
            is_saved = name in saved_tracks
            saved = list_saved_chunks(self.store, output, name, chunk_frames) if is_saved else NOTHING_SAVED
            return PendingTrack(track, name, saved)

        return for_each(with_checkpoints, to_do, self.settings.num_transfers, on_progress=self.on_progress)
