"""Small random jobs, and the expected result of each track."""

import json
import random
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import pyarrow as pa

from samurai_batch.errors import PromptError
from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.job.discovery import DiscoverySettings
from samurai_batch.ledger.lease import Holder
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.manifest.detections import VideoDetections
from samurai_batch.planning.retry import RetryLimits
from samurai_batch.planning.validation import validation_error
from samurai_batch.prompts import BoxPrompt, DiscoverPrompt, EverythingPrompt, FrameDetection, FromVideoPrompt, Rle
from samurai_batch.runtime.detection import read_detections
from samurai_batch.runtime.driver import Environment, RunDescription, drive
from samurai_batch.runtime.frame_facts import sampled_frames
from samurai_batch.runtime.replica import Replica
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.tasks import Direction, Track, Video
from samurai_batch.video import VideoSource
from tests.runtime.discovery_world import World, draw_world
from tests.runtime.fakes import (
    RECIPE,
    Content,
    FakeSource,
    FakeTracker,
    InlinePool,
    NoProgress,
    video_opener,
)
from tests.simulation.stores import MemoryStore
from tests.simulation.timeline import Timeline

FOLDER = "sim://videos"
HEIGHT, WIDTH = 48, 64
RULES = DiscoverySettings(every=2, hold_back=6, max_unmatched=3, max_shared=3, end_after=6, reprompt_every=4)
"""Short enough that tracks of short videos are confirmed, dropped, prompted anew and ended."""
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


@dataclass(frozen=True)
class Ending:
    """Status of a track if only its input can fail, and the table that is published then."""

    status: Literal["done", "partial", "failed"]
    table: pa.Table | None


@dataclass(frozen=True)
class SimulatedJob:
    tracks: list[Track]
    contents: dict[str, Content]  # by video id; videos that do not exist are not in it
    chunk_frames: int
    max_tracks_per_shard: int
    keep_partial: bool
    most_legs_in_memory: int
    chunks_per_replica: int | None = None
    found: dict[tuple[str, str], tuple[Track, ...]] = field(default_factory=dict)  # by the track with the auto prompt
    endings: dict[tuple[str, str], Ending] = field(default_factory=dict)
    worlds: dict[str, World] = field(default_factory=dict)  # of videos that are discovered
    detections: dict[str, VideoDetections] = field(default_factory=dict)
    memories_at_end: dict[tuple[str, str], bytes] = field(default_factory=dict)  # of tracks that do not fail

    def mask_of(self, track: Track, frame_index: int) -> Rle | None:
        """The mask of a track that a discovery has started; other tracks have none."""
        return self.worlds[track.video.video_id].mask_of(track, frame_index) if track.origin else None

    def put_videos(self, store: MemoryStore) -> None:
        for video_id, content in self.contents.items():
            store.write_bytes(f"{FOLDER}/{video_id}", json.dumps(vars(content)).encode())


