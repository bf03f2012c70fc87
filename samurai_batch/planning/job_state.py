"""The tracks of a job and how each of them ends: followed to its last chunk, cut short, or given up."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from samurai_batch.planning.chunks import frames_left, last_frame, step
from samurai_batch.planning.orders import (
    DetectMember,
    Outcome,
    TrackSettled,
    TrackStatus,
    VideoCut,
    VideoLearned,
    WorkInvalidated,
)
from samurai_batch.planning.records import DetectRecord, LegRecord, ShardRecord, TrackRecord, VideoRecord
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
class KnownVideo:
    """What is known of a video before it is opened: an estimate of its length, or all from an earlier run.

    ``cut`` says where that run found it to be truncated; it is for those who go on with what that run has saved.
    """

    expected_frames: int
    facts: VideoFacts | None = None
    cut: Failure | None = None


class JobState:
    """Keeps the records of all pending tracks, and the outcomes the driver has not been told yet.

    ``track_frames_left`` sums the frames still to follow over all tracks; it is an estimate where videos are
    not opened yet.
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
        """What has been decided since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    # -- taking the job in

    def enter(
        self, shards: Iterable[Shard], pending: Iterable[PendingTrack], videos: Mapping[str, KnownVideo]
    ) -> list[VideoRecord]:
        """Make records of all pending tracks, in the shards they belong to.

        Returns the videos that have to be seen to: new ones, and those whose shards wait for nothing any more.
        """
        by_key = {entry.track.track_id: entry for entry in pending}
        tracks: dict[TrackId, TrackRecord] = {}
        due: dict[str, VideoRecord] = {}
        for shard in shards:
            legs = [leg for leg in shard.legs if leg.track.track_id in by_key]
            if legs:
                video_id = shard.video.video_id
                if video_id not in self.videos:
                    self.videos[video_id] = VideoRecord(shard.video, videos[video_id].expected_frames)
                video = self.videos[video_id]
                if not video.unopened:  # else it waits to be opened already
                    due[video_id] = video
                    video.readable_frames = None  # where it is cut, its new tracks have to be told
                self._enter_shard(video, legs, by_key, tracks)
        assert tracks.keys() == by_key.keys(), "every pending track is in a shard"
        self.num_open += len(tracks)
        return list(due.values())

    def enter_detections(self, looks: Iterable[Sequence[DetectMember]]) -> list[DetectRecord]:
        """Make records of tracks that are answered at once; a look knows no legs and opens its videos itself."""
        records = []
        for members in looks:
            videos = {one.track.video: VideoRecord(one.track.video, 1) for one in members}
            tracks = [TrackRecord(one.track, one.fingerprint, videos[one.track.video]) for one in members]
            records.append(DetectRecord(tracks))
            self.num_open += len(tracks)
        return records

    def _enter_shard(
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
            fingerprint = pending[key].fingerprint
            if key not in tracks:
                tracks[key] = TrackRecord(leg.track, fingerprint, video)
                video.tracks.append(tracks[key])
            records.append(LegRecord(tracks[key], replace(leg, fingerprint=fingerprint), chunk))
            tracks[key].legs.append(records[-1])
            self._count(records[-1])
        video.unopened.append(ShardRecord(video, records))

    # -- what happens to tracks

    def learn(self, video: VideoRecord, facts: VideoFacts) -> list[ShardRecord]:
        """Take in a video's length and size; tracks that do not fit it fail. Returns its shards, now ready."""
        video.facts = facts
        self._outcomes.append(VideoLearned(video.video.video_id, facts))
        for track in video.tracks:
            problem = validation_error(track.track, facts)
            if problem:
                self.give_up([track], Failure(FailureKind.PROMPT, problem))
        self._review(video)
        shards, video.unopened = video.unopened, []
        return shards

    def advance(self, legs: Iterable[LegRecord], chunk: int) -> None:
        """The legs have followed and saved ``chunk``; their tracks are still to be released."""
        for leg in legs:
            leg.next_chunk = chunk + step(leg.leg.reverse)
            self._count(leg)

    def rewind(self, track: TrackRecord, legs: Iterable[LegRecord]) -> None:
        """The saved work of these legs cannot be trusted: begin them again. The driver deletes it."""
        track.has_restarted, track.is_publishing = True, False
        for leg in legs:
            leg.rewind(self._chunk_frames)
            self._count(leg)
            self._outcomes.append(WorkInvalidated(track.fingerprint, leg.leg.reverse))

    def truncate(self, video: VideoRecord, failure: Failure) -> None:
        """The video cannot be read from ``failure.frame_reached`` on.

        Tracks that go on beyond it fail; if the job keeps partial tracks, those followed forward from a frame
        before it are cut short instead. So are legs that look done: what an earlier run has saved of their last
        chunk ends at the same frame.
        """
        assert failure.frame_reached is not None
        self._outcomes.append(VideoCut(video.video.video_id, failure))
        video.cut = failure
        frame_reached = min(failure.frame_reached, video.num_frames)
        for track in video.tracks:
            for leg in track.legs:
                if track.is_open and _needs(leg, frame_reached):
                    self._cut(track, leg, failure, frame_reached)
        video.readable_frames = frame_reached
        self._review(video)

    def give_up(self, tracks: Iterable[TrackRecord], failure: Failure) -> None:
        """The tracks fail; each is settled as soon as no order includes it."""
        for track in tracks:
            if track.is_open:
                track.failure, track.is_cut_short = failure, False
                for leg in track.legs:
                    self._count(leg)
                self._settle_given_up(track)

    def release(self, tracks: Iterable[TrackRecord]) -> None:
        """An order that included these tracks has ended: what is decided of them can now be carried out."""
        for track in tracks:
            if track.is_given_up:
                self._settle_given_up(track)
            else:
                self._publish_if_complete(track)

    def published(self, track: TrackRecord, num_rows: int) -> None:
        """The track's mask table, or what a look has found, is in place."""
        if track.is_open:
            self._settle(track, "partial" if track.is_cut_short else "done", num_rows)

    # -- bookkeeping

    def _cut(self, track: TrackRecord, leg: LegRecord, failure: Failure, frame_reached: int) -> None:
        if self._keep_partial and not leg.leg.reverse and leg.leg.start_frame < frame_reached:
            track.failure, track.is_cut_short = failure, True
        else:
            self.give_up([track], failure)

    def _review(self, video: VideoRecord) -> None:
        """Go over a video's tracks when more is known of its length."""
        for track in video.tracks:
            for leg in track.legs:
                self._count(leg)
            self._publish_if_complete(track)

    def _settle_given_up(self, track: TrackRecord) -> None:
        if not track.is_settled and track.num_running == 0:
            self._settle(track, "failed", num_rows=0)

    def _publish_if_complete(self, track: TrackRecord) -> None:
        """Publish once all is done. A truncation may end a leg while a replica is still at work beyond it."""
        if track.num_left or track.num_running or track.is_publishing or not track.legs:
            return
        if track.is_open:
            track.is_publishing = True
            self.to_publish.append(track)

    def _count(self, leg: LegRecord) -> None:
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
    """Whether a leg follows its object on this frame or on later ones of the video."""
    if leg.leg.reverse:
        return leg.leg.start_frame >= frame_index
    end = last_frame(leg.leg, leg.track.video.num_frames)
    return end is not None and end >= frame_index
