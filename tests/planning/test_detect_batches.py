import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.planning.job_state import KnownVideo, PendingTrack
from samurai_batch.planning.orders import Detected, DetectMember, DetectOrder, OrderFailed, Outcome, TrackSettled
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.scheduler import Scheduler
from samurai_batch.planning.shards import make_detect_batches, make_shards
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.tasks import BoxPrompt, EverythingPrompt, Track
from tests.planning.builders import track, video
from tests.planning.simulation import Scenario, fingerprint_of, make_scheduler, run


def asking(video_id: str, object_id: str = "all") -> Track:
    return Track(video=video(video_id), object_id=object_id, prompts=(EverythingPrompt(3),))


def members(tracks: Iterable[Track]) -> list[DetectMember]:
    return [DetectMember(track, fingerprint_of(track)) for track in tracks]


def looking(*video_ids: str, per_look: int = 8) -> Scheduler:
    scheduler = make_scheduler([])
    scheduler.enter_detections(make_detect_batches(members(asking(name) for name in video_ids), per_look))
    return scheduler


def only(scheduler: Scheduler, replica_id: str = "r") -> DetectOrder:
    (assignment,) = scheduler.assign([replica_id])
    assert isinstance(assignment.order, DetectOrder)
    return assignment.order


def names(order: DetectOrder) -> list[str]:
    return [member.track.video.video_id for member in order.members]


def settled(outcomes: Iterable[Outcome]) -> dict[str, TrackSettled]:
    return {one.track.video.video_id: one for one in outcomes if isinstance(one, TrackSettled)}


def test_looks_hold_whole_videos_and_so_many_of_them() -> None:
    tracks = [asking("a", "1"), asking("b"), asking("a", "2"), asking("c")]
    looks = make_detect_batches(members(tracks), 2)
    assert [[one.fingerprint for one in look] for look in looks] == [["a/1", "a/2", "b/all"], ["c/all"]]


def test_a_look_settles_its_tracks_with_the_rows_that_were_published() -> None:
    scheduler = looking("a", "b")
    order = only(scheduler)
    outcomes = settled(scheduler.reported("r", Detected(order.order_id, (5, 0), 1.0)))
    assert {name: (one.status, one.num_rows) for name, one in outcomes.items()} == {"a": ("done", 5), "b": ("done", 0)}
    assert scheduler.is_finished


def test_one_that_fails_is_tried_again_alone_and_given_up_after_three_times() -> None:
    scheduler = looking("a", "b", "c")
    order = only(scheduler)
    boom = Failure(FailureKind.INTERNAL, "boom")
    assert settled(scheduler.reported("r", Detected(order.order_id, (1, boom, 1), 1.0))).keys() == {"a", "c"}
    for _ in range(2):
        order = only(scheduler)
        assert names(order) == ["b"]
        outcomes = settled(scheduler.reported("r", Detected(order.order_id, (boom,), 1.0)))
    assert outcomes["b"].failure is not None
    assert outcomes["b"].failure.message == "answering the prompt failed 3 times, the last time with: boom"
    assert scheduler.is_finished


def test_one_that_cannot_be_read_is_not_tried_again() -> None:
    scheduler = looking("a", "b")
    order = only(scheduler)
    failure = Failure(FailureKind.VIDEO, "is empty")
    outcomes = settled(scheduler.reported("r", Detected(order.order_id, (failure, 1), 1.0)))
    assert outcomes["a"].status == "failed"
    assert scheduler.is_finished


def test_one_that_ends_replicas_is_given_up_after_three_and_takes_no_other_with_it() -> None:
    scheduler = looking(*"abcdefgh")
    deaths = 0
    published: set[str] = set()
    while not scheduler.is_finished:
        order = only(scheduler, f"r{deaths}")
        if "f" in names(order):
            outcomes = settled(scheduler.replica_lost(f"r{deaths}", Failure(FailureKind.DIED, "killed")))
            deaths += 1
        else:
            outcomes = settled(
                scheduler.reported(f"r{deaths}", Detected(order.order_id, (1,) * len(order.members), 1.0))
            )
            published |= outcomes.keys()
    assert deaths == 3
    assert published == set("abcdegh")
    failure = outcomes["f"].failure
    assert failure is not None
    assert failure.message == "answering the prompt ended 3 replicas, the last one with: killed"


def test_a_look_too_large_for_the_device_is_halved() -> None:
    scheduler = looking(*"abcd")
    order = only(scheduler)
    scheduler.reported("r", OrderFailed(order.order_id, Failure(FailureKind.OUT_OF_MEMORY, "full"), 1.0))
    assert sorted(names(one.order) for one in scheduler.assign(["r", "s"]) if isinstance(one.order, DetectOrder)) == [
        ["a", "b"],
        ["c", "d"],
    ]


@pytest.mark.parametrize(("keep_partial", "status"), [(True, "partial"), (False, "failed")])
def test_what_is_found_on_a_video_that_is_known_to_be_cut_ends_there_too(keep_partial: bool, status: str) -> None:
    known = {"v": KnownVideo(20, VideoFacts(20, 48, 64))}
    scenario = Scenario({"v": 20}, {"v": 12})
    scheduler = make_scheduler([track("first")], keep_partial=keep_partial, known=known)
    scheduler.enter_detections([members([asking("v")])])
    run(scheduler, scenario, 1, random.Random(0), trouble=0.0)
    found = asking("v").tracks_of_detections([BoxPrompt(3, (1.0, 2.0, 30.0, 40.0))])
    scheduler.enter(make_shards(found, 4), [PendingTrack(found[0], "v/found", NOTHING_SAVED)], known)
    run(scheduler, scenario, 1, random.Random(0), trouble=0.0)
    assert (scenario.settled["v/first"].status, scenario.settled["v/found"].status) == (status, status)
    assert scenario.rows.get("v/found") == (range(3, 12) if keep_partial else None)


class FindingScenario(Scenario):
    """Every prompt that is looked up stands for two boxes, which are followed."""

    scheduler: Scheduler

    def take_in(self, outcomes: Iterable[Outcome]) -> None:
        outcomes = list(outcomes)
        super().take_in(outcomes)
        for outcome in outcomes:
            if isinstance(outcome, TrackSettled) and outcome.track.auto_prompt and outcome.status == "done":
                found = outcome.track.tracks_of_detections([BoxPrompt(3, (1.0, 2.0, 30.0, 40.0))] * 2)
                pending = [PendingTrack(one, fingerprint_of(one), NOTHING_SAVED) for one in found]
                known = {outcome.track.video.video_id: KnownVideo(50)}
                self.scheduler.enter(make_shards(found, 4), pending, known)
                super().take_in(self.scheduler.take_outcomes())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.sampled_from([0.0, 0.05, 0.3]), st.integers())
def test_what_looks_find_is_followed_whatever_happens(
    num_videos: int, num_objects: int, num_replicas: int, trouble: float, seed: int
) -> None:
    asked = [asking(f"v{one}", f"o{two}") for one in range(num_videos) for two in range(num_objects)]
    scenario = FindingScenario({f"v{number}": 12 + number for number in range(num_videos)})
    scenario.scheduler = make_scheduler([])
    scenario.scheduler.enter_detections(make_detect_batches(members(asked), 1))
    run(scenario.scheduler, scenario, num_replicas, random.Random(seed), trouble=trouble)
    for one in asked:
        outcome = scenario.settled[fingerprint_of(one)]
        found = [scenario.settled.get(f"{fingerprint_of(one)}#{number}") for number in range(2)]
        assert all(found) if outcome.status == "done" else not any(found)
        assert trouble or all(other is not None and other.status == "done" for other in found)
