"""Runs a job once per variant, such as once per mode, and compares the results.

With ground truth, the scores of a benchmark are compared video by video (`evaluation.comparing` has the statistics);
without it, the masks of the variants with each other (`operations.diff`). Each variant is a job of its own in
``<output>/<name>`` that resumes as any job does; what is computed from their tables is computed again each time.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from samurai_batch import storage
from samurai_batch.errors import ConfigError, SamuraiBatchError
from samurai_batch.evaluation import evaluate, read_sequences, write_dataset_prompts
from samurai_batch.evaluation.comparing import (
    agreement_table,
    agreement_with_others,
    differences_table,
    recommendation,
    recommendation_without_truth,
    summary_table,
)
from samurai_batch.evaluation.datasets import PromptKind
from samurai_batch.job import JobConfig
from samurai_batch.ledger.schema import TrackProblem
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import list_runs, read_run
from samurai_batch.operations.diff import diff_results
from samurai_batch.plotting import Interval, interval_plot
from samurai_batch.runtime.progress import ProgressSink
from samurai_batch.runtime.run import run_job
from samurai_batch.stats import NETWORK_STAGES, WorkStats

PROMPTS = "prompts.parquet"  # made of a benchmark, in the output of a comparison
SCORES = ("J&F", "HOTA", "average_overlap", "success_auc")  # the first of them that a benchmark has is compared
BY_SUCCESS = ("lasot", "lasot-ext", "trackingnet", "otb", "nfs")  # benchmarks whose first score is success_auc
AGREEMENT = "agreement"


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """A benchmark in a folder; ``sequences`` selects some of its videos."""

    dataset: str
    root: str
    sequences: tuple[str, ...] | None = None
    kind: PromptKind = "box"


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Variants of a job, compared by ``score`` (`AGREEMENT` without ground truth).

    ``summary`` has a row per variant, the best first; ``videos`` one per video and variant, with all scores;
    ``pairs`` one per pair of variants: the paired difference of their scores, or without ground truth the agreement of
    their masks; ``disagreements`` one per track and pair, the least alike first (without ground truth only).
    ``left_out`` are videos with a track that failed in some variant: they do not count.
    """

    score: str
    summary: pd.DataFrame
    videos: pd.DataFrame
    pairs: pd.DataFrame
    disagreements: pd.DataFrame
    recommendation: str
    plot: str
    left_out: tuple[str, ...]
    problems: Mapping[str, tuple[TrackProblem, ...]]

    @property
    def num_videos(self) -> int:
        """Videos that count."""
        return int(self.summary["num_videos"].iloc[0])

    def write(self, folder: str) -> None:
        """Write the tables as CSV and Parquet, and the plot as SVG."""
        tables = {
            "comparison": self.summary,
            "videos": self.videos,
            "pairs": self.pairs,
            "disagreements": self.disagreements,
        }
        for name, table in tables.items():
            if len(table):
                parquet = io.BytesIO()
                table.to_parquet(parquet, index=False)
                storage.write_bytes(storage.join(folder, f"{name}.csv"), table.to_csv(index=False).encode())
                storage.write_bytes(storage.join(folder, f"{name}.parquet"), parquet.getvalue())
        storage.write_bytes(storage.join(folder, "comparison.svg"), self.plot.encode())


def compare(
    jobs: Mapping[str, JobConfig],
    output: str,
    truth: GroundTruth | None = None,
    *,
    retry_failed: bool = False,
    make_sink: Callable[[str, JobConfig], ProgressSink | None] = lambda name, job: None,
) -> Comparison:
    """Run the jobs, which `load_variants` makes, one after the other; compare their results, and write to ``output``.

    ``make_sink`` makes what shows the progress of a variant's job. Raises what `run_job` raises, SamuraiBatchError if a
    run was interrupted, and ConfigError if there is nothing to compare.
    """
    for name, job in jobs.items():
        if job.task != "track":
            raise ConfigError(f"task {job.task}: only jobs that track can be compared; leave task out")
        if truth is not None and job.prompts == storage.join(output, PROMPTS) and name == next(iter(jobs)):
            write_dataset_prompts(truth.dataset, truth.root, job.prompts, truth.kind, truth.sequences)
    problems = {name: _run(name, job, retry_failed, make_sink(name, job)).problems for name, job in jobs.items()}
    left_out = tuple(sorted({one.video_id for found in problems.values() for one in found}))
    outputs = {name: job.output for name, job in jobs.items()}
    found = _by_agreement(outputs, left_out) if truth is None else _by_truth(outputs, truth, left_out)
    summary = summary_table(found.scores).merge(_described(jobs), on="variant", validate="one_to_one")
    comparison = Comparison(
        score=found.score,
        summary=summary,
        videos=found.videos,
        pairs=found.pairs,
        disagreements=found.disagreements,
        recommendation=found.sentence,
        plot=_plot(summary, found),
        left_out=left_out,
        problems=problems,
    )
    comparison.write(output)
    return comparison


def _run(name: str, job: JobConfig, retry_failed: bool, sink: ProgressSink | None) -> RunSummary:
    summary = run_job(job, progress=sink, retry_failed=retry_failed)
    if summary.status != "finished":
        raise SamuraiBatchError(f"the run of variant {name} was {summary.status}; the same command continues it")
    return summary


