"""The command line: thin verbs over the package. The only module that prints.

Exit codes: 0 all done; 2 bad usage or configuration; 3 finished, but some tracks failed; 1 anything else.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from samurai_batch import cli_results
from samurai_batch.errors import ConfigError, OutputLockedError, PromptsError, SamuraiBatchError, UsageError
from samurai_batch.tasks import Direction

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig
    from samurai_batch.runtime.progress import Watch
    from samurai_batch.runtime.summary import RunSummary, TrackProblem
    from samurai_batch.tasks import Track

MAX_PROBLEMS_SHOWN = 50

app = typer.Typer(
    name="samurai-batch",
    help="Follow objects through whole video archives: SAMURAI on Ray, Parquet mask tables out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_results.app)
out, err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)

JobFile = Annotated[str | None, typer.Argument(help="A job in YAML, a path or URI; options override its fields.")]
Prompts = Annotated[str | None, typer.Option(help="Prompts table: Parquet, CSV or JSON Lines; a path or URI.")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Output folder; a path or URI (s3://…).")]
Model = Annotated[str | None, typer.Option(help="A model's name; `samurai-batch models` lists them.")]
WeightsFrom = Annotated[str | None, typer.Option("--weights", help="Weights: a path, a URI, or untrained:<seed>.")]
ImageSize = Annotated[str | None, typer.Option(metavar="PIXELS", help="Side of the model's image, a multiple of 32.")]
Mode = Annotated[str | None, typer.Option(help="samurai, or sam2 for no motion model.")]
Replicas = Annotated[str | None, typer.Option(metavar="N", help="Copies of the model; default: as many as fit.")]
Fields = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the job.")]


@app.command()
def track(
    video: Annotated[str, typer.Argument(help="A video file or a folder of numbered frames; a path or any URI.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Output folder; a path or any URI.")],
    box: Annotated[list[str] | None, typer.Option(help="x1,y1,x2,y2 in pixels; one object each; repeatable.")] = None,
    point: Annotated[list[str] | None, typer.Option(help="x,y on the object; repeatable.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="x,y beside the object; repeatable.")] = None,
    mask: Annotated[list[str] | None, typer.Option(help="A PNG, nonzero on the object; repeatable.")] = None,
    frame: Annotated[int, typer.Option(help="The frame the prompts are on.")] = 0,
    start_frame: Annotated[int | None, typer.Option(help="First frame to follow, included.")] = None,
    end_frame: Annotated[int | None, typer.Option(help="Last frame to follow, included.")] = None,
    direction: Annotated[Direction, typer.Option(help="From the prompted frame.")] = "forward",
    model: Model = None,
    weights: WeightsFrom = None,
    image_size: ImageSize = None,
    mode: Mode = None,
    fields: Fields = None,
) -> None:
    """Follow the objects of one video in this process, without a cluster.

    Example: samurai-batch track clip.mp4 --box 10,20,200,300 -o out/
    """
    from samurai_batch.manifest import prompts_from_flags

    tracks = prompts_from_flags(
        video,
        boxes=box or (),
        points=point or (),
        negatives=negative or (),
        masks=mask or (),
        frame=frame,
        start_frame=start_frame,
        end_frame=end_frame,
        direction=direction,
    )
    options = {"output": output, "model": model, "weights": weights, "image_size": image_size, "mode": mode}
    fixed = {"prompts": video, "pool": "local", "replicas": "1"}
    _run(load_job_of(None, options | fixed, fields), tracks)


@app.command()
def run(
    job: JobFile = None,
    prompts: Prompts = None,
    output: Output = None,
    model: Model = None,
    weights: WeightsFrom = None,
    image_size: ImageSize = None,
    mode: Mode = None,
    replicas: Replicas = None,
    fields: Fields = None,
) -> None:
    """Follow every track of a prompts table on Ray. The same command again resumes, or does nothing.

    Example: samurai-batch run --prompts prompts.csv -o s3://bucket/out --replicas 8
    """
    options = {"prompts": prompts, "output": output, "model": model, "weights": weights, "image_size": image_size}
    _run(load_job_of(job, options | {"mode": mode, "replicas": replicas}, fields))


@app.command()
def segment(
    pictures: Annotated[
        str, typer.Argument(help="A folder of pictures, or a table of prompts on them; a path or URI.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Output folder; a path or any URI.")],
    model: Model = None,
    weights: WeightsFrom = None,
    image_size: ImageSize = None,
    replicas: Replicas = None,
    fields: Fields = None,
) -> None:
    """Segment pictures: everything in those of a folder, or what the prompts of a table ask for (video_uri: a picture).

    A picture is a video of one frame; its file name is the video_id. The same command again does only what is new.

    Example: samurai-batch segment photos/ -o masks/ --set everything.points_per_side=16
    """
    from samurai_batch.manifest import read_prompts, tracks_of_pictures
    from samurai_batch.manifest.files import is_table

    options = {"output": output, "model": model, "weights": weights, "image_size": image_size, "replicas": replicas}
    config = load_job_of(None, options | {"prompts": pictures}, fields)
    _run(config, read_prompts(pictures) if is_table(pictures) else tracks_of_pictures(pictures))


@app.command()
def plan(
    job: JobFile = None,
    prompts: Prompts = None,
    output: Output = None,
    model: Model = None,
    weights: WeightsFrom = None,
    image_size: ImageSize = None,
    mode: Mode = None,
    replicas: Replicas = None,
    price: Annotated[float | None, typer.Option(help="Of one replica's machine for an hour, in any currency.")] = None,
    rates_from: Annotated[str | None, typer.Option(help="An output whose newest run was a pilot.")] = None,
    fields: Fields = None,
) -> None:
    """Say what `run` would do. Needs no GPU, weights or Ray, and writes nothing."""
    from samurai_batch.operations.sizing import expect, measured_rates
    from samurai_batch.runtime.dry_run import plan_job

    options = {"prompts": prompts, "output": output, "model": model, "weights": weights, "image_size": image_size}
    config = load_job_of(job, options | {"mode": mode, "replicas": replicas}, fields)
    found = plan_job(config)
    out.print(found.describe())
    if (measured := measured_rates(rates_from or found.output)) is not None:
        rates, run_id = measured
        out.print(
            expect(found.shards, rates, config.replicas or 1, price).describe() + f", by the rates of run {run_id}"
        )
    elif found.shards:
        out.print("no time is expected: nothing was measured here; run a pilot, then add --rates-from <its output>")


@app.command()
def status(
    output: Annotated[str, typer.Argument(help="The output folder of a job; a path or URI.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --watch one line each time.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every few seconds, until the run has ended.")] = False,
    every_s: Annotated[float, typer.Option("--every", help="Seconds between two looks.")] = 5.0,
) -> None:
    """Say how far an output is, and what failed and why, from its ledger alone."""
    from samurai_batch import storage
    from samurai_batch.operations.watching import describe_status, has_ended
    from samurai_batch.runtime.status import read_status

    while True:
        found, now_s = read_status(storage, output), time.time()
        if as_json:
            out.print_json(json.dumps(asdict(found)), indent=None if watch else 2)
        else:
            out.print(describe_status(found, now_s))
        if not watch or has_ended(found, now_s):
            break
        time.sleep(every_s)
    if not as_json:
        _print_problems(found.problems)


@app.command()
def models() -> None:
    """List the models: what ships with the package, and what is loaded from a released file."""
    from samurai_batch.modeling.checkpoints import SHIPPED, parameter_shapes
    from samurai_batch.modeling.configs import MODELS

    table = Table("model", "parameters", "image size", "weights")
    for name, config in MODELS.items():
        millions = sum(shape.numel() for shape in parameter_shapes(config).values()) / 1e6
        has_weights = (SHIPPED / f"{name}.safetensors").exists()
        table.add_row(
            name,
            f"{millions:.1f} M",
            str(config.image_size),
            "ship with the package" if has_weights else f"--weights {name}.pt",
        )
    out.print(table)


@app.command()
def demo(
    output: Annotated[str, typer.Option("--output", "-o", help="A local folder for the example.")] = "demo",
    replicas: Annotated[int, typer.Option(help="Ray replicas to run it on.")] = 2,
) -> None:
    """Make an example video with two look-alikes that cross, follow both on Ray, and show the result."""
    from samurai_batch.demo import run_demo

    run_demo(Path(output), replicas, out)


def load_job_of(path: str | None, options: Mapping[str, str | None], fields: Sequence[str] | None) -> "JobConfig":
    """The job of a YAML file, of options, and of ``--set field=value``. Raises ConfigError."""
    from samurai_batch.job import load_job

    overrides = {name: value for name, value in options.items() if value is not None}
    for text in fields or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: write field=value, such as --set chunk_frames=500")
        overrides[name.strip()] = value.strip()
    return load_job(path, overrides)


def _run(config: "JobConfig", tracks: "Sequence[Track] | None" = None) -> None:
    from samurai_batch.runtime.driver import run_job

    summary = run_job(config, tracks=tracks, watch=_watch(config))
    _report(summary)


def _report(summary: "RunSummary") -> None:
    from samurai_batch.runtime.summary import exit_code

    totals = summary.totals
    done = f"{totals.tracks_done} of {totals.tracks} tracks done"
    skipped = f" ({totals.tracks_skipped} before this run)" if totals.tracks_skipped else ""
    out.print(f"{done}{skipped}, {totals.rows} rows written, {totals.seconds:.1f} s")
    out.print(f"tables: {storage_join(summary.output)}")
    _print_problems(summary.problems)
    raise typer.Exit(exit_code(summary))


def _watch(config: "JobConfig") -> "Watch":
    """What people see, and on Ray its metrics as well."""
    from samurai_batch import storage
    from samurai_batch.runtime.progress import open_watch

    if config.pool == "local":
        return open_watch(err)
    from samurai_batch.operations.ray_metrics import MetricsWatch

    return MetricsWatch(open_watch(err), storage.redact(config.output))


def storage_join(output: str) -> str:
    """Where the mask tables of an output lie."""
    from samurai_batch import storage

    return storage.redact(storage.join(output, "masks"))


def _print_problems(problems: "Sequence[TrackProblem]") -> None:
    for problem in problems:
        out.print(f"{problem.status}: {problem.video_id} / {problem.object_id}: {problem.error}")


@app.command()
def submit(
    job: Annotated[str, typer.Argument(help="A job in YAML, a path or URI.")],
    address: Annotated[str, typer.Option(help="Ray's job API, such as http://head:8265.")],
    reprocess: Annotated[bool, typer.Option("--reprocess", help="Submit `reprocess` instead of `run`.")] = False,
    code: Annotated[Path | None, typer.Option(help="The package's folder or wheel, where no image has it.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay to the end; the exit code is the ledger's.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="As --wait, and show the job's log.")] = False,
    fields: Fields = None,
) -> None:
    """Start a job on a Ray cluster through its job API; ctrl-C leaves it running.

    Example: samurai-batch submit job.yaml --address http://head:8265 --wait
    """
    from samurai_batch.operations.job_api import JobApi
    from samurai_batch.operations.submit import submit_job, wait_for

    api = JobApi(address)
    submitted = submit_job(api, load_job_of(job, {}, fields), "reprocess" if reprocess else "run", code=code)
    out.print(f"submitted {submitted.job_id}")
    if wait or follow:
        log: list[str] = []
        code_of_ledger = wait_for(api, submitted, (lambda text: out.out(text, end="")) if follow else log.append)
        if code_of_ledger not in (0, 3):
            out.out("".join(log)[-3000:])
        out.print(f"ended with {code_of_ledger}")
        raise typer.Exit(code_of_ledger)


@app.command()
def reprocess(
    job: Annotated[str, typer.Argument(help="A job in YAML, a path or URI; its prompts may be a pattern.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and why, and write nothing.")] = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only what failed before.")] = False,
    since: Annotated[str | None, typer.Option(help="Only videos written since this date or time (UTC).")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove tracks that the source no longer asks for.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep replaced tables, for `diff`.")] = True,
    fields: Fields = None,
) -> None:
    """Compute what is new, stale or failed, and nothing else; to be run every night."""
    from samurai_batch.operations.reprocess import Choice, parse_moment, plan_night
    from samurai_batch.operations.reprocess import reprocess as run_night

    since_s = None if since is None else parse_moment(since)
    choice = Choice(only_failed=only_failed, since_s=since_s, prune=prune, keep_superseded=keep)
    config = load_job_of(job, {}, fields)
    if dry_run:
        out.print(plan_night(config, choice).describe())
        return
    night = run_night(config, choice, watch=_watch(config))
    out.print(night.plan.describe())
    _report(night.summary)


@app.command()
def history(output: Annotated[str, typer.Argument(help="The output folder of a job; a path or URI.")]) -> None:
    """List all runs of an output, and what each changed."""
    from samurai_batch.operations.history import read_history

    for run in read_history(output):
        started = datetime.fromtimestamp(run.record.started_at_s, UTC)
        out.print(f"{run.record.run_id}  {started:%Y-%m-%d %H:%M:%S}  {run.record.status}")
        for change in run.changes or ():
            out.print(f"  {change.video_id} / {change.object_id}: {change.reason}: {change.status}")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="An output folder, or <output>@<run_id>.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare two results track by track, the least alike first: mean IoU, frames that differ, worst frame."""
    from samurai_batch.operations.diff import diff_results

    found = diff_results(a, b)
    if as_json:
        out.print_json(json.dumps(asdict(found)))
        return
    for one in found.tracks:
        worst = "" if one.worst_frame is None else f", worst frame {one.worst_frame} (IoU {one.worst_iou:.3f})"
        differ = f"{one.num_differing} of {one.num_frames} frames differ{worst}"
        out.print(f"{one.video_id} / {one.object_id}: mean IoU {one.mean_iou:.4f}, {differ}")
    for name, alone in (("first", found.only_a), ("second", found.only_b)):
        for video_id, object_id in alone:
            out.print(f"{video_id} / {object_id}: only in the {name}")


def main() -> None:
    """Run the command line; errors become one clear line and an exit code, never a traceback."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        app(prog_name="samurai-batch")
    except PromptsError as error:
        err.print(f"error: {error.source}: {len(error.problems)} problem(s)")
        for problem in error.problems[:MAX_PROBLEMS_SHOWN]:
            err.print(f"  {problem}")
        if len(error.problems) > MAX_PROBLEMS_SHOWN:
            err.print(f"  ... and {len(error.problems) - MAX_PROBLEMS_SHOWN} more")
        sys.exit(2)
    except (UsageError, OutputLockedError) as error:
        err.print(f"error: {error}")
        sys.exit(2)
    except SamuraiBatchError as error:
        err.print(f"error: {error}")
        sys.exit(1)
