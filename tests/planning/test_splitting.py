from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.planning.job_state import KnownVideo
from samurai_batch.planning.orders import ChunkPropagated, Order, PropagateOrder
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.scheduler import Scheduler
from samurai_batch.planning.shards import LEAST_GAIN, Outlook, best_split, even_bounds
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.stats import WorkStats
from tests.planning.builders import track, video
from tests.planning.simulation import Scenario, make_scheduler

RATES = Rates(encode_s=1.0, propagate_s=0.25, open_s=5.0)

spans = st.builds(lambda start, length: range(start, start + length), st.integers(0, 500), st.integers(1, 2000))
outlooks = st.builds(
    Outlook,
    other_work_s=st.floats(0, 50_000),
    num_replicas=st.integers(1, 12),
    rates=st.builds(Rates, *(st.floats(0, 5) for _ in range(4))),
)


def idle(num_replicas: int, rates: Rates = RATES) -> Outlook:
    return Outlook(other_work_s=0.0, num_replicas=num_replicas, rates=rates)


def parts_of(shard: list[range], groups: list[range]) -> list[list[range]]:
    return [[shard[index] for index in group] for group in groups]


@given(st.lists(spans, min_size=1, max_size=9), outlooks)
def test_every_track_is_in_one_group_and_neighbours_stay_together(shard: list[range], outlook: Outlook) -> None:
    groups = best_split(shard, outlook)
    assert [index for group in groups for index in group] == list(range(len(shard)))
    assert all(groups)
    assert len(groups) <= outlook.num_replicas


@given(st.lists(spans, min_size=1, max_size=9), outlooks)
def test_a_shard_is_split_only_where_that_ends_the_job_sooner_and_then_as_soon_as_can_be(
    shard: list[range], outlook: Outlook
) -> None:
    groups = best_split(shard, outlook)
    finish_s = outlook.finish_s(parts_of(shard, groups))
    assert len(groups) == 1 or finish_s < outlook.finish_s([shard]) * (1 - LEAST_GAIN)
    for num_parts in range(1, min(len(shard), outlook.num_replicas) + 1):
        other = [shard[low:high] for low, high in even_bounds(len(shard), num_parts)]
        assert finish_s <= outlook.finish_s(other) or outlook.finish_s(other) >= outlook.finish_s([shard]) * (
            1 - LEAST_GAIN
        )


@given(st.lists(spans, min_size=1, max_size=9), outlooks)
def test_work_enough_for_everybody_keeps_a_shard_together(shard: list[range], outlook: Outlook) -> None:
    other_work_s = outlook.num_replicas * outlook.finish_s([shard])
    busy = Outlook(other_work_s=other_work_s, num_replicas=outlook.num_replicas, rates=outlook.rates)
    assert len(best_split(shard, busy)) == 1


def test_eight_tracks_are_spread_over_four_idle_replicas_by_twos() -> None:
    groups = best_split([range(1000)] * 8, idle(4))
    assert [len(group) for group in groups] == [2, 2, 2, 2]


def test_a_shard_that_is_nearly_done_is_not_split() -> None:
    assert len(best_split([range(3)] * 8, idle(4))) == 1  # together 9 s; split 4.5 s, and 5 s to open the video
    assert len(best_split([range(100)] * 8, idle(4))) == 4


def test_the_time_to_move_states_counts() -> None:
    slow = Rates(encode_s=1.0, propagate_s=0.25, open_s=5.0, save_s=100.0)
    assert len(best_split([range(100)] * 8, idle(4, slow))) == 1


def test_tracks_without_common_frames_are_split_at_no_cost() -> None:
    spans = [range(100), range(100, 200)]
    whole, parted = idle(2).finish_s([spans]), idle(2).finish_s([spans[:1], spans[1:]])
    assert (whole, parted) == (250.0, 130.0)


# -- in the scheduler


def known(**lengths: int) -> dict[str, KnownVideo]:
    return {name: KnownVideo(length, VideoFacts(length, 48, 64)) for name, length in lengths.items()}


def answer(scenario: Scenario, scheduler: Scheduler, replica_id: str, order: Order) -> None:
    scenario.take_in(scheduler.handle_report(replica_id, scenario.carry_out(order)))


def give(scheduler: Scheduler, *idle_replicas: str) -> dict[str, PropagateOrder]:
    orders = {one.replica_id: one.order for one in scheduler.assign(idle_replicas)}
    return {name: order for name, order in orders.items() if isinstance(order, PropagateOrder)}