def draw_job(
    chance: random.Random, auto_prompts: float = 0.0, discoveries: float = 0.0, carried: float = 0.0
) -> SimulatedJob:
    """One to three videos, up to four tracks each; some videos are broken, missing or truncated, some prompts invalid.

    With probability ``auto_prompts``, a track has an auto prompt with up to two detections, and with probability
    ``discoveries`` a video has a discover prompt instead of tracks. With probability ``carried``, a track begins with
    the memories of one of an earlier video, which may be detected, or fail to be.
    """
    frame_step = random.Random(str(chance.getstate())).choice([1, 1, 2, 3])  # leaves the other draws as they are
    job = SimulatedJob(
        tracks=[],
        contents={},
        chunk_frames=chance.choice([3, 5, 8]) * frame_step,
        max_tracks_per_shard=chance.choice([1, 2, 4]),
        keep_partial=chance.random() < 0.5,
        most_legs_in_memory=chance.choice([1, 2, 8, 8]),
        chunks_per_replica=chance.choice([None, None, 1, 3]),
    )
    for number in range(chance.randint(1, 3)):
        video = Video(f"v{number}", f"{FOLDER}/v{number}")
        num_frames = chance.randint(1, 24)
        is_truncated = chance.random() < 0.25
        content = Content(
            num_frames=num_frames,
            height=HEIGHT,
            width=WIDTH,
            missing_from=chance.randint(1, num_frames) if is_truncated else num_frames,
            broken=chance.random() < 0.05,
        )
        if chance.random() < 0.95:
            job.contents[video.video_id] = content
        if discoveries and chance.random() < discoveries:
            _add_discovery(chance, video, content, job)
            continue
        for object_number in range(chance.randint(1, 4)):
            track = _draw_track(chance, video, f"o{object_number}", num_frames)
            track = replace(track, sampling=FrameSampling(every=frame_step))
            if carried and number and chance.random() < carried:
                track = _carried_over(chance, track, job)
            elif auto_prompts and chance.random() < auto_prompts:
                track = replace(track, prompts=(EverythingPrompt(track.prompts[0].frame_index),))
                job.found[video.video_id, track.object_id] = track.tracks_of_detections(detections_of(track))
            job.tracks.append(track)
            for one in (track, *job.found.get((video.video_id, track.object_id), ())):
                job.endings[video.video_id, one.object_id] = _ending(one, job)
    if carried:
        chance.shuffle(job.tracks)  # sources may come after what begins with them
    return job


def _carried_over(chance: random.Random, track: Track, job: SimulatedJob) -> Track:
    """The track with the memories of another video in place of its prompt."""
    before = [one for one in job.tracks if one.video != track.video]
    prompting = [one.track_id for one in before if one.auto_prompt]
    others = [one.track_id for one in before if not one.auto_prompt] + [(one[0], f"{one[1]}#1") for one in prompting]
    if not others:
        return track
    video_id, object_id = chance.choice(others)
    return replace(track, prompts=(FromVideoPrompt(track.prompts[0].frame_index, video_id, object_id),))


def _add_discovery(chance: random.Random, video: Video, content: Content, job: SimulatedJob) -> None:
    """A discover prompt; its tracks are those of a run of one replica to which nothing happens."""
    prompted = chance.choice([0, 0, chance.randint(0, content.num_frames)])
    digest = chance.choice(["", "a table"])  # without, replicas detect
    track = Track(video=video, object_id="d", prompts=(DiscoverPrompt(prompted, (), digest),))
    world = job.worlds[video.video_id] = draw_world(chance, content.num_frames)
    job.detections.update(world.detections(video.video_id, content.num_frames, chance, 0.3))
    job.tracks.append(track)
    store = MemoryStore()
    job.put_videos(store)
    entry, found = _undisturbed(track, job, store)
    job.found[video.video_id, "d"] = found
    job.endings[video.video_id, "d"] = Ending(entry.status, None)
    for one in found:
        job.endings[video.video_id, one.object_id] = _ending(one, job)


def _undisturbed(track: Track, job: SimulatedJob, store: MemoryStore) -> tuple[TrackEntry, tuple[Track, ...]]:
    output = "sim://undisturbed"
    replica = Replica(
        propagate=FakeTracker(mask_of=job.mask_of).propagate,
        rules=RULES,
        detect_window=partial(detect_window, job),
        open_video=video_opener(store.read_bytes),
        store=store,
        output=output,
        metadata={},
        num_transfers=1,
    )
    settings = DriverSettings(
        output=output,
        detections=job.detections,
        chunk_frames=job.chunk_frames,
        max_tracks_per_shard=job.max_tracks_per_shard,
        keep_partial=job.keep_partial,
        limits=RetryLimits(),
        num_transfers=1,
    )
    environment = Environment(
        store=store,
        clock=Timeline(),
        progress=NoProgress(),
        make_pool=lambda: InlinePool(replica),
        should_stop=lambda: False,
        holder=Holder("a machine of the simulation", 1, "undisturbed"),
    )
    drive([track], RECIPE, settings, RunDescription("undisturbed", {}, {}), environment)
    ledger = read_video_ledger(store, output, track.video.video_id)
    assert ledger is not None
    entry = ledger.tracks[track.object_id]
    if entry.status != "done":
        return entry, ()
    assert entry.fingerprint is not None
    return entry, read_detections(store, output, track, entry.fingerprint)


