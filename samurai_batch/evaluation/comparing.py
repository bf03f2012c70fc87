"""Which of several trackers is best on these videos, and how sure that is. Pure functions of tables of scores.

The unit is the video: frames and objects of one video are not independent. All trackers ran on the same videos, so
differences are paired: of each video, the score of one minus that of the other. Means have Student's t intervals over
videos. With k trackers there are k (k − 1) / 2 pairs, and the best is chosen after seeing all: p values are multiplied
by the number of pairs, and the intervals of differences widened for it (Bonferroni), so that an interval of 95 %
excludes 0 exactly where p < 0.05. The t distribution assumes that means of differences are about normal; with few
videos that cannot be checked, and intervals are wide.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
MIN_VIDEOS = 2  # one video has no spread


@dataclass(frozen=True)
class Estimate:
    """A mean over videos, its standard error and its interval; NaN where there are too few videos for them."""

    mean: float
    standard_error: float
    low: float
    high: float
    num_videos: int


@dataclass(frozen=True)
class Difference:
    """How much higher ``a`` scores than ``b`` on the same videos; ``p_value`` is adjusted for the number of pairs."""

    a: str
    b: str
    estimate: Estimate
    p_value: float

    @property
    def is_beyond_chance(self) -> bool:
        """Whether a difference as large would be rare between equal trackers. False with too few videos."""
        return bool(self.p_value < 1 - CONFIDENCE)


def estimate(values: NDArray[np.float64], num_intervals: int = 1) -> Estimate:
    """The mean of (videos,) scores, with an interval that holds together with ``num_intervals`` − 1 others."""
    count = len(values)
    mean = float(np.mean(values)) if count else float("nan")
    if count < MIN_VIDEOS:
        return Estimate(mean, float("nan"), float("nan"), float("nan"), count)
    error = float(np.std(values, ddof=1) / np.sqrt(count))
    reach = error * float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / num_intervals, count - 1))
    return Estimate(mean, error, mean - reach, mean + reach, count)


def paired_differences(scores: pd.DataFrame) -> list[Difference]:
    """Of every pair of trackers the difference, from ``scores`` with a row per video and a column per tracker.

    The tracker with the higher mean is ``a``.
    """
    pairs = list(combinations(by_mean(scores), 2))
    found = []
    for a, b in pairs:
        values = (scores[a] - scores[b]).to_numpy(np.float64)
        one = estimate(values, len(pairs))
        found.append(Difference(a, b, one, min(1.0, _p_value(one) * len(pairs))))
    return found


def _p_value(one: Estimate) -> float:
    """Of a two-sided t test for a mean of 0."""
    if one.num_videos < MIN_VIDEOS:
        return 1.0
    if one.standard_error == 0:
        return float(one.mean == 0)
    return float(2 * stats.t.sf(abs(one.mean) / one.standard_error, one.num_videos - 1))


def by_mean(scores: pd.DataFrame) -> list[str]:
    """The trackers, the highest mean first; of equals the first column."""
    means = scores.mean().to_numpy(np.float64)
    return [str(scores.columns[index]) for index in np.argsort(-means, kind="stable")]


def recommendation(scores: pd.DataFrame, score: str) -> str:
    """One sentence: which tracker to use by ``score``, or that the videos do not tell."""
    best, *others = by_mean(scores)
    num_videos, mean = len(scores), float(scores[best].mean())
    if num_videos < MIN_VIDEOS:
        return (
            f"One video cannot tell a difference from chance: compare on more ({best} has the highest {score} on it)."
        )
    ties = {found.b: found for found in paired_differences(scores) if found.a == best}
    unsure = [name for name in others if not ties[name].is_beyond_chance]
    if not unsure:
        return (
            f"Use {best}: its {score}, {mean:.3f} over {num_videos} videos, is higher than that of every other beyond "
            f"chance, and {_interval(ties[others[0]].estimate)} above the next, {others[0]}."
        )
    return (
        f"No difference beyond chance between {_listed([best, *unsure])} in {score} over {num_videos} videos: {best} "
        f"has the highest mean, {mean:.3f}, which is {_interval(ties[unsure[0]].estimate)} above {unsure[0]}; "
        f"use the fastest of them, or compare on more videos."
    )


def recommendation_without_truth(agreement: pd.DataFrame) -> str:
    """One sentence about trackers whose masks were compared with each other alone: `agreement_with_others`."""
    least = by_mean(agreement)[-1]
    pairs = estimate(agreement.to_numpy(np.float64).mean(axis=1))
    spread = f" (95 % interval {pairs.low:.3f} to {pairs.high:.3f})" if pairs.num_videos >= MIN_VIDEOS else ""
    odd_one = f"; {least} agrees least with the others" if agreement.shape[1] > MIN_VIDEOS else ""
    return (
        f"Without ground truth none can be recommended: the masks agree by a mean IoU of {pairs.mean:.3f}{spread} over "
        f"{pairs.num_videos} video(s){odd_one}; see the frames that differ most, and compare with truth on such videos."
    )


def agreement_with_others(pairs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """From rows ``video_id, a, b, mean_iou``, one per track and pair: a row per video and a column per tracker.

    A cell is the mean IoU of the tracker's masks with those of all others, over the tracks of the video.
    """
    columns = {
        name: pairs[(pairs["a"] == name) | (pairs["b"] == name)].groupby("video_id", sort=True)["mean_iou"].mean()
        for name in names
    }
    return pd.DataFrame(columns, columns=names)


def summary_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per tracker, the highest mean first: its mean over videos, the standard error and the interval."""
    return pd.DataFrame(
        [{"variant": name, **vars(estimate(scores[name].to_numpy(np.float64)))} for name in by_mean(scores)]
    )


def differences_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per pair of trackers: the mean of ``a`` less ``b`` over videos, its interval, and the adjusted p value."""
    return pd.DataFrame(
        [{"a": one.a, "b": one.b, **vars(one.estimate), "p_value": one.p_value} for one in paired_differences(scores)]
    )


def agreement_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row per pair of trackers: the mean IoU of their masks over videos, from rows as `agreement_with_others` has."""
    by_pair = pairs.groupby(["a", "b"], sort=False)
    return pd.DataFrame(
        [
            {"a": a, "b": b, **vars(estimate(rows.groupby("video_id")["mean_iou"].mean().to_numpy(np.float64)))}
            for (a, b), rows in by_pair
        ]
    )


def _interval(one: Estimate) -> str:
    return f"{one.mean:.3f} (95 % interval {one.low:.3f} to {one.high:.3f})"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
