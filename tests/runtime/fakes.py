"""Fake videos and a fake tracker whose rows depend on every earlier frame, prompt and state.

A fake video is a JSON file {"num_frames", "height", "width"} and, optionally, "missing_from" (truncated there) or
"broken" (not a video). Of several files, only the last one may be truncated. The fake tracker's state is a hash over
all it has seen, so that any frame propagated twice, skipped, or propagated from a wrong state changes every row after.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from samurai_batch import storage
from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.job.discovery import DiscoverySettings
from samurai_batch.ledger.lease import SystemClock
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import Store
from samurai_batch.masks import MaskRow, read_masks, rows_to_table
from samurai_batch.pipeline import ChunkResult
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.planning.orders import Order
from samurai_batch.planning.retry import RetryLimits
from samurai_batch.prompts import BoxPrompt, Rle
from samurai_batch.runtime.driver import Environment, RunDescription, drive
from samurai_batch.runtime.pool import Answered, LocalPool, Pool, PoolEvent, ReplicaReady, Worker
from samurai_batch.runtime.progress import RunProgress
from samurai_batch.runtime.replica import MeasureCuts, OpenVideo, Replica
from samurai_batch.runtime.run import new_run_id
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Direction, Leg, Track, Video
from samurai_batch.video import VideoSource

RECIPE = Recipe(
    model="fake",
    weights_digest="d0",
    image_size=64,
    dtype="float64",
    settings={"mode": "samurai"},
    tracker_version=1,
    discovery={"every": 10, "chunk_frames": 10},
)


@dataclass(frozen=True)
class FakeInfo:
    num_frames: int
    height: int
    width: int


@dataclass(frozen=True)
class FakeFrame:
    index: int
    timestamp_s: float


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a fake video; ``missing_from`` is the first frame that cannot be read."""

    num_frames: int
    height: int
    width: int
    missing_from: int | None = None
    broken: bool = False

    @property
    def num_readable(self) -> int:
        return self.num_frames if self.missing_from is None else self.missing_from


class FakeSource:
    def __init__(self, content: Content, uri: str) -> None:
        if content.broken:
            raise VideoError(f"{uri} is not a video")
        self.info = FakeInfo(content.num_frames, content.height, content.width)
        self._missing_from = content.num_readable

    def timestamp_s(self, frame_index: int) -> float:
        return frame_index / 25

    def frames(self, indices: range) -> Iterator[FakeFrame]:
        for index in indices:
            if index >= self._missing_from:
                raise TruncatedVideoError(f"the video ends at frame {self._missing_from}", self._missing_from)
            yield FakeFrame(index, self.timestamp_s(index))

    def close(self) -> None:
        pass


def _joined(files: Sequence[Content]) -> Content:
    """The content of several files as one video."""
    *before, last = files
    start = sum(one.num_frames for one in before)
    missing_from = None if last.missing_from is None else start + last.missing_from
    return replace(last, num_frames=start + last.num_frames, missing_from=missing_from)


def video_opener(read: Callable[[str], bytes]) -> OpenVideo:
    def open_video(uri: str) -> FakeSource:
        try:
            return FakeSource(_joined([Content(**json.loads(read(one))) for one in uri.split("\n")]), uri)
        except FileNotFoundError as error:
            raise VideoError(f"{uri} does not exist") from error

    return cast(OpenVideo, open_video)


