import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.planning.job_state import KnownVideo
from samurai_batch.planning.orders import ChunkPropagated, OpenOrder, Order, PropagateOrder, PublishOrder, VideoOpened
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.scheduler import Scheduler
from samurai_batch.planning.shards import legs_with_rows
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Direction, Track
from tests.planning.builders import track, video
from tests.planning.simulation import Scenario, fingerprint_of, frames_of, make_scheduler, run

DIRECTIONS: list[Direction] = ["forward", "backward", "both"]


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[Track], dict[str, int]]:
    num_frames = {name: draw(st.integers(1, 60)) for name in "abc"[: draw(st.integers(1, 3))]}
    tracks = []
    for number in range(draw(st.integers(1, 9))):
        video_id = draw(st.sampled_from(sorted(num_frames)))
        frame = draw(st.integers(0, num_frames[video_id] - 1))
        end = draw(st.none() | st.integers(frame, num_frames[video_id] - 1))
        start = draw(st.none() | st.integers(0, frame))
        direction = draw(st.sampled_from(DIRECTIONS))
        tracks.append(
            track(str(number), frame, of=video(video_id), start_frame=start, end_frame=end, direction=direction)
        )
    return tracks, num_frames


@settings(max_examples=150, deadline=None)
@given(
    jobs(), st.integers(1, 25), st.integers(1, 5), st.integers(1, 4), st.sampled_from([0.0, 0.05, 0.3]), st.integers()
)
def test_despite_faults_every_track_is_propagated_in_order_or_fails_with_a_reason(
    job: tuple[list[Track], dict[str, int]],
    chunk_frames: int,
    limit: int,
    num_replicas: int,
    trouble: float,
    seed: int,
) -> None:
    tracks, num_frames = job
    scenario = Scenario(num_frames)
    scheduler = make_scheduler(tracks, chunk_frames=chunk_frames, limit=limit)
    run(scheduler, scenario, num_replicas, random.Random(seed), trouble=trouble)
    assert scenario.settled.keys() == {fingerprint_of(one) for one in tracks}
    assert scheduler.track_frames_left == 0
    for one in tracks:
        name, total = fingerprint_of(one), num_frames[one.video.video_id]
        outcome = scenario.settled[name]
        if outcome.status == "failed":
            assert outcome.failure is not None
            assert trouble > 0
            continue
        frames = []
        for leg in legs_with_rows(one):
            assert scenario.propagated[name, leg.reverse] == frames_of(leg, total)
            frames += [index for index in range(total) if leg.writes(index)]
        assert sorted(frames) == list(scenario.rows[name])
        assert outcome.num_rows == len(frames)


@settings(max_examples=60, deadline=None)
@given(jobs(), st.integers(1, 25), st.booleans(), st.integers(1, 59), st.integers())
def test_a_truncation_is_told_only_of_tracks_that_reach_it(
    job: tuple[list[Track], dict[str, int]], chunk_frames: int, keep_partial: bool, missing_from: int, seed: int
) -> None:
    tracks, num_frames = job
    scenario = Scenario(num_frames, dict.fromkeys(num_frames, missing_from))
    run(
        make_scheduler(tracks, chunk_frames=chunk_frames, keep_partial=keep_partial),
        scenario, 3, random.Random(seed), trouble=0.0,
    )  # fmt: skip
    for one in tracks:
        name, total = fingerprint_of(one), num_frames[one.video.video_id]
        legs = legs_with_rows(one)
        reaching = [leg for leg in legs if max(frames_of(leg, total)) >= missing_from]
        keeps = keep_partial and all(not leg.reverse and leg.start_frame < missing_from for leg in reaching)
        expected = "done" if not reaching else "partial" if keeps else "failed"
        assert scenario.settled[name].status == expected
        if expected == "partial":
            wanted = {index for leg in legs for index in range(missing_from) if leg.writes(index)}
            assert set(scenario.rows[name]) == wanted


def test_a_track_cut_short_is_not_published_while_a_replica_is_still_at_work_on_it() -> None:
    known = {"v": KnownVideo(2, VideoFacts(2, 48, 64))}
    tracks = [track("x"), track("y")]
    scheduler = make_scheduler(tracks, chunk_frames=1, limit=1, keep_partial=True, known=known)
    scenario = Scenario({"v": 2}, {"v": 1})
    first = {one.replica_id: one.order for one in scheduler.assign(["r1", "r2"])}
    for replica_id, order in first.items():
        answer(scenario, scheduler, replica_id, order)
    beyond = {one.replica_id: one.order for one in scheduler.assign(["r1", "r2"])}
    answer(scenario, scheduler, "r1", beyond["r1"])
    (publishing,) = scheduler.assign(["r1", "r3"])
    assert isinstance(publishing.order, PublishOrder)
    assert publishing.order.fingerprint == "v/x"
    answer(scenario, scheduler, "r2", beyond["r2"])
    published = only(scheduler, "r2")
    assert isinstance(published, PublishOrder)
    assert published.fingerprint == "v/y"


def only(scheduler: Scheduler, replica_id: str) -> Order:
    (assignment,) = scheduler.assign([replica_id])
    return assignment.order


def answer(scenario: Scenario, scheduler: Scheduler, replica_id: str, order: Order) -> None:
    scenario.take_in(scheduler.handle_report(replica_id, scenario.carry_out(order)))


def test_a_video_is_opened_once_and_its_shards_then_go_to_all_idle_replicas() -> None:
    scheduler = make_scheduler([track(str(number)) for number in range(8)], limit=4)
    scenario = Scenario({"v": 30})
    opening = only(scheduler, "r1")
    assert isinstance(opening, OpenOrder)
    assert scheduler.assign(["r2"]) == []
    answer(scenario, scheduler, "r1", opening)
    orders = [assignment.order for assignment in scheduler.assign(["r1", "r2"])]
    assert [len(order.legs) for order in orders if isinstance(order, PropagateOrder)] == [4, 4]