def detect_window(job: SimulatedJob, source: VideoSource, track: Track) -> list[FrameDetection]:
    """As `runtime.window_detections.detect_window`, without a network."""
    prompt = track.prompts[0]
    assert isinstance(prompt, DiscoverPrompt)
    assert prompt.window is not None
    low, high = prompt.window
    return [
        one
        for index in sampled_frames(prompt, range(low, high + 1), RULES.every)
        for one in job.detections[track.video.video_id].on(range(index, index + 1))
    ]


def detections_of(track: Track) -> list[BoxPrompt]:
    """The detections of an auto prompt: no, one or two boxes, depending on its frame."""
    prompted = track.prompts[0].frame_index
    return [
        BoxPrompt(prompted, (10.0 + left, 10.0, 30.0, 30.0)) for left in range((len(track.object_id) + prompted) % 3)
    ]


def look_up(source: VideoSource, track: Track) -> list[BoxPrompt]:
    """As `runtime.detection.detect`, without a network."""
    prompted = track.prompts[0].frame_index
    if problem := validation_error(track, source.info):
        raise PromptError(problem)
    (_,) = source.frames(range(prompted, prompted + 1))
    return detections_of(track)


def _draw_track(chance: random.Random, video: Video, object_id: str, num_frames: int) -> Track:
    is_invalid = chance.random() < 0.03
    prompted = num_frames + 1 if is_invalid else chance.randrange(num_frames)
    return Track(
        video=video,
        object_id=object_id,
        prompts=(BoxPrompt(prompted, (10.0, 10.0, 30.0, 30.0)),),
        direction=chance.choice(DIRECTIONS),
        start_frame=chance.choice([None, chance.randint(0, prompted)]),
        end_frame=None if is_invalid else chance.choice([None, chance.randint(prompted, num_frames - 1)]),
    )


def _ending(track: Track, job: SimulatedJob) -> Ending:
    """The expected result, computed frame by frame without chunks, orders or replicas."""
    content = job.contents.get(track.video.video_id)
    prompted = track.prompts[0].frame_index
    if content is None or content.broken or prompted >= content.num_frames:
        return Ending("failed", None)
    if track.carried_from and job.memories_at_end.get(track.carried_from.track_id) is None:
        return Ending("failed", None)
    if track.auto_prompt is not None:
        return Ending("done" if prompted < content.num_readable else "failed", None)
    needed = [[index for index in range(content.num_frames) if leg.covers(index)] for leg in track.legs]
    if max(map(max, needed)) < content.num_readable:
        return Ending("done", _rows_of(track, content, content.num_frames, job))
    is_kept = job.keep_partial and prompted < content.num_readable
    return Ending("partial", _rows_of(track, content, content.num_readable, job)) if is_kept else Ending("failed", None)


def _rows_of(track: Track, content: Content, end: int, job: SimulatedJob) -> pa.Table:
    """The rows of a track propagated in one call up to frame ``end``."""
    source = FakeSource(content, track.video.uri)
    tables = []
    for leg in track.legs:
        frames = [index for index in range(end) if leg.covers(index)]
        walked = range(frames[0], frames[-1] + 1)
        before = {track.object_id: job.memories_at_end[track.carried_from.track_id]} if track.carried_from else {}
        result = FakeTracker(mask_of=job.mask_of).propagate(
            source,  # type: ignore[arg-type]
            [leg],
            walked[::-1] if leg.reverse else walked,
            before,
        )
        if leg == track.legs[0]:
            job.memories_at_end[track.track_id] = result.states[track.object_id]
        tables.append(result.tables[track.object_id])
    return pa.concat_tables(tables).sort_by("frame_index").combine_chunks()