@dataclass
class FakeTracker:
    """Propagates like a tracker; ``before_frame`` may raise an error or kill the process.

    With ``batch_matters``, a track's rows depend on the other tracks of the call, as the last bits do in float32.
    """

    batch_matters: bool = False
    before_frame: Callable[[int, Sequence[Leg]], None] = lambda index, legs: None
    mask_of: Callable[[Track, int], Rle | None] = lambda track, index: None
    calls: list[tuple[str, bool, range, tuple[str, ...]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def propagate(
        self,
        source: VideoSource,
        legs: Sequence[Leg],
        frames: range,
        before: Mapping[str, bytes],
        *,
        check: Callable[[], None] = lambda: None,
    ) -> ChunkResult:
        names = tuple(leg.track.object_id for leg in legs)
        with self.lock:
            self.calls.append((legs[0].track.video.video_id, legs[0].reverse, frames, names))
        states = {leg.track.object_id: _state_before(leg, before.get(leg.track.object_id), frames) for leg in legs}
        rows: dict[str, list[MaskRow]] = {leg.track.object_id: [] for leg in legs}
        num_track_frames = 0
        for frame in source.frames(frames):
            check()
            self.before_frame(frame.index, legs)
            for leg in legs:
                if leg.covers(frame.index):
                    object_id = leg.track.object_id
                    seen = f"{frame.index} {names if self.batch_matters else ''}"
                    seen += "".join(repr(one) for one in leg.track.prompts[1:] if one.frame_index == frame.index)
                    states[object_id] = hashlib.sha256(states[object_id] + seen.encode()).digest()
                    num_track_frames += 1
                    if leg.writes(frame.index):
                        rows[object_id].append(self._row(leg.track, frame.index, source, states[object_id]))
        tables = {object_id: rows_to_table(found) for object_id, found in rows.items()}
        return ChunkResult(
            tables=tables,
            states=states,
            stats=WorkStats(
                frames_encoded=len(frames),
                track_frames=num_track_frames,
                stage_s={"decode": 0.001, "encode": 0.002, "propagate": 0.001, "write": 0.001},
            ),
        )

    def _row(self, track: Track, frame_index: int, source: VideoSource, state: bytes) -> MaskRow:
        return MaskRow(
            video_id=track.video.video_id,
            object_id=track.object_id,
            frame_index=frame_index,
            timestamp_s=source.timestamp_s(frame_index),
            height=source.info.height,
            width=source.info.width,
            segmentation=self.mask_of(track, frame_index),
            mask_score=int.from_bytes(state[:3], "big") / 2**24,
            object_score=int.from_bytes(state[3:6], "big") / 2**24,
            motion_score=None,
            mask_index=state[6] % 3,
            prompted=track.is_prompted_on(frame_index),
        )


def _state_before(leg: Leg, saved: bytes | None, frames: range) -> bytes:
    """The state before a chunk; a track may begin with the memories of another one, which are the state at its end."""
    if leg.track.carried_from is None or leg.start_frame not in frames:
        return saved or _first_state(leg)
    assert saved is not None, "it begins with memories"
    prompts = tuple(replace(one, source="") if one == leg.track.carried_from else one for one in leg.track.prompts)
    return hashlib.sha256(saved + _first_state(replace(leg, track=replace(leg.track, prompts=prompts)))).digest()


def _first_state(leg: Leg) -> bytes:
    first = leg.track.prompts if not leg.track.origin else leg.track.prompts[0]  # more may follow, and an end
    leg = replace(leg, fingerprint="", end_frame=None) if leg.track.origin else replace(leg, fingerprint="")
    return hashlib.sha256(repr((first, leg)).encode()).digest()


def write_video(folder: Path, video_id: str, num_frames: int, **more: object) -> Video:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{video_id}.json"
    path.write_text(json.dumps({"num_frames": num_frames, "height": 48, "width": 64, **more}))
    return Video(video_id, str(path))


def box_track(video: Video, object_id: str, frame: int = 0, direction: Direction = "forward", **more: Any) -> Track:
    prompt = BoxPrompt(frame, (10.0, 10.0, 30.0, 30.0))
    return Track(video=video, object_id=object_id, prompts=(prompt,), direction=direction, **more)


class NoProgress:
    def __init__(self) -> None:
        self.snapshots: list[RunProgress] = []

    def show(self, snapshot: RunProgress) -> None:
        self.snapshots.append(snapshot)

    def __enter__(self) -> "NoProgress":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def find_two(source: object, track: Track) -> list[BoxPrompt]:
    """Detect two boxes for every auto prompt."""
    assert track.auto_prompt is not None
    return [BoxPrompt(track.auto_prompt.frame_index, (10.0 + left, 10.0, 30.0, 30.0)) for left in range(2)]


def make_replica(
    output: str, tracker: FakeTracker, store: Store = storage, measure_cuts: MeasureCuts | None = None
) -> Replica:
    return Replica(
        measure_cuts=measure_cuts,
        rules=DiscoverySettings(),
        propagate=tracker.propagate,
        detect=find_two,
        open_video=video_opener(store.read_bytes),
        store=store,
        output=output,
        metadata={"run_id": "test"},
        num_transfers=1,
    )


def driver_settings(output: str, **changes: Any) -> DriverSettings:
    defaults: dict[str, Any] = {
        "output": output,
        "chunk_frames": 10,
        "max_tracks_per_shard": 4,
        "keep_partial": False,
        "limits": RetryLimits(),
        "num_transfers": 2,
        "tick_s": 0.05,
        "heartbeat_s": 0.2,
    }
    return DriverSettings(**defaults | changes)


def run_tracks(
    tracks: Sequence[Track],
    output: Path,
    tracker: FakeTracker | None = None,
    *,
    make_pool: Callable[[], Pool] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    recipe: Recipe = RECIPE,
    store: Store = storage,
    num_replicas: int = 1,
    measure_cuts: MeasureCuts | None = None,
    **changes: Any,
) -> RunSummary:
    """Run tracks with a local pool of fake replicas."""
    tracker = tracker or FakeTracker()

    def local_pool() -> Pool:
        def build(payload: FakeTracker) -> Worker:
            return make_replica(str(output), payload, measure_cuts=measure_cuts)

        return LocalPool(build, tracker, num_replicas)

    environment = Environment(
        store=store,
        clock=SystemClock(),
        progress=NoProgress(),
        make_pool=make_pool or local_pool,
        should_stop=should_stop,
    )
    run = RunDescription(run_id=new_run_id(environment.clock), config={}, versions={})
    return drive(tracks, recipe, driver_settings(str(output), **changes), run, environment)


class InlinePool:
    """One replica that works in the driver's thread, which makes runs reproducible."""

    def __init__(self, replica: Worker) -> None:
        self._replica = replica
        self._events: list[PoolEvent] = [ReplicaReady("inline")]

    def submit(self, replica_id: str, order: Order) -> None:
        self._events.append(Answered(replica_id, self._replica.run(order)))

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        events, self._events = self._events, []
        return events

    def replace(self, replica_id: str) -> None:
        self._events.append(ReplicaReady(f"{replica_id}+"))

    def close(self) -> None:
        pass


def rows_of(output: Path) -> pd.DataFrame:
    """All rows of an output, by video, object and frame."""
    return read_masks(str(output)).sort_values(["video_id", "object_id", "frame_index"], ignore_index=True)
