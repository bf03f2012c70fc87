"""The command that compares trackers on one dataset."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from samurai_batch.cli.job_options import takes_options
from samurai_batch.cli.printing import err, out, print_problems, progress_sink
from samurai_batch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from samurai_batch.job import JobConfig
    from samurai_batch.operations.compare import Comparison, GroundTruth
    from samurai_batch.runtime.progress import ProgressSink

app = typer.Typer()

NUM_SHOWN = 10  # tracks that differ most

JobFile = Annotated[str | None, typer.Argument(help="Job file in YAML, which may have a list `variants`.")]
Modes = Annotated[list[str] | None, typer.Option("--mode", metavar="NAME", help="Tracker to compare; may be repeated.")]
Rescues = Annotated[
    list[str] | None, typer.Option("--rescue", metavar="NAME", help="Rescue to compare, or none; may be repeated.")
]
Models = Annotated[list[str] | None, typer.Option("--model", metavar="NAME", help="Model to compare; may be repeated.")]
AllWeights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="FILE", help="Weights of each --model, in their order, or one for all."),
]
DatasetName = Annotated[str | None, typer.Option("--dataset", help="Benchmark with ground truth, such as davis16.")]
Root = Annotated[str | None, typer.Option(help="Folder of the benchmark, as its authors distribute it.")]
Sequences = Annotated[
    list[str] | None, typer.Option("--sequence", metavar="NAME", help="Only this sequence; may be repeated.")
]
Kind = Annotated[str, typer.Option(help="Kind of prompts made of the benchmark: box or mask.")]


@app.command()
@takes_options("prompts", "output", "image_size", "replicas")
def compare(
    options: dict[str, str],
    job: JobFile = None,
    modes: Modes = None,
    rescues: Rescues = None,
    models: Models = None,
    weights: AllWeights = None,
    dataset: DatasetName = None,
    root: Root = None,
    sequences: Sequences = None,
    kind: Kind = "box",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also retry what failed for its input.")] = False,
) -> None:
    """Run a dataset with several trackers or models: which is best?

    The last line printed is the recommendation and how sure it is.
    Every --mode runs with every --rescue and every --model, each as a job in OUTPUT/<name>; the same command again
    resumes. Instead, a job file may have a list of variants, each of fields of a job:

    variants: [{mode: samurai}, {mode: sam2}, {name: strict, tracker: {memory_bank_iou_threshold: 0.7}}]

    With --dataset and --root, scores are compared with the benchmark's ground truth, video by video; its first frames
    are the prompts unless --prompts is given. Without them, masks are compared with each other: how much trackers
    agree, and on which frames they differ most. Tables (CSV and Parquet) and a plot are written to OUTPUT.

    Intervals are Student's t over videos, of paired differences, corrected for the number of pairs (Bonferroni).

    With and without a rescue: --mode dam4sam --rescue none --rescue sentry.

    Example: samurai-batch compare --mode samurai --mode sam2 --dataset davis16 --root DAVIS -o out/
    """
    from samurai_batch.job.variants import load_variants
    from samurai_batch.operations.compare import PROMPTS, compare

    truth = _truth(dataset, root, sequences, kind)
    jobs = load_variants(
        job,
        options,
        modes=modes or (),
        models=models or (),
        weights=weights or (),
        rescues=rescues or (),
        default_prompts=PROMPTS if truth else None,
    )
    output = _parent_of(jobs)
    found = compare(jobs, output, truth, retry_failed=retry_failed, make_sink=_sink)
    _print(found, output)
    if any(found.problems.values()):
        raise typer.Exit(3)


def _truth(dataset: str | None, root: str | None, sequences: list[str] | None, kind: str) -> "GroundTruth | None":
    from samurai_batch.evaluation.datasets import dataset_named
    from samurai_batch.operations.compare import GroundTruth

    if kind not in ("box", "mask"):
        raise ConfigError(f"--kind {kind}: it should be box or mask")
    if (dataset is None) != (root is None):
        raise ConfigError("--dataset and --root go together; give both, or neither to compare without ground truth")
    if dataset is None or root is None:
        if sequences:
            raise ConfigError("--sequence selects videos of a benchmark; give --dataset and --root as well")
        return None
    dataset_named(dataset)
    chosen = None if sequences is None else tuple(sequences)
    return GroundTruth(dataset=dataset, root=root, sequences=chosen, kind="mask" if kind == "mask" else "box")


def _parent_of(jobs: "dict[str, JobConfig]") -> str:
    """The output of the comparison, in which every variant has a folder of its name."""
    name, job = next(iter(jobs.items()))
    return job.output.removesuffix(f"/{name}")


def _sink(name: str, job: "JobConfig") -> "ProgressSink":
    rescue = "" if job.rescue == "none" else f", rescue {job.rescue}"
    err.print(f"variant {name}: model {job.model}, mode {job.mode}{rescue}")
    return progress_sink(job)


def _print(found: "Comparison", output: str) -> None:
    from samurai_batch import storage

    for name, problems in found.problems.items():
        if problems:
            out.print(f"variant {name}:")
            print_problems(problems)
    if found.left_out:
        out.print(f"left out, because a track of them failed: {', '.join(found.left_out)}")
    table = Table("variant", found.score, "s.e.", "95 % interval", "ms per frame", box=None)
    for row in found.summary.to_dict("records"):
        table.add_row(str(row["variant"]), *_numbers(row), f"{row['ms_per_track_frame']:.1f}")
    out.print(table)
    for row in found.summary.to_dict("records"):
        if row["rescue"] != "none":
            shares = f"tested other masks on {row['tested']:.1%} of all frames, and replaced {row['rescued']:.1%}"
            out.print(f"{row['variant']}: rescue {row['rescue']} {shares}")
    is_paired = "p_value" in found.pairs.columns
    pairs = Table("pair", "difference" if is_paired else "mean IoU", "s.e.", "95 % interval", "p" * is_paired, box=None)
    for row in found.pairs.to_dict("records"):
        name = f"{row['a']} {'less' if is_paired else 'and'} {row['b']}"
        pairs.add_row(name, *_numbers(row), f"{row['p_value']:.3f}" if is_paired else "")
    out.print(pairs)
    out.print(f"{found.num_videos} video(s); ms: time of a replica for one frame of one track, encoding included")
    for row in found.disagreements.head(NUM_SHOWN).to_dict("records"):
        track = f"{row['video_id']} / {row['object_id']}"
        if row["num_differing"]:
            where = f"least {row['worst_iou']:.3f} on frame {row['worst_frame']:.0f}"
            out.print(f"{track}: {row['a']} and {row['b']} agree by mean IoU {row['mean_iou']:.3f}, {where}")
    out.print(found.recommendation)
    out.print(f"tables and plot: {storage.redact_uri(storage.join(output, 'comparison'))}.csv, .parquet and .svg")


def _numbers(row: "dict[Hashable, Any]") -> tuple[str, str, str]:
    """Mean, standard error and interval as text."""
    return f"{row['mean']:.3f}", f"{row['standard_error']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"
