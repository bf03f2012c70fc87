"""``python -m tests.runtime.scale 100000`` measures a run that finds so many tracks done already.

The output of the finished run is kept in a dictionary, so only the driver's own time is measured.
"""

import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from samurai_batch.ledger.lease import Clock, SystemClock
from samurai_batch.ledger.schema import TrackEntry, VideoLedger
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import video_ledger_uri
from samurai_batch.masks import mask_table_uri
from samurai_batch.planning.fingerprints import VideoIdentity, fingerprint
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.runtime.driver import Environment, RunDescription, drive
from samurai_batch.runtime.pool import Pool
from samurai_batch.storage import Identity
from samurai_batch.tasks import Track, Video
from tests.runtime.fakes import RECIPE, NoProgress, box_track, driver_settings

OUTPUT = "memory://out"
TRACKS_PER_VIDEO = 10
RUN_ID = "20260101T000000.000Z-00000000"


@dataclass
class FinishedStore:
    """Objects by folder and name; ``requests`` counts calls by kind."""

    folders: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def read_bytes(self, uri: str) -> bytes:
        self.requests["read"] += 1
        folder, _, name = uri.rpartition("/")
        try:
            return self.folders[folder][name]
        except KeyError as error:
            raise FileNotFoundError(uri) from error

    def write_bytes(self, uri: str, data: bytes) -> None:
        self.requests["write"] += 1
        folder, _, name = uri.rpartition("/")
        self.folders.setdefault(folder, {})[name] = data

    def create_bytes(self, uri: str, data: bytes) -> bool:
        self.write_bytes(uri, data)
        return True

    def list_names(self, uri: str) -> list[str]:
        self.requests["list"] += 1
        return sorted(self.folders.get(uri, {}))

    def delete(self, uri: str) -> None:
        self.requests["delete"] += 1

    def identity(self, uri: str) -> Identity:
        self.requests["identity"] += 1
        return Identity(1000, "v1")


def tracks_of(num_tracks: int) -> Iterator[Track]:
    for number in range(num_tracks):
        video = Video(f"v{number // TRACKS_PER_VIDEO}", f"memory://videos/v{number // TRACKS_PER_VIDEO}.mp4")
        yield box_track(video, str(number), number % 7)


def finished_store(num_tracks: int) -> FinishedStore:
    store, ledgers = FinishedStore(), TypeAdapter(VideoLedger)
    by_video: dict[Video, dict[str, TrackEntry]] = {}
    for track in tracks_of(num_tracks):
        identity = VideoIdentity(track.video.uri, 1000, "v1")
        entry: dict[str, Any] = {"status": "done", "rows": 100, "seconds": 1.0, "attempts": 1, "run_id": RUN_ID}
        name = fingerprint(track, identity, RECIPE)
        by_video.setdefault(track.video, {})[track.object_id] = TrackEntry(
            fingerprint=name, weights_digest=RECIPE.weights_digest, **entry
        )
        store.write_bytes(mask_table_uri(OUTPUT, track.video.video_id, track.object_id), b"")
    for video, entries in by_video.items():
        ledger = VideoLedger(
            video_id=video.video_id,
            video_uri=video.uri,
            identity=VideoIdentity(video.uri, 1000, "v1"),
            facts=VideoFacts(100, 48, 64),
            tracks=entries,
        )
        store.write_bytes(video_ledger_uri(OUTPUT, video.video_id), ledgers.dump_json(ledger))
    store.requests.clear()
    return store


def run_again(tracks: list[Track], store: FinishedStore, clock: Clock | None = None) -> RunSummary:
    """Run the finished job again. ``clock`` decides when heartbeats are due."""

    def no_pool() -> Pool:
        raise AssertionError("all is done already")

    environment = Environment(
        store=store, clock=clock or SystemClock(), progress=NoProgress(), make_pool=no_pool, should_stop=lambda: False
    )
    return drive(tracks, RECIPE, driver_settings(OUTPUT, num_transfers=1), RunDescription("again", {}, {}), environment)


def main(num_tracks: int) -> None:
    store, tracks = finished_store(num_tracks), list(tracks_of(num_tracks))
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    summary = run_again(tracks, store)
    seconds, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    assert summary.totals.tracks_skipped == num_tracks
    tracemalloc.start()
    run_again(tracks, store)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    sys.stdout.write(
        f"{num_tracks} tracks: {seconds:.1f} s ({cpu_s:.1f} s of one core), "
        f"{peak_bytes / num_tracks:.0f} bytes a track at most, requests {dict(store.requests)} in two runs\n"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
