"""Which tracker is best, and how sure that is: differences over the same videos, and the sentence about them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from samurai_batch.evaluation.comparing import (
    agreement_table,
    agreement_with_others,
    by_mean,
    differences_table,
    estimate,
    paired_differences,
    recommendation,
    recommendation_without_truth,
    summary_table,
)

scores_of_videos = st.integers(2, 12).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=3, max_size=3), min_size=count, max_size=count
    )
)


def table(**columns: list[float]) -> pd.DataFrame:
    """Scores by tracker, a row per video."""
    return pd.DataFrame(columns)


def drawn(num_videos: int, gain: float, spread: float) -> pd.DataFrame:
    """Scores of ``plain``, and of ``better``, which gains this much on average."""
    rng = np.random.default_rng(3)
    plain = rng.uniform(0.3, 0.8, num_videos)
    return pd.DataFrame({"plain": plain, "better": plain + gain + rng.normal(0, spread, num_videos)})


def test_a_mean_has_students_interval() -> None:
    values = np.array([0.2, 0.5, 0.4, 0.7])
    found = estimate(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((0.45, low, high))
    assert found.standard_error == pytest.approx(stats.sem(values))
    assert found.num_videos == 4


def test_one_video_has_a_mean_and_no_interval() -> None:
    found = estimate(np.array([0.5]))
    assert found.mean == 0.5
    assert np.isnan([found.standard_error, found.low, found.high]).all()


def test_a_difference_is_tested_by_pairs_and_corrected_for_their_number() -> None:
    scores = drawn(8, 0.02, 0.02).assign(third=[0.4, 0.5, 0.6, 0.4, 0.5, 0.6, 0.4, 0.5])
    for one in paired_differences(scores):
        expected = stats.ttest_rel(scores[one.a], scores[one.b]).pvalue
        assert one.p_value == pytest.approx(min(1.0, 3 * expected))


@given(scores_of_videos)
def test_an_interval_excludes_zero_exactly_where_the_difference_is_beyond_chance(rows: list[list[float]]) -> None:
    scores = pd.DataFrame(rows, columns=["a", "b", "c"])
    for one in paired_differences(scores):
        assert one.estimate.mean >= -1e-12
        excludes_zero = one.estimate.low > 1e-12 or one.estimate.high < -1e-12
        if abs(one.estimate.low) > 1e-9:  # not decided by rounding
            assert excludes_zero == one.is_beyond_chance


@given(scores_of_videos, st.integers(-500, 500))
def test_what_is_the_same_for_all_trackers_of_a_video_does_not_matter(rows: list[list[float]], shift: int) -> None:
    scores = pd.DataFrame(rows, columns=["a", "b", "c"])
    shifts = np.linspace(0, shift / 100, len(scores))  # hard and easy videos
    moved = scores.add(shifts, axis=0)
    before, after = ({frozenset((one.a, one.b)): one for one in paired_differences(x)} for x in (scores, moved))
    for pair, one in before.items():
        assert abs(one.estimate.mean) == pytest.approx(abs(after[pair].estimate.mean), abs=1e-9)
        assert one.estimate.standard_error == pytest.approx(after[pair].estimate.standard_error, abs=1e-9)


def test_a_clear_difference_is_a_recommendation_with_its_interval() -> None:
    scores = drawn(12, 0.1, 0.01)
    sentence = recommendation(scores, "J&F")
    one = paired_differences(scores)[0].estimate
    assert sentence.startswith("Use better: its J&F")
    assert f"{one.mean:.3f} (95 % interval {one.low:.3f} to {one.high:.3f}) above the next, plain" in sentence


def test_what_may_be_chance_is_no_recommendation() -> None:
    assert recommendation(drawn(6, 0.005, 0.05), "J&F").startswith("No difference beyond chance between ")
    same = table(a=[0.5, 0.6], b=[0.5, 0.6])
    assert "between a and b in J&F over 2 videos" in recommendation(same, "J&F")


def test_only_those_that_cannot_be_told_from_the_best_are_named_beside_it() -> None:
    scores = drawn(12, 0.002, 0.02).assign(worst=lambda one: one["plain"] - 0.2)
    sentence = recommendation(scores, "J&F")
    assert sentence.startswith("No difference beyond chance between ")
    assert "worst" not in sentence


def test_one_video_tells_nothing() -> None:
    sentence = recommendation(table(a=[0.9], b=[0.1]), "J&F")
    assert sentence == "One video cannot tell a difference from chance: compare on more (a has the highest J&F on it)."


@pytest.mark.parametrize(("differences", "p_value"), [([0.0, 0.0], 1.0), ([0.1, 0.1], 0.0)])
def test_differences_without_spread_are_certain_or_none(differences: list[float], p_value: float) -> None:
    base = [0.25, 0.5]  # exact in binary
    scores = table(b=base, a=[x + y for x, y in zip(base, [d and 0.125 for d in differences], strict=True)])
    assert paired_differences(scores)[0].p_value == p_value


def test_tables_have_a_row_per_tracker_and_a_row_per_pair() -> None:
    scores = table(a=[0.1, 0.2], b=[0.5, 0.6], c=[0.3, 0.3])
    assert by_mean(scores) == ["b", "c", "a"]
    assert summary_table(scores)["variant"].tolist() == ["b", "c", "a"]
    pairs = differences_table(scores)
    assert list(zip(pairs["a"], pairs["b"], strict=True)) == [("b", "c"), ("b", "a"), ("c", "a")]
    assert pairs["mean"].tolist() == pytest.approx([0.25, 0.4, 0.15])
    assert (pairs["num_videos"] == 2).all()


def test_agreement_is_the_mean_over_the_tracks_of_each_video_and_over_the_others() -> None:
    rows = [
        ("v", "a", "b", 1.0), ("v", "a", "b", 0.5), ("v", "a", "c", 0.25), ("v", "b", "c", 0.5), ("w", "a", "b", 0.0),
        ("w", "a", "c", 0.5), ("w", "b", "c", 1.0),
    ]  # fmt: skip
    tracks = pd.DataFrame(rows, columns=["video_id", "a", "b", "mean_iou"])
    agreement = agreement_with_others(tracks, ["a", "b", "c"])
    assert agreement.index.tolist() == ["v", "w"]
    assert agreement.to_numpy() == pytest.approx(np.array([[1.75 / 3, 2 / 3, 0.375], [0.25, 0.5, 0.75]]))
    assert agreement_table(tracks)["mean"].tolist() == pytest.approx([0.375, 0.375, 0.75])
    sentence = recommendation_without_truth(agreement)
    assert sentence.startswith("Without ground truth none can be recommended")
    assert "; a agrees least with the others;" in sentence
