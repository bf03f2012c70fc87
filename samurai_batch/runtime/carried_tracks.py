"""Tracks of a job that begin with the memories of others: what they wait for, and when they can begin.

    tracks ─┬─> first: those with prompts of their own ──> prepare ──> … each of them ends ─┐
            └─> groups that wait <───────────── fingerprint and kept memories of the sources ─┘ ──> prepare ──> …

The fingerprint of a source is part of the fingerprint of what begins with it. Whether a run has made the source, or one
before, and whether that run was killed, makes no difference.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from samurai_batch.background import for_each
from samurai_batch.ledger.kept_states import list_kept_memories
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.store import read_video_ledgers
from samurai_batch.masks import mask_table_name
from samurai_batch.planning.carried_tracks import CarriedGroup, carried_groups
from samurai_batch.planning.fingerprints import fingerprint
from samurai_batch.planning.orders import TrackSettled
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.prompts import FromVideoPrompt
from samurai_batch.runtime.preparation import Preparation, Preparer
from samurai_batch.runtime.video_states import read_video_states
from samurai_batch.tasks import Track, TrackId, possible_prompts

FAILED, FAILED_WITH = "which has failed", "which has failed with"
NOT_DETECTED = "which a prompt of this job has not detected"


@dataclass(frozen=True)
class Source:
    """A track that has ended, whose memories others begin with: its fingerprint, or why there are no memories."""

    fingerprint: str = ""
    failure: str = ""


class CarriedTracks:
    """The tracks of a job that wait for others, and what is known of these; reads their ledgers once.

    ``first`` are all other tracks of the job, ``sources`` the tracks that any of it begins with. ``needed`` are those
    with whose memories a track has to be computed; if they have a table but no memories, they are computed again
    (``preparer.unkept``). ``entries`` are the ledger's, of the sources' videos.
    ``outside_job`` are neither tracks of the job nor may be detections of it: the output must have them.
    """

    def __init__(self, tracks: Sequence[Track], preparer: Preparer) -> None:
        """Raises PromptsError for tracks that wait for each other, LedgerError, and StorageError."""
        self.preparer = preparer  # by which the sources are compared, and then all tracks
        self.first = [track for track in tracks if track.carried_from is None]
        self.groups = carried_groups(tracks)
        self.sources = frozenset(source for group in self.groups for source in group.sources)
        videos = {track.video for group in self.groups for track in group.tracks}
        self._videos = read_video_states(videos, preparer.store, preparer.settings, preparer.on_progress)
        self.entries = self._read_entries()
        self._kept = self._read_kept()
        self.needed = self._needed()
        self.preparer = replace(preparer, unkept=frozenset(filter(self._is_without_memories, self.needed)))
        self._expected: dict[TrackId, str] = {}
        self._known: dict[TrackId, Source] = {}
        self._waiting: dict[TrackId, list[CarriedGroup]] = defaultdict(list)
        self._num_missing: dict[CarriedGroup, int] = {}
        self._ready: deque[CarriedGroup] = deque()
        self._is_preparing = False
        self._wait(tracks)

    def _wait(self, tracks: Iterable[Track]) -> None:
        for group in self.groups:
            self._num_missing[group] = len(group.sources)
            for source in group.sources:
                self._waiting[source].append(group)
        of_job = {track.track_id: track for track in tracks} if self.groups else {}
        self.detected = {one: _prompt_of(one, of_job) for one in self.sources - of_job.keys()}
        self.outside_job = frozenset(one for one, prompt in self.detected.items() if prompt is None)
        for one in self.outside_job:
            self._entered(one, self.entries.get(one))

    # -- what is in the output

    def _read_entries(self) -> dict[TrackId, TrackEntry]:
        """The tracks in the ledgers of the sources' videos."""
        video_ids, settings = {video_id for video_id, _ in self.sources}, self.preparer.settings
        ledgers = read_video_ledgers(self.preparer.store, settings.output, video_ids, settings.num_transfers)
        return {(one.video_id, object_id): entry for one in ledgers for object_id, entry in one.tracks.items()}

    def _read_kept(self) -> frozenset[str]:
        """The fingerprints of sources whose memories are kept."""
        preparer, settings = self.preparer, self.preparer.settings

        def read(source: TrackId) -> set[str]:
            return list_kept_memories(preparer.store, settings.output, *source)

        sources = sorted(self.sources & self.entries.keys())
        found = for_each(read, sources, settings.num_transfers, on_progress=preparer.on_progress)
        return frozenset[str]().union(*found)

    def _needed(self) -> frozenset[TrackId]:
        """The sources of tracks that have to be computed, if the sources stay as they are in the ledger."""
        needed: set[TrackId] = set()
        for group in reversed(self.groups):
            for track in group.tracks:
                prompt = track.carried_from
                assert prompt is not None
                is_again = track.track_id in needed and self._is_without_memories(track.track_id)
                if is_again or not self._is_done(track, prompt):
                    needed.add(prompt.track_id)
        return frozenset(needed)

    def _is_without_memories(self, source: TrackId) -> bool:
        entry = self.entries.get(source)
        return entry is not None and entry.status != "failed" and entry.fingerprint not in self._kept

    def _is_done(self, track: Track, prompt: FromVideoPrompt) -> bool:
        video, source = self._videos[track.video.video_id], self.entries.get(prompt.track_id)
        entry = video.ledger.tracks.get(track.object_id)
        if entry is None or entry.status == "failed" or mask_table_name(track.object_id) not in video.tables:
            return False
        if video.identity is None or source is None or source.fingerprint is None:
            return False
        recipe = self.preparer.recipe_of(entry)
        return fingerprint(_with_source(track, source.fingerprint), video.identity, recipe) == entry.fingerprint

    # -- sources that end

    def prepared(self, part: Preparation, *, as_done: bool = False) -> None:
        """Take in tracks that were prepared: of sources, those that have ended, and the fingerprints of the others.

        With ``as_done``, for a plan, they count as if they had ended well.
        """
        for track, entry in part.settled:
            self._entered(track.track_id, entry)
        for track, failure in part.unreachable:
            self._ended(track.track_id, Source(failure=self._why_failed(track, failure)))
        for track, name in part.to_do:
            self._expected[track.track_id] = name
            if as_done:
                self._ended(track.track_id, Source(name))
        open_prompts = {track.track_id for track, _ in part.to_do if track.auto_prompt is not None}
        for track in part.tracks:
            if track.auto_prompt is not None and (as_done or track.track_id not in open_prompts):
                self._prompt_ended(track, Source("not detected yet") if track.track_id in open_prompts else None)

    def settled(self, outcome: TrackSettled) -> None:
        """A track of this run has ended; if its detections are tracks, they have been seen."""
        track = outcome.track
        if outcome.status == "failed" and outcome.failure:
            self._ended(track.track_id, Source(failure=f"{FAILED}: {outcome.failure.message}"))
        else:
            self._ended(track.track_id, Source(outcome.fingerprint))
        if track.auto_prompt is not None:
            self._prompt_ended(track)

    def _why_failed(self, track: Track, failure: Failure) -> str:
        """Of a track that could not begin; along a chain of sources, the first one that has failed is named."""
        source = self._known.get(track.carried_from.track_id) if track.carried_from else None
        if track.carried_from is None or source is None or not source.failure:
            return f"{FAILED}: {failure.message}"
        is_first = not source.failure.startswith(FAILED_WITH)
        return f"{FAILED_WITH} {_named(track.carried_from)}, {source.failure}" if is_first else source.failure

    def _entered(self, source: TrackId, entry: TrackEntry | None) -> None:
        if entry is None or entry.status == "failed" or entry.fingerprint is None:
            self._ended(source, Source(failure=f"{FAILED}: {entry.error}" if entry else "which is unknown"))
        elif source in self.preparer.unkept:
            self._ended(source, Source(failure="whose memories were not kept"))
        else:
            self._ended(source, Source(entry.fingerprint))

    def _prompt_ended(self, track: Track, otherwise: Source | None = None) -> None:
        for source, prompt in self.detected.items():
            if prompt == track.track_id and source not in self._expected:
                self._ended(source, otherwise or Source(failure=NOT_DETECTED))

    def _ended(self, track_id: TrackId, source: Source) -> None:
        if track_id not in self.sources or track_id in self._known:
            return
        self._known[track_id] = source
        for group in self._waiting.pop(track_id, ()):
            self._num_missing[group] -= 1
            if not self._num_missing[group]:
                self._ready.append(group)

    # -- tracks that begin

    @property
    def num_waiting(self) -> int:
        """The tracks that wait for others."""
        return sum(len(group.tracks) for group, num_missing in self._num_missing.items() if num_missing)

    def ready(self) -> Iterator[Preparation]:
        """What is left to do for the groups whose sources have ended. Raises what `Preparer.prepare` raises.

        Nothing while another call goes on, which comes to these groups, too.
        """
        while self._ready and not self._is_preparing:
            self._is_preparing = True
            group = self._ready.popleft()
            sources = {one: self._known[one] for one in group.sources}
            failures = {
                track.track_id: _failure(prompt, sources[prompt.track_id].failure)
                for track in group.tracks
                if (prompt := track.carried_from) and sources[prompt.track_id].failure
            }
            yield self.preparer.prepare(_resolved(group, sources), self._videos, failures)
            self._is_preparing = False

    def all_parts(self) -> Iterator[Preparation]:
        """What is left to do for all tracks, for a plan: those that wait are compared as if the others were done.

        Raises what `Preparer.parts` raises.
        """
        for part in chain(self.preparer.parts(self.first), self.ready()):
            self.prepared(part, as_done=True)
            yield part

    def expected_fingerprints(self) -> Iterator[str]:
        """The fingerprints that waiting tracks will have if their sources end well, as far as they are known."""
        expected = {one: source.fingerprint for one, source in self._known.items()} | self._expected
        for group in self.groups:
            for track in group.tracks:
                prompt, identity = track.carried_from, self._videos[track.video.video_id].identity
                assert prompt is not None
                if identity is not None and (name := expected.get(prompt.track_id)):
                    expected[track.track_id] = fingerprint(_with_source(track, name), identity, self.preparer.recipe)
                    yield expected[track.track_id]


def _prompt_of(source: TrackId, of_job: Mapping[TrackId, Track]) -> TrackId | None:
    """The prompt of a job whose detections a track ``<object_id>#<…>`` would be one of."""
    found = (one for one in possible_prompts(source) if one in of_job)
    return next((one for one in found if of_job[one].auto_prompt is not None), None)


def _resolved(group: CarriedGroup, sources: Mapping[TrackId, Source]) -> list[Track]:
    return [
        _with_source(track, sources[track.carried_from.track_id].fingerprint)
        for track in group.tracks
        if track.carried_from is not None
    ]


def _with_source(track: Track, name: str) -> Track:
    prompts = (replace(one, source=name) if isinstance(one, FromVideoPrompt) else one for one in track.prompts)
    return replace(track, prompts=tuple(prompts))


def _failure(prompt: FromVideoPrompt, why: str) -> Failure:
    return Failure(FailureKind.PROMPT, f"it begins with the memories of {_named(prompt)}, {why}")


def _named(prompt: FromVideoPrompt) -> str:
    return f"object {prompt.object_id!r} of video {prompt.video_id!r}"