def test_once_rates_are_measured_idle_replicas_take_over_tracks_at_the_next_chunk() -> None:
    scheduler = make_scheduler([track(str(number)) for number in range(8)], limit=8, known=known(v=1000))
    scenario = Scenario({"v": 1000})
    first = give(scheduler, "r1", "r2", "r3", "r4")
    assert list(first) == ["r1"]
    answer(scenario, scheduler, "r1", first["r1"])
    orders = give(scheduler, "r2", "r3", "r4", "r1")
    assert sorted(orders) == ["r1", "r2", "r3", "r4"]
    assert {order.chunk for order in orders.values()} == {1}
    assert [len(order.legs) for order in orders.values()] == [2, 2, 2, 2]
    assert len({leg.fingerprint for order in orders.values() for leg in order.legs}) == 8
    assert scheduler.num_splits == 3


def test_a_replica_that_comes_later_gets_its_share_at_the_next_chunk() -> None:
    scheduler = make_scheduler([track(str(number)) for number in range(4)], known=known(v=1000))
    scenario = Scenario({"v": 1000})
    for _ in range(3):
        answer(scenario, scheduler, "r1", give(scheduler, "r1")["r1"])
    orders = give(scheduler, "r1", "new")
    assert {name: len(order.legs) for name, order in orders.items()} == {"r1": 2, "new": 2}
    assert {order.chunk for order in orders.values()} == {3}


def test_the_tracks_of_a_lost_replica_go_on_elsewhere_at_their_own_chunk() -> None:
    scheduler = make_scheduler([track(str(number)) for number in range(4)], known=known(v=1000))
    scenario = Scenario({"v": 1000})
    answer(scenario, scheduler, "r1", give(scheduler, "r1")["r1"])
    orders = give(scheduler, "r1", "r2")
    answer(scenario, scheduler, "r1", orders["r1"])
    scheduler.replica_lost("r2", Failure(FailureKind.PREEMPTED, "gone"))
    again = give(scheduler, "r1", "r3")
    assert again["r1"].chunk == 2
    assert (again["r3"].chunk, again["r3"].legs) == (1, orders["r2"].legs)


def test_a_chunk_that_is_tried_again_is_not_split() -> None:
    scheduler = make_scheduler([track(str(number)) for number in range(4)], known=known(v=1000))
    scenario = Scenario({"v": 1000})
    answer(scenario, scheduler, "r1", give(scheduler, "r1")["r1"])
    give(scheduler, "r1")
    scheduler.replica_lost("r1", Failure(FailureKind.DIED, "killed"))
    assert [len(order.legs) for order in give(scheduler, "r2", "r3").values()] == [4]


def test_a_replica_in_the_middle_of_a_short_video_gives_way_to_a_long_one_that_waits() -> None:
    lengths = {"long": 4000, "short": 100, "other": 300}
    scheduler = make_scheduler([track(of=video(name)) for name in lengths], known=known(**lengths))
    scenario = Scenario(lengths)
    first = give(scheduler, "r1", "r2", "r3")
    at = {order.video.video_id: name for name, order in first.items()}
    scheduler.replica_lost(at["long"], Failure(FailureKind.PREEMPTED, "gone"))
    answer(scenario, scheduler, at["other"], first[at["other"]])
    assert give(scheduler, at["other"])[at["other"]].video.video_id == "long"
    answer(scenario, scheduler, at["short"], first[at["short"]])
    assert give(scheduler, at["short"], "new")["new"].video.video_id == "other"


def test_what_waits_is_put_in_order_by_the_rates_of_now() -> None:
    lengths = {"first": 30, "long": 400, "wide": 100}
    tracks = [track(of=video("first")), track(of=video("long")), *(track(str(n), of=video("wide")) for n in range(4))]
    scheduler = make_scheduler(tracks, known={name: KnownVideo(size) for name, size in lengths.items()})
    opening = scheduler.assign(["r1"])[0].order
    scenario = Scenario(lengths)
    answer(scenario, scheduler, "r1", opening)
    assert opening.video.video_id == "long"  # type: ignore[union-attr]
    order = give(scheduler, "r1")["r1"]
    stats = WorkStats(frames_encoded=10, track_frames=10, stage_s={"encode": 0.1, "propagate": 100.0})
    scheduler.handle_report("r1", ChunkPropagated(order_id=order.order_id, stats=stats, seconds=100.1))
    (assignment,) = scheduler.assign(["r2"])
    assert assignment.order.video.video_id == "wide"  # type: ignore[union-attr]
