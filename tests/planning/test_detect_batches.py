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
from samurai_batch.prompts import BoxPrompt, EverythingPrompt
from samurai_batch.tasks import Track
from tests.planning.builders import track, video
from tests.planning.simulation import Scenario, fingerprint_of, make_scheduler, run


def auto_prompted(video_id: str, object_id: str = "all") -> Track:
    return Track(video=video(video_id), object_id=object_id, prompts=(EverythingPrompt(3),))


def members(tracks: Iterable[Track]) -> list[DetectMember]:
    return [DetectMember(track, fingerprint_of(track)) for track in tracks]


def detect_scheduler(*video_ids: str, videos_per_batch: int = 8) -> Scheduler:
    scheduler = make_scheduler([])
    scheduler.add_detections(make_detect_batches(members(auto_prompted(name) for name in video_ids), videos_per_batch))
    return scheduler


def only(scheduler: Scheduler, replica_id: str = "r") -> DetectOrder:
    (assignment,) = scheduler.assign([replica_id])
    assert isinstance(assignment.order, DetectOrder)
    return assignment.order


def names(order: DetectOrder) -> list[str]:
    return [member.track.video.video_id for member in order.members]


def settled(outcomes: Iterable[Outcome]) -> dict[str, TrackSettled]:
    return {one.track.video.video_id: one for one in outcomes if isinstance(one, TrackSettled)}


def test_a_batch_holds_whole_videos_up_to_the_limit() -> None:
    tracks = [auto_prompted("a", "1"), auto_prompted("b"), auto_prompted("a", "2"), auto_prompted("c")]
    batches = make_detect_batches(members(tracks), 2)
    assert [[one.fingerprint for one in batch] for batch in batches] == [["a/1", "a/2", "b/all"], ["c/all"]]


def test_a_detect_order_settles_its_tracks_with_the_published_rows() -> None:
    scheduler = detect_scheduler("a", "b")
    order = only(scheduler)
    outcomes = settled(scheduler.handle_report("r", Detected(order.order_id, (5, 0), 1.0)))
    assert {name: (one.status, one.num_rows) for name, one in outcomes.items()} == {"a": ("done", 5), "b": ("done", 0)}
    assert scheduler.is_finished


def test_a_prompt_that_fails_is_retried_alone_and_given_up_after_three_times() -> None:
    scheduler = detect_scheduler("a", "b", "c")
    order = only(scheduler)
    boom = Failure(FailureKind.INTERNAL, "boom")
    assert settled(scheduler.handle_report("r", Detected(order.order_id, (1, boom, 1), 1.0))).keys() == {"a", "c"}
    for _ in range(2):
        order = only(scheduler)
        assert names(order) == ["b"]
        outcomes = settled(scheduler.handle_report("r", Detected(order.order_id, (boom,), 1.0)))
    assert outcomes["b"].failure is not None
    assert outcomes["b"].failure.message == "answering the prompt failed 3 times, the last time with: boom"
    assert scheduler.is_finished


def test_an_unreadable_video_is_not_retried() -> None:
    scheduler = detect_scheduler("a", "b")
    order = only(scheduler)
    failure = Failure(FailureKind.VIDEO, "is empty")
    outcomes = settled(scheduler.handle_report("r", Detected(order.order_id, (failure, 1), 1.0)))
    assert outcomes["a"].status == "failed"
    assert scheduler.is_finished


def test_a_prompt_that_kills_replicas_is_given_up_after_three_and_the_others_succeed() -> None:
    scheduler = detect_scheduler(*"abcdefgh")
    deaths = 0
    published: set[str] = set()
    while not scheduler.is_finished:
        order = only(scheduler, f"r{deaths}")
        if "f" in names(order):
            outcomes = settled(scheduler.replica_lost(f"r{deaths}", Failure(FailureKind.DIED, "killed")))
            deaths += 1
        else:
            outcomes = settled(
                scheduler.handle_report(f"r{deaths}", Detected(order.order_id, (1,) * len(order.members), 1.0))
            )
            published |= outcomes.keys()
    assert deaths == 3
    assert published == set("abcdegh")
    failure = outcomes["f"].failure
    assert failure is not None
    assert failure.message == "answering the prompt ended 3 replicas, the last one with: killed"


def test_a_batch_too_large_for_the_device_is_halved() -> None:
    scheduler = detect_scheduler(*"abcd")
    order = only(scheduler)
    scheduler.handle_report("r", OrderFailed(order.order_id, Failure(FailureKind.OUT_OF_MEMORY, "full"), 1.0))
    assert sorted(names(one.order) for one in scheduler.assign(["r", "s"]) if isinstance(one.order, DetectOrder)) == [
        ["a", "b"],
        ["c", "d"],
    ]


@pytest.mark.parametrize(("keep_partial", "status"), [(True, "partial"), (False, "failed")])
def test_detections_on_a_video_known_to_be_truncated_end_there_too(keep_partial: bool, status: str) -> None:
    known = {"v": KnownVideo(20, VideoFacts(20, 48, 64))}
    scenario = Scenario({"v": 20}, {"v": 12})
    scheduler = make_scheduler([track("first")], keep_partial=keep_partial, known=known)
    scheduler.add_detections([members([auto_prompted("v")])])
    run(scheduler, scenario, 1, random.Random(0), trouble=0.0)
    found = auto_prompted("v").tracks_of_detections([BoxPrompt(3, (1.0, 2.0, 30.0, 40.0))])
    scheduler.add_tracks(make_shards(found, 4), [PendingTrack(found[0], "v/found", NOTHING_SAVED)], known)
    run(scheduler, scenario, 1, random.Random(0), trouble=0.0)
    assert (scenario.settled["v/first"].status, scenario.settled["v/found"].status) == (status, status)
    assert scenario.rows.get("v/found") == (range(3, 12) if keep_partial else None)


class DetectionScenario(Scenario):
    """Every auto prompt has two detections, which are tracked."""

    scheduler: Scheduler

    def take_in(self, outcomes: Iterable[Outcome]) -> None:
        outcomes = list(outcomes)
        super().take_in(outcomes)
        for outcome in outcomes:
            if isinstance(outcome, TrackSettled) and outcome.track.auto_prompt and outcome.status == "done":
                found = outcome.track.tracks_of_detections([BoxPrompt(3, (1.0, 2.0, 30.0, 40.0))] * 2)
                pending = [PendingTrack(one, fingerprint_of(one), NOTHING_SAVED) for one in found]
                known = {outcome.track.video.video_id: KnownVideo(50)}
                self.scheduler.add_tracks(make_shards(found, 4), pending, known)
                super().take_in(self.scheduler.take_outcomes())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.sampled_from([0.0, 0.05, 0.3]), st.integers())
def test_detections_are_tracked_despite_faults(
    num_videos: int, num_objects: int, num_replicas: int, trouble: float, seed: int
) -> None:
    tracks = [auto_prompted(f"v{one}", f"o{two}") for one in range(num_videos) for two in range(num_objects)]
    scenario = DetectionScenario({f"v{number}": 12 + number for number in range(num_videos)})
    scenario.scheduler = make_scheduler([])
    scenario.scheduler.add_detections(make_detect_batches(members(tracks), 1))
    run(scenario.scheduler, scenario, num_replicas, random.Random(seed), trouble=trouble)
    for one in tracks:
        outcome = scenario.settled[fingerprint_of(one)]
        found = [scenario.settled.get(f"{fingerprint_of(one)}#{number}") for number in range(2)]
        assert all(found) if outcome.status == "done" else not any(found)
        assert trouble or all(other is not None and other.status == "done" for other in found)
