"""Discoveries of a job: their windows, their tracks, and when a window can be decided.

The tracks of a discovery are held: they are propagated up to the end of the present window and no further, and nothing
of them is published. Once all have saved the window's chunk, a replica decides on it (`discovery.decide`). After the
last window the prompt is done; the driver then enters its tracks as those of any other prompt's detections, with all
their chunks saved.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from samurai_batch.planning.backlog import Backlog
from samurai_batch.planning.chunks import chunk_of
from samurai_batch.planning.discovery import Decision, Start
from samurai_batch.planning.job_state import JobState, KnownVideo, PendingDiscovery
from samurai_batch.planning.orders import Discovered, WorkInvalidated
from samurai_batch.planning.records import DetectRecord, DiscoveryRecord, ShardRecord, TrackRecord, Tries, VideoRecord
from samurai_batch.planning.resume import NOTHING_SAVED, SavedWork, aligned
from samurai_batch.planning.shards import make_shards
from samurai_batch.prompts import DiscoverPrompt


class Discoveries:
    """Moves the discoveries of a job on; a part of the scheduler."""

    def __init__(self, job: JobState, backlog: Backlog, chunk_frames: int, max_tracks_per_shard: int) -> None:
        self._job = job
        self._backlog = backlog
        self._chunk_frames = chunk_frames
        self._max_tracks_per_shard = max_tracks_per_shard

    def add(self, discoveries: Iterable[PendingDiscovery], videos: Mapping[str, KnownVideo]) -> None:
        """Add discoveries, new ones or those that an earlier run has left in the middle."""
        for pending in discoveries:
            known = videos[pending.track.video.video_id]
            video = VideoRecord(pending.track.video, known.expected_frames)
            self._job.add_discovery(video, pending)
            if known.facts is None:
                self._backlog.add(video)
                continue
            self._job.set_facts(video, known.facts)
            if known.truncation is not None:
                self._job.truncate(video, known.truncation)
            self.begin(video)

    def begin(self, video: VideoRecord) -> None:
        """The video is open: have it detected if that is due, and begin with the first window that is not decided."""
        record = video.discovery
        if record is None:
            return
        if record.detections_key:
            self._detect(record)
        if not record.detecting:
            self._begin_window(record)

    def proceed(self, video: VideoRecord) -> None:
        """Have the present window decided if all tracks have saved it."""
        record = video.discovery
        if record is None or video.facts is None or record.is_deciding or not record.track.is_open:
            return
        if record.detecting:
            if all(track.is_settled for track in record.detecting):
                self._job.release_held(video, record.detecting)
                record.detecting = []
                self._begin_window(record)
            return
        if not any(track.num_left or track.num_running for track in record.known.values()):
            record.is_deciding = True
            self._backlog.add(record)

    def decided(self, record: DiscoveryRecord, report: Discovered) -> None:
        """Apply what a replica has decided."""
        record.tries, record.is_deciding = Tries(), False
        if not record.track.is_open:
            return
        decision = report.decision
        if decision.missing:
            self._propagate([self._start(record, one) for one in decision.missing])
            return
        self._apply(record, decision)
        if record.window >= self._last_window(record):
            self._finish(record)
        else:
            record.window += 1
            self._begin_window(record)

    def restart(self, record: DiscoveryRecord) -> None:
        """Propagate the tracks that go on from their beginnings, as rows of theirs are damaged."""
        record.track.has_restarted, record.is_deciding, record.tries = True, False, Tries()
        for track in record.known.values():
            self._job.rewind(track, track.legs)
        self._begin_window(record)

    def _detect(self, record: DiscoveryRecord) -> None:
        """Queue a DetectOrder for each window without detections; its track has the window's part of the prompt."""
        whole, chunk_frames = record.track.track, self._chunk_frames
        prompt = whole.prompts[0]
        assert isinstance(prompt, DiscoverPrompt)
        first = chunk_of(prompt.frame_index, chunk_frames)
        for window in range(first, self._last_window(record) + 1):
            if window in record.detected:
                continue
            low, high = max(window * chunk_frames, prompt.frame_index), (window + 1) * chunk_frames - 1
            end = min(high, record.video.last_frame if whole.end_frame is None else whole.end_frame)
            # The prompt stays where it is: it says which frames are sampled.
            part = replace(whole, start_frame=None, end_frame=None, prompts=(replace(prompt, window=(low, end)),))
            one = TrackRecord(part, f"{record.detections_key}/{window}", record.video, is_held=True)
            record.detecting.append(one)
            record.video.tracks.append(one)
            self._backlog.add(DetectRecord([one]))

    # -- windows

    def _begin_window(self, record: DiscoveryRecord) -> None:
        record.video.released_frames = (record.window + 1) * self._chunk_frames
        for track in record.known.values():
            self._job.recount(track)
        self._propagate(list(record.known.values()), record.saved)
        record.saved = {}
        self.proceed(record.video)

    def _last_window(self, record: DiscoveryRecord) -> int:
        last, end = record.video.last_frame, record.track.track.end_frame
        return chunk_of(last if end is None else min(end, last), self._chunk_frames)

    def _finish(self, record: DiscoveryRecord) -> None:
        video = record.video
        video.discovery, video.released_frames = None, None
        self._job.release_held(video, record.known.values())
        self._job.published(record.track, num_rows=0)

    # -- tracks

    def _start(self, record: DiscoveryRecord, start: Start) -> TrackRecord:
        whole = record.track
        track = replace(whole.track, object_id=start.object_id, prompts=(start.prompt,), origin=whole.fingerprint)
        return self._job.add_held(record, track)

    def _propagate(self, tracks: list[TrackRecord], saved: Mapping[str, SavedWork] | None = None) -> None:
        """Queue the tracks in shards: as few as the limit allows, and of even size."""
        saved = saved or {}
        by_id = {track.track.object_id: track for track in tracks}
        for shard in make_shards([track.track for track in tracks], self._max_tracks_per_shard):
            records = [by_id[leg.track.object_id].legs[0] for leg in shard.legs]
            if saved:
                legs = [(one.leg, saved.get(one.leg.track.object_id, NOTHING_SAVED)) for one in records]
                for one, chunk in zip(records, aligned(legs, self._chunk_frames), strict=True):
                    one.next_chunk = chunk
                    self._job.recount(one.track)
            self._backlog.add(ShardRecord(records[0].track.video, records))

    def _apply(self, record: DiscoveryRecord, decision: Decision) -> None:
        """Let tracks go that have ended or were dropped, and give others their new prompts."""
        names = {one.object_id for one in decision.state}
        gone = {name: track for name, track in record.known.items() if name not in names}
        record.known = {one.object_id: record.known[one.object_id] for one in decision.state}
        self._job.release_held(record.video, gone.values())
        for name, track in gone.items():
            if name not in decision.ended:
                self._job.invalidate(WorkInvalidated(track.fingerprint, reverse=False))
        for name, prompt in decision.prompted.items():
            track = record.known[name]
            track.track = replace(track.track, prompts=(*track.track.prompts, prompt))
            for leg in track.legs:
                leg.leg = replace(leg.leg, track=track.track)
