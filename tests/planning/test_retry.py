import pytest

from samurai_batch.planning.retry import FailureKind, RetryLimits, Verdict, decide

LIMITS = RetryLimits(max_attempts=3, max_deaths=3, max_losses=9)


def verdict(
    kind: FailureKind,
    attempts: int = 1,
    deaths: int = 0,
    num_tracks: int = 1,
    *,
    losses: int = 0,
    restarted: bool = False,
    can_split: bool = False,
) -> Verdict:
    return decide(
        kind,
        attempts=attempts,
        deaths=deaths,
        losses=losses,
        num_tracks=num_tracks,
        restarted=restarted,
        limits=LIMITS,
        can_split=can_split,
    )


def test_a_chunk_may_kill_two_replicas_but_not_three() -> None:
    assert verdict(FailureKind.DIED, 0, 2, 8) is Verdict.AGAIN
    assert verdict(FailureKind.DIED, 0, 3, 8) is Verdict.GIVE_UP


def test_preemption_is_nobodys_fault() -> None:
    assert verdict(FailureKind.PREEMPTED, 99, 99) is Verdict.AGAIN


def test_a_node_may_be_lost_often_before_it_is_taken_for_the_chunks_fault() -> None:
    assert verdict(FailureKind.LOST, 0, 2, 8, losses=8) is Verdict.AGAIN
    assert verdict(FailureKind.LOST, 0, 0, 8, losses=9) is Verdict.GIVE_UP
    assert verdict(FailureKind.LOST, 0, 0, 8, losses=9, can_split=True) is Verdict.SPLIT


@pytest.mark.parametrize("kind", [FailureKind.VIDEO, FailureKind.TRUNCATED])
def test_a_video_does_not_get_better_by_reading_it_again(kind: FailureKind) -> None:
    assert verdict(kind, num_tracks=8) is Verdict.GIVE_UP


@pytest.mark.parametrize("kind", [FailureKind.PROMPT, FailureKind.STATE, FailureKind.OUT_OF_MEMORY])
def test_where_one_of_several_tracks_may_be_at_fault_they_are_parted_at_once(kind: FailureKind) -> None:
    assert verdict(kind, num_tracks=2) is Verdict.SPLIT


def test_damaged_saved_work_is_made_again_once() -> None:
    assert verdict(FailureKind.STATE) is Verdict.RESTART
    assert verdict(FailureKind.STATE, restarted=True) is Verdict.GIVE_UP


@pytest.mark.parametrize("kind", [FailureKind.STORAGE, FailureKind.INTERNAL, FailureKind.OUT_OF_MEMORY])
def test_what_may_pass_is_tried_three_times(kind: FailureKind) -> None:
    assert [verdict(kind, attempts) for attempts in (1, 2, 3)] == [Verdict.AGAIN, Verdict.AGAIN, Verdict.GIVE_UP]


def test_an_unexpected_error_is_traced_to_its_track() -> None:
    assert verdict(FailureKind.INTERNAL, 2, num_tracks=8) is Verdict.AGAIN
    assert verdict(FailureKind.INTERNAL, 3, num_tracks=8) is Verdict.SPLIT
    assert verdict(FailureKind.STORAGE, 3, num_tracks=8) is Verdict.GIVE_UP


def test_a_single_prompt_at_fault_fails_its_track() -> None:
    assert verdict(FailureKind.PROMPT) is Verdict.GIVE_UP
