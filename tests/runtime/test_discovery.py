"""Discover prompts in jobs: objects that come later are tracked, with the same ids and rows whatever happens."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.manifest import read_detections
from samurai_batch.masks import read_masks
from samurai_batch.planning.fingerprints import fingerprint_of_found
from samurai_batch.prompts import DiscoverPrompt, FrameDetection
from samurai_batch.runtime.frame_facts import sampled_frames
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.replica import Replica
from samurai_batch.tasks import Track, Video
from tests.runtime.crashes import Crash, CrashingStore
from tests.runtime.discovery_world import WORLD, Thing, World, draw_world
from tests.runtime.fakes import FakeTracker, InlinePool, make_replica, run_tracks, write_video

NUM_FRAMES = 60


def discovery(folder: Path, *classes: str, num_frames: int = NUM_FRAMES, **content: Any) -> Track:
    video = write_video(folder / "videos", "v", num_frames, **content)
    return Track(video=video, object_id="d", prompts=(DiscoverPrompt(0, classes, "a table"),))


def run(track: Track, output: Path, world: World = WORLD, *, noise: float = 0.0, **changes: Any) -> Any:
    detections = world.detections("v", NUM_FRAMES, random.Random(3), noise)
    return run_tracks([track], output, FakeTracker(mask_of=world.mask_of), detections=detections, **changes)


def rows_of(output: Path) -> pd.DataFrame:
    return read_masks(str(output)).sort_values(["object_id", "frame_index"]).reset_index(drop=True)


def test_objects_that_come_later_become_tracks_with_rows_from_where_they_appear(tmp_path: Path) -> None:
    summary = run(discovery(tmp_path), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    first = rows.groupby("object_id")["frame_index"].min().to_dict()
    assert first == {"d#car-0-0": 0, "d#car-0-1": 0, "d#person-30-0": 30}
    assert rows.groupby("object_id")["frame_index"].max().eq(NUM_FRAMES - 1).all()
    assert (summary.totals.tracks, summary.totals.tracks_done) == (4, 4)


def test_every_second_frame_may_be_tracked(tmp_path: Path) -> None:
    track = replace(discovery(tmp_path), sampling=FrameSampling(every=2))
    run(track, tmp_path / "out")
    frames = rows_of(tmp_path / "out").groupby("object_id")["frame_index"].agg(list).to_dict()
    whole = list(range(0, NUM_FRAMES, 2))
    assert frames == {"d#car-0-0": whole, "d#car-0-1": whole, "d#person-30-0": whole[15:]}


def test_what_replicas_detect_is_kept_as_a_table_and_never_detected_twice(tmp_path: Path) -> None:
    frames: list[int] = []
    given = discovery(tmp_path)
    track = replace(given, prompts=(DiscoverPrompt(0),))
    seen = WORLD.detections("v", NUM_FRAMES, random.Random(3), 0.0)["v"]
    run(given, tmp_path / "expected")

    def replica_of(output: Path, broken_from: int) -> Replica:
        def detect_window(source: object, part: Track) -> list[FrameDetection]:
            prompt = part.prompts[0]
            assert isinstance(prompt, DiscoverPrompt)
            assert prompt.window is not None
            sampled = sampled_frames(prompt, range(prompt.window[0], prompt.window[1] + 1), 10)
            if sampled.start >= broken_from:
                raise ValueError("no such device")
            frames.extend(sampled)
            return [one for index in sampled for one in seen.on(range(index, index + 1))]

        replica = make_replica(str(output), FakeTracker(mask_of=WORLD.mask_of))
        replica.detect_window = detect_window
        return replica

    def run_with(broken_from: int, **changes: Any) -> Any:
        pool = lambda: InlinePool(replica_of(tmp_path / "out", broken_from))  # noqa: E731
        return run_tracks([track], tmp_path / "out", make_pool=pool, **changes)

    assert run_with(broken_from=30).totals.tracks_failed == 1
    assert run_with(broken_from=NUM_FRAMES).totals.tracks_done == 4
    assert sorted(frames) == list(range(0, NUM_FRAMES, 10))
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "expected"))
    (key,) = storage.list_names(f"{tmp_path}/out/_detections")
    table = read_detections(f"{tmp_path}/out/_detections/{key}")
    assert len(table["v"]) == sum(len(seen.on(range(index, index + 1))) for index in range(0, NUM_FRAMES, 10))


def test_classes_limit_what_is_discovered(tmp_path: Path) -> None:
    run(discovery(tmp_path, "Person"), tmp_path / "out")
    assert set(rows_of(tmp_path / "out")["object_id"]) == {"d#person-30-0"}


def test_the_same_job_again_does_nothing(tmp_path: Path) -> None:
    track = discovery(tmp_path)
    run(track, tmp_path / "out")

    def no_pool() -> Pool:
        raise AssertionError("there is nothing to do")

    again = run(track, tmp_path / "out", make_pool=no_pool)
    assert again.totals.tracks_skipped == 4


def test_what_has_no_detection_on_any_sampled_frame_gives_no_track_and_no_failure(tmp_path: Path) -> None:
    summary = run(discovery(tmp_path), tmp_path / "out", World([]))
    ledger = read_video_ledger(storage, str(tmp_path / "out"), "v")
    assert ledger is not None
    assert list(ledger.tracks) == ["d"]
    assert summary.totals.tracks_done == 1


def test_a_ghost_is_dropped_in_its_hold_back_and_leaves_no_table(tmp_path: Path) -> None:
    world = World([Thing(0, 60, 4, 4), Thing(20, 60, 40, 30, name="ghost")])

    class OnlyOnce(World):
        def detections(self, *arguments: Any) -> Any:
            found = super().detections(*arguments)
            seen = found["v"]
            keep = (seen.classes != "ghost") | (seen.frames == 20)
            frame = pd.DataFrame({"video_id": "v", "frame_index": seen.frames, "class": seen.classes})
            frame = frame.assign(
                score=seen.scores, **dict(zip(("x1", "y1", "x2", "y2"), seen.boxes_xyxy.T, strict=True))
            )
            from samurai_batch.manifest import parse_detections

            return parse_detections(frame[keep])

    run(discovery(tmp_path), tmp_path / "out", OnlyOnce(world.things))
    assert set(rows_of(tmp_path / "out")["object_id"]) == {"d#car-0-0"}


@pytest.mark.parametrize("num_replicas", [2, 4])
def test_any_number_of_replicas_gives_the_same_ids_and_rows(tmp_path: Path, num_replicas: int) -> None:
    world = draw_world(random.Random(num_replicas), NUM_FRAMES)
    track = discovery(tmp_path)
    run(track, tmp_path / "one", world, noise=0.2)
    run(track, tmp_path / "more", world, noise=0.2, num_replicas=num_replicas, max_tracks_per_shard=1)
    pd.testing.assert_frame_equal(rows_of(tmp_path / "one"), rows_of(tmp_path / "more"))


@pytest.mark.parametrize("after", [False, True])
def test_a_driver_that_is_killed_at_any_write_goes_on_to_the_same_ids_and_rows(tmp_path: Path, after: bool) -> None:
    track = discovery(tmp_path)
    run(track, tmp_path / "whole", noise=0.2)
    expected = rows_of(tmp_path / "whole")
    for crash_at in range(1, 60, 7):
        output = tmp_path / f"out-{crash_at}"
        store = CrashingStore(crash_at, after=after)
        replica = make_replica(str(output), FakeTracker(mask_of=WORLD.mask_of), store)
        try:
            run(track, output, noise=0.2, store=store, make_pool=lambda replica=replica: InlinePool(replica))
        except Crash:
            run(track, output, noise=0.2, stale_after_s=0.0, retry_failed=True)
        pd.testing.assert_frame_equal(rows_of(output), expected)


@pytest.mark.parametrize("keep_partial", [False, True])
def test_a_truncated_video_fails_or_keeps_what_there_is(tmp_path: Path, keep_partial: bool) -> None:
    summary = run(discovery(tmp_path, missing_from=37), tmp_path / "out", keep_partial=keep_partial)
    if not keep_partial:
        assert [(one.object_id, one.status) for one in summary.problems] == [("d", "failed")]
        assert not storage.list_names(f"{tmp_path}/out/masks")
        return
    rows = rows_of(tmp_path / "out")
    assert rows.groupby("object_id")["frame_index"].max().to_dict() == dict.fromkeys(set(rows["object_id"]), 36)
    assert {one.status for one in summary.problems} == {"partial"}
    ledger = read_video_ledger(storage, str(tmp_path / "out"), "v")
    assert ledger is not None
    assert ledger.tracks["d"].status == "done"


def test_a_track_that_fails_fails_the_discovery_with_its_reason(tmp_path: Path) -> None:
    def broken(index: int, legs: object) -> None:
        if index == 25:
            raise ValueError("boom")

    detections = WORLD.detections("v", NUM_FRAMES, random.Random(3), 0)
    tracker = FakeTracker(mask_of=WORLD.mask_of, before_frame=broken)
    summary = run_tracks([discovery(tmp_path)], tmp_path / "out", tracker, detections=detections)
    assert [(one.object_id, one.status) for one in summary.problems] == [("d", "failed")]
    assert "boom" in summary.problems[0].error
    again = run(discovery(tmp_path), tmp_path / "out")
    assert again.totals.tracks_done == 4


def test_ids_and_origin_decide_the_fingerprint_of_a_found_track() -> None:
    video = Video("v", "v.mp4")
    one = Track(video=video, object_id="d#car-0-0", prompts=(DiscoverPrompt(0),), origin="f")
    assert fingerprint_of_found(one) != fingerprint_of_found(Track(video=video, object_id="x", prompts=one.prompts))
