"""When starts are tried again and when no more: all on times that the tests make up."""

import pytest

from samurai_batch.runtime.capacity import LONGEST_PAUSE_S, StartPolicy


def time_of_the_end(num_replicas: int, room: int, start_s: float, tick_s: float = 0.25) -> float:
    """Seconds until a pool of so many replicas gives up, of which ``room`` start at once and all fail."""
    policy, waiting, building, now_s = StartPolicy(), num_replicas, list[float](), 0.0
    while now_s < 600:
        for failed_at_s in [one for one in building if one <= now_s]:
            building.remove(failed_at_s)
            policy.failed(now_s, "no such device")
        if policy.cancels_waiting(now_s, num_ready=0):
            waiting = 0
        if policy.gives_up(now_s, num_ready=0, num_starting=waiting + len(building)):
            return now_s
        if policy.may_start(now_s, num_ready=0):
            waiting = num_replicas - len(building)
        while waiting and len(building) < room:
            waiting -= 1
            building.append(now_s + start_s)
            policy.begun(now_s)
        now_s += tick_s
    raise AssertionError("it goes on trying")


@pytest.mark.parametrize("start_s", [0.0, 1.0, 7.0, 11.0, 25.0])
@pytest.mark.parametrize(("num_replicas", "room"), [(1, 1), (2, 1), (4, 4), (8, 8), (8, 2), (100, 2), (100, 100)])
def test_where_no_start_goes_well_trying_ends_within_a_minute(num_replicas: int, room: int, start_s: float) -> None:
    assert time_of_the_end(num_replicas, room, start_s) <= 60.0


def test_the_reason_is_that_of_the_last_failure() -> None:
    policy = StartPolicy()
    for second, reason in enumerate(["first", "second", "third"]):
        policy.failed(float(second), reason)
    assert policy.gives_up(3.0, num_ready=0, num_starting=0)
    assert policy.reason == "third"


def test_one_failure_is_not_enough_however_long_it_took() -> None:
    policy = StartPolicy()
    policy.begun(0.0)
    policy.failed(500.0, "slow")
    assert not policy.gives_up(500.0, num_ready=0, num_starting=0)
    assert policy.may_start(501.0, num_ready=0)


def test_while_a_replica_runs_starts_are_tried_again_ever_less_often_and_never_given_up() -> None:
    policy, now_s, pauses = StartPolicy(), 0.0, []
    for _ in range(12):
        policy.failed(now_s, "bad node")
        failed_at_s = now_s
        while not policy.may_start(now_s, num_ready=1):
            assert not policy.gives_up(now_s, num_ready=1, num_starting=0)
            assert not policy.cancels_waiting(now_s, num_ready=1)
            now_s += 1.0
        pauses.append(now_s - failed_at_s)
    assert pauses[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert set(pauses[6:]) == {LONGEST_PAUSE_S}


def test_a_replica_that_is_being_built_elsewhere_is_waited_for() -> None:
    policy = StartPolicy()
    policy.begun(0.0)
    for second in range(5):
        policy.failed(float(second), "bad node")
    assert not policy.gives_up(300.0, num_ready=0, num_starting=1)
    policy.succeeded()
    assert policy.may_start(300.0, num_ready=1)
    assert policy.num_failed == 0


def test_waiting_for_a_node_is_no_trying() -> None:
    policy = StartPolicy()
    policy.begun(1000.0)  # the first node has come after a quarter of an hour
    policy.failed(1001.0, "once")
    policy.failed(1003.0, "twice")
    assert not policy.gives_up(1004.0, num_ready=0, num_starting=0)
    assert policy.may_start(1005.0, num_ready=0)
