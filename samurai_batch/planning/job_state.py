"""The tracks of a job, and how each of them ends: published, published up to a truncation, or failed."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from samurai_batch.planning.chunks import first_chunk, frames_left, last_frame, step
from samurai_batch.planning.fingerprints import fingerprint_of_found
from samurai_batch.planning.orders import (
    DetectMember,
    Outcome,
    TrackSettled,
    TrackStatus,
    VideoFactsKnown,
    VideoTruncated,
    WorkInvalidated,
)
from samurai_batch.planning.records import (
    DetectRecord,
    DiscoveryRecord,
    LegRecord,
    ShardRecord,
    TrackRecord,
    VideoRecord,
)
from samurai_batch.planning.resume import SavedWork, aligned
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.shards import Shard
from samurai_batch.planning.validation import VideoFacts, validation_error
from samurai_batch.tasks import Leg, Track, TrackId


@dataclass(frozen=True)
class PendingTrack:
    """A track that needs work, and what an earlier run has saved of it."""

    track: Track
    fingerprint: str
    saved: SavedWork


@dataclass(frozen=True)
class PendingDiscovery:
    """A discover prompt that needs work: its first window that is not decided, and the tracks that go on there.

    ``found`` are all of its tracks so far, those that have ended too. If the job itself detects, ``detections_key``
    names where detections are kept, and ``detected`` are the windows that have theirs.
    """

    track: Track
    fingerprint: str
    window: int
    going_on: tuple[PendingTrack, ...] = ()
    found: tuple[str, ...] = ()
    detections_key: str = ""
    detected: frozenset[int] = frozenset()


@dataclass(frozen=True)
class KnownVideo:
    """What is known of a video before it is opened: an estimate of its length, or all from an earlier run.

    ``truncation`` is where that run found the video truncated; it holds for tracks that continue that run's saved work.
    """

    expected_frames: int
    facts: VideoFacts | None = None
    truncation: Failure | None = None


class JobState:
    """The records of all pending tracks, and the outcomes that the driver has not taken yet.

    ``track_frames_left`` is the number of frames left, summed over tracks; an estimate while videos are not open.
    """

    def __init__(self, chunk_frames: int, keep_partial: bool) -> None:
        self._chunk_frames = chunk_frames
        self._keep_partial = keep_partial
        self._outcomes: list[Outcome] = []
        self.to_publish: deque[TrackRecord] = deque()
        self.videos: dict[str, VideoRecord] = {}
        self.num_open = 0
        self.track_frames_left = 0

    def take_outcomes(self) -> list[Outcome]:
        """The outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    # -- adding tracks

    def add_tracks(
        self, shards: Iterable[Shard], pending: Iterable[PendingTrack], videos: Mapping[str, KnownVideo]
    ) -> list[VideoRecord]:
        """Make records of all pending tracks, in their shards.

        Returns the videos that have to be opened, or whose facts have to be set again for their new tracks.
        """
        pending_by_id = {entry.track.track_id: entry for entry in pending}
        tracks: dict[TrackId, TrackRecord] = {}
        to_open: dict[str, VideoRecord] = {}
        for shard in shards:
            legs = [leg for leg in shard.legs if leg.track.track_id in pending_by_id]
            if legs:
                video_id = shard.video.video_id
                if video_id not in self.videos:
                    self.videos[video_id] = VideoRecord(shard.video, videos[video_id].expected_frames)
                video = self.videos[video_id]
                if not video.unopened:  # else it is already waiting to be opened
                    to_open[video_id] = video
                    video.readable_frames = None  # a known truncation is applied again, to its new tracks
                self._add_shard(video, legs, pending_by_id, tracks)
        assert tracks.keys() == pending_by_id.keys(), "every pending track is in a shard"
        self.num_open += len(tracks)
        return list(to_open.values())

    def add_detections(self, batches: Iterable[Sequence[DetectMember]]) -> list[DetectRecord]:
        """Make records of tracks for DetectOrders, one for each batch. They have no legs and need no open video."""
        records = []
        for members in batches:
            videos = {one.track.video: VideoRecord(one.track.video, 1) for one in members}
            tracks = [TrackRecord(one.track, one.fingerprint, videos[one.track.video]) for one in members]
            records.append(DetectRecord(tracks))
            self.num_open += len(tracks)
        return records

    def add_discovery(self, video: VideoRecord, pending: PendingDiscovery) -> None:
        """Make the records of a discovery and of its tracks so far."""
        whole = TrackRecord(pending.track, pending.fingerprint, video)
        record = DiscoveryRecord(video, whole, pending.window, pending.detections_key, pending.detected)
        self.videos[video.video.video_id] = video
        self.num_open += 1
        video.discovery = record
        video.tracks.append(record.track)
        for one in pending.going_on:
            self.add_held(record, one.track)
            record.saved[one.track.object_id] = one.saved

    def add_held(self, discovery: DiscoveryRecord, track: Track) -> TrackRecord:
        """Make the record of a track that a discovery has started."""
        name = fingerprint_of_found(track)
        record = TrackRecord(track, name, discovery.video, is_held=True)
        (leg,) = track.legs
        self._add_leg(record, leg, first_chunk(leg, self._chunk_frames))
        discovery.video.tracks.append(record)
        discovery.known[track.object_id] = record
        return record

    def release_held(self, video: VideoRecord, tracks: Iterable[TrackRecord]) -> None:
        """Drop the records of held tracks."""
        gone = set(map(id, tracks))
        for track in video.tracks:
            if id(track) in gone:
                track.is_settled = True
                self.recount(track)
        video.tracks = [track for track in video.tracks if id(track) not in gone]

    def _add_shard(
        self,
        video: VideoRecord,
        legs: Sequence[Leg],
        pending: Mapping[TrackId, PendingTrack],
        tracks: dict[TrackId, TrackRecord],
    ) -> None:
        saved = [(leg, pending[leg.track.track_id].saved) for leg in legs]
        records = []
        for leg, chunk in zip(legs, aligned(saved, self._chunk_frames), strict=True):
            key = leg.track.track_id
            if key not in tracks:
                tracks[key] = TrackRecord(leg.track, pending[key].fingerprint, video)
                video.tracks.append(tracks[key])
            records.append(self._add_leg(tracks[key], leg, chunk))
        video.unopened.append(ShardRecord(video, records))

    def _add_leg(self, track: TrackRecord, leg: Leg, next_chunk: int) -> LegRecord:
        record = LegRecord(track, replace(leg, fingerprint=track.fingerprint), next_chunk)
        track.legs.append(record)
        self._update_left(record)
        return record

    # -- what happens to tracks

    def set_facts(self, video: VideoRecord, facts: VideoFacts) -> list[ShardRecord]:
        """Set a video's length and size; tracks that do not fit it fail. Returns its shards, which can now begin."""
        video.facts = facts
        self._outcomes.append(VideoFactsKnown(video.video.video_id, facts))
        for track in video.tracks:
            track.set_scene_cuts(facts.scene_cuts)
            problem = validation_error(track.track, facts)
            if problem:
                self.give_up([track], Failure(FailureKind.PROMPT, problem))
        self._update_tracks(video)
        shards, video.unopened = video.unopened, []
        return shards

    def advance(self, legs: Iterable[LegRecord], chunk: int) -> None:
        """The legs have saved ``chunk``. `order_ended` decides what becomes of their tracks."""
        for leg in legs:
            leg.next_chunk = chunk + step(leg.leg.reverse)
            self._update_left(leg)

    def rewind(self, track: TrackRecord, legs: Iterable[LegRecord]) -> None:
        """Start these legs again, as their saved work is damaged; an outcome has the driver delete it."""
        track.has_restarted, track.is_publishing = True, False
        for leg in legs:
            leg.next_chunk = first_chunk(leg.leg, self._chunk_frames)
            self._update_left(leg)
            self._outcomes.append(WorkInvalidated(track.fingerprint, leg.leg.reverse))

    def truncate(self, video: VideoRecord, failure: Failure) -> None:
        """The video cannot be read from ``failure.frame_reached`` on.

        Tracks with later frames fail; if the job keeps partial tracks, those that go forward from an earlier frame
        are published up to it instead. That includes legs whose chunks are all saved: the last chunk that an earlier
        run has saved ends at the same frame.
        """
        assert failure.frame_reached is not None
        self._outcomes.append(VideoTruncated(video.video.video_id, failure))
        video.truncation = failure
        frame_reached = min(failure.frame_reached, video.last_frame + 1)
        discovery = video.discovery
        if discovery and not (self._keep_partial and discovery.track.track.prompts[0].frame_index < frame_reached):
            self.give_up([discovery.track], failure)
        for track in [] if discovery else video.tracks:
            for leg in track.legs:
                if track.is_open and _needs(leg, frame_reached):
                    self._truncate_track(track, leg, failure, frame_reached)
        video.readable_frames = frame_reached
        self._update_tracks(video)

    def give_up(self, tracks: Iterable[TrackRecord], failure: Failure) -> None:
        """Fail the tracks; each is settled as soon as no running order includes it.

        A discovery fails with any of its tracks, and they with it.
        """
        tracks = list(tracks)
        for discovery in {track.video.discovery for track in tracks if track.video.discovery}:
            discovery.video.discovery, discovery.video.released_frames = None, None
            tracks += [track for track in discovery.video.tracks if track not in tracks]
        for track in tracks:
            if track.is_open:
                track.failure, track.is_cut_short = failure, False
                self.recount(track)
                self._settle_given_up(track)

    def invalidate(self, work: WorkInvalidated) -> None:
        """Have the driver delete saved work that nobody continues."""
        self._outcomes.append(work)

    def recount(self, track: TrackRecord) -> None:
        """Count the frames that a track has left, after more were released or fewer are needed."""
        for leg in track.legs:
            self._update_left(leg)

    def order_ended(self, tracks: Iterable[TrackRecord]) -> None:
        """Settle or publish tracks of an order that has ended, where that is due."""
        for track in tracks:
            if track.is_given_up:
                self._settle_given_up(track)
            else:
                self._publish_if_complete(track)

    def published(self, track: TrackRecord, num_rows: int) -> None:
        """The track's mask table, or its detections, are written."""
        if track.is_open:
            self._settle(track, "partial" if track.is_cut_short else "done", num_rows)

    # -- details

    def _truncate_track(self, track: TrackRecord, leg: LegRecord, failure: Failure, frame_reached: int) -> None:
        if self._keep_partial and not leg.leg.reverse and leg.leg.start_frame < frame_reached:
            track.failure, track.is_cut_short = failure, True
        else:
            self.give_up([track], failure)

    def _update_tracks(self, video: VideoRecord) -> None:
        """Recount a video's tracks after its length has become known or shorter."""
        for track in video.tracks:
            self.recount(track)
            self._publish_if_complete(track)

    def _settle_given_up(self, track: TrackRecord) -> None:
        if not track.is_settled and track.num_running == 0:
            self._settle(track, "failed", num_rows=0)

    def _publish_if_complete(self, track: TrackRecord) -> None:
        """Publish once all chunks are done. A truncation may end a leg while an order beyond it still runs."""
        if track.num_left or track.num_running or track.is_publishing or not track.legs:
            return
        if track.is_open and not track.is_held:
            track.is_publishing = True
            self.to_publish.append(track)

    def _update_left(self, leg: LegRecord) -> None:
        track, num_before = leg.track, len(leg.left)
        if track.is_open:
            leg.left = frames_left(leg.leg, leg.next_chunk, self._chunk_frames, track.video.num_frames)
        else:
            leg.left = range(0)
        num_more = len(leg.left) - num_before
        track.num_left += num_more
        self.track_frames_left += num_more

    def _settle(self, track: TrackRecord, status: TrackStatus, num_rows: int) -> None:
        track.is_settled = True
        if track.is_held:
            return
        self.num_open -= 1
        self._outcomes.append(
            TrackSettled(
                track=track.track,
                fingerprint=track.fingerprint,
                status=status,
                num_rows=num_rows,
                attempts=track.num_failed_orders + 1,
                seconds=track.seconds,
                failure=track.failure,
            )
        )


def _needs(leg: LegRecord, frame_index: int) -> bool:
    """Whether a leg covers this frame or a later one of the video."""
    if leg.leg.reverse:
        return leg.leg.start_frame >= frame_index
    end = last_frame(leg.leg, leg.track.video.num_frames)
    return end is not None and end >= frame_index