@dataclass(frozen=True, eq=False)
class _Scores:
    """``scores`` has a row per video and a column per variant; ``videos`` all scores in rows."""

    score: str
    scores: pd.DataFrame
    videos: pd.DataFrame
    pairs: pd.DataFrame
    disagreements: pd.DataFrame
    sentence: str


def _by_truth(outputs: Mapping[str, str], truth: GroundTruth, left_out: Sequence[str]) -> _Scores:
    names = [one.name for one in read_sequences(truth.dataset, truth.root, truth.sequences)]
    kept = [name for name in names if name not in left_out]
    if not kept:
        raise ConfigError(f"{truth.root}: no video has all its tracks in every variant; see what failed, and run again")
    tables = []
    for name, uri in outputs.items():
        by_sequence = evaluate(uri, truth.dataset, truth.root, sequences=kept).sequences
        by_sequence.insert(0, "variant", name)
        tables.append(by_sequence)
    videos = pd.concat(tables, ignore_index=True)
    score = _main_score(truth.dataset, videos)
    scores = videos.pivot_table(index="video_id", columns="variant", values=score)[list(outputs)].dropna()
    if scores.empty:
        raise ConfigError(f"{truth.root}: no video has a frame that counts; the truth of this set may not be public")
    pairs = differences_table(scores)
    return _Scores(score, scores, videos, pairs, pd.DataFrame(), recommendation(scores, score))


def _main_score(dataset: str, videos: pd.DataFrame) -> str:
    wanted = ("success_auc",) if dataset in BY_SUCCESS else SCORES
    return next(score for score in wanted if score in videos.columns)


def _by_agreement(outputs: Mapping[str, str], left_out: Sequence[str]) -> _Scores:
    rows = [
        {"a": a, "b": b, **vars(track)}
        for a, b in combinations(outputs, 2)
        for track in diff_results(outputs[a], outputs[b]).tracks
        if track.video_id not in left_out
    ]
    if not rows:
        raise ConfigError("no video has all its tracks in every variant; see what failed, and run again")
    tracks = pd.DataFrame(rows)
    scores = agreement_with_others(tracks, list(outputs))
    long = scores.reset_index().melt("video_id", var_name="variant", value_name=AGREEMENT)
    order = ["mean_iou", "worst_iou", "video_id", "object_id"]
    disagreements = tracks.sort_values(order, kind="stable").reset_index(drop=True)
    sentence = recommendation_without_truth(scores)
    return _Scores(AGREEMENT, scores, long, agreement_table(tracks), disagreements, sentence)


def _described(jobs: Mapping[str, JobConfig]) -> pd.DataFrame:
    """A row per variant: what it is, the milliseconds of a replica for one frame of one track, and of these frames the
    shares on which its rescue has tested other masks, and has replaced the tracker's.
    """
    stats = {name: _stats(job.output) for name, job in jobs.items()}
    return pd.DataFrame(
        [
            {
                "variant": name,
                "model": job.model,
                "mode": job.mode,
                "rescue": job.rescue,
                "ms_per_track_frame": _per_frame(stats[name], 1e3 * _network_s(stats[name])),
                "tested": _per_frame(stats[name], stats[name].rescue_tests),
                "rescued": _per_frame(stats[name], stats[name].rescues),
            }
            for name, job in jobs.items()
        ]
    )


def _stats(output: str) -> WorkStats:
    """Of all runs that wrote to the output."""
    records = (read_run(storage, output, run_id) for run_id in list_runs(storage, output))
    return sum((record.totals.stats for record in records if record is not None), WorkStats())


def _network_s(stats: WorkStats) -> float:
    """Seconds of replicas in the network, encoding included."""
    return sum(stats.stage_s[stage] for stage in NETWORK_STAGES)


def _per_frame(stats: WorkStats, amount: float) -> float:
    """For one frame of one track; NaN if nothing was measured."""
    return amount / stats.track_frames if stats.track_frames else float("nan")


def _plot(summary: pd.DataFrame, found: _Scores) -> str:
    """Two panels: means over videos, and pairs of variants."""
    has_truth = found.score != AGREEMENT
    means = [
        Interval(str(row["variant"]), row["mean"], row["low"], row["high"], found.scores[row["variant"]].to_numpy())
        for row in summary.to_dict("records")
    ]
    pairs = [
        Interval(
            f"{row['a']} {'less' if has_truth else 'and'} {row['b']}",
            row["mean"],
            row["low"],
            row["high"],
            (found.scores[row["a"]] - found.scores[row["b"]]).to_numpy() if has_truth else np.empty(0),
        )
        for row in found.pairs.to_dict("records")
    ]
    title = f"{found.score if has_truth else 'Mean IoU with the masks of the others'}, {len(found.scores)} video(s)"
    below = "paired differences, corrected for the number of pairs" if has_truth else "pairs"
    return interval_plot(
        title, f"lines: 95 % intervals of means over videos (Student t); dots: videos; below: {below}", [means, pairs]
    )