def test_a_video_known_from_an_earlier_run_is_not_opened_for_its_length() -> None:
    known = {"v": KnownVideo(30, VideoFacts(30, 48, 64))}
    assert isinstance(only(make_scheduler([track()], known=known), "r1"), PropagateOrder)


def test_the_longest_video_goes_first() -> None:
    tracks = [track(of=video(name)) for name in "abc"]
    known = {name: KnownVideo(length) for name, length in [("a", 100), ("b", 300), ("c", 200)]}
    scheduler = make_scheduler(tracks, known=known)
    orders = [assignment.order for assignment in scheduler.assign(["r1", "r2", "r3"])]
    assert [order.video.video_id for order in orders if isinstance(order, OpenOrder)] == ["b", "c", "a"]


def test_a_replica_goes_on_with_the_shard_it_has_begun() -> None:
    known = {name: KnownVideo(100, VideoFacts(100, 48, 64)) for name in "ab"}
    scheduler = make_scheduler([track(of=video(name)) for name in "ab"], known=known)
    scenario = Scenario({"a": 100, "b": 100})
    first = {assignment.replica_id: assignment.order for assignment in scheduler.assign(["r1", "r2"])}
    for replica_id in ("r2", "r1"):
        answer(scenario, scheduler, replica_id, first[replica_id])
    second = {assignment.replica_id: assignment.order for assignment in scheduler.assign(["r2", "r1"])}
    for replica_id, order in second.items():
        before = first[replica_id]
        assert isinstance(order, PropagateOrder)
        assert isinstance(before, PropagateOrder)
        assert (order.video, order.chunk) == (before.video, before.chunk + 1)


def test_a_shard_left_by_a_dead_replica_goes_on_elsewhere_at_the_same_chunk() -> None:
    known = {"v": KnownVideo(100, VideoFacts(100, 48, 64))}
    scheduler = make_scheduler([track()], known=known)
    scenario = Scenario({"v": 100})
    answer(scenario, scheduler, "r1", only(scheduler, "r1"))
    interrupted = only(scheduler, "r1")
    assert scheduler.assign(["r2"]) == []
    scheduler.replica_lost("r1", Failure(FailureKind.DIED, "gone"))
    order = only(scheduler, "r2")
    assert isinstance(order, PropagateOrder)
    assert isinstance(interrupted, PropagateOrder)
    assert order.chunk == interrupted.chunk == 1


def test_an_answer_of_a_replica_without_an_order_is_ignored() -> None:
    scheduler, scenario = make_scheduler([track()]), Scenario({"v": 30})
    opening = only(scheduler, "r1")
    scheduler.replica_lost("r1", Failure(FailureKind.PREEMPTED, "gone"))
    again = only(scheduler, "r2")
    assert scheduler.handle_report("r1", scenario.carry_out(opening)) == []
    assert scheduler.handle_report("r1", scenario.carry_out(again)) == []
    assert scheduler.is_busy("r2")


def test_invalid_tracks_fail_before_any_order() -> None:
    known = {"v": KnownVideo(10, VideoFacts(10, 48, 64))}
    scheduler = make_scheduler([track("late", 10), track("good")], known=known)
    scenario = Scenario({"v": 10})
    scenario.take_in(scheduler.take_outcomes())
    assert scenario.settled.keys() == {"v/late"}


def test_rates_are_those_measured() -> None:
    scheduler = make_scheduler([track()])
    opening = only(scheduler, "r1")
    scheduler.handle_report("r1", VideoOpened(opening.order_id, VideoFacts(30, 48, 64), 7.0))
    order = only(scheduler, "r1")
    stage_s = {"decode": 1.0, "encode": 4.0, "propagate": 6.0}
    stats = WorkStats(frames_encoded=10, track_frames=20, stage_s=stage_s)
    scheduler.handle_report("r1", ChunkPropagated(order_id=order.order_id, stats=stats, seconds=12.0))
    assert (scheduler.rates.encode_s, scheduler.rates.propagate_s, scheduler.rates.open_s) == (0.5, 0.3, 7.0)


@pytest.mark.parametrize("num_replicas", [1, 7, 40])
def test_an_even_load_is_spread_evenly(num_replicas: int) -> None:
    chance = random.Random(0)
    lengths = {f"v{number}": chance.randint(50, 400) for number in range(120)}
    known = {name: KnownVideo(length, VideoFacts(length, 48, 64)) for name, length in lengths.items()}
    scheduler = make_scheduler([track(of=video(name)) for name in lengths], known=known)
    finish_s = dict.fromkeys((f"r{number}" for number in range(num_replicas)), 0.0)
    scenario = Scenario(lengths)
    running: dict[str, Order] = {}
    while not scheduler.is_finished:
        idle = sorted(finish_s.keys() - running.keys(), key=lambda name: finish_s[name])
        running |= {assignment.replica_id: assignment.order for assignment in scheduler.assign(idle)}
        name = min(running, key=lambda name: finish_s[name])
        order = running.pop(name)
        report = scenario.carry_out(order)
        finish_s[name] += sum(report.stats.stage_s.values()) if isinstance(report, ChunkPropagated) else 0.0
        scenario.take_in(scheduler.handle_report(name, report))
    total_s = sum(lengths.values()) * 1.25
    bound_s = max(total_s / num_replicas, max(lengths.values()) * 1.25)
    assert max(finish_s.values()) <= 1.1 * bound_s
