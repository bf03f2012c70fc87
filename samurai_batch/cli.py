"""The command line: thin verbs over the package. The only module that prints.

Exit codes: 0 all done; 2 bad usage or configuration; 3 finished, but some tracks failed; 1 anything else.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from samurai_batch.errors import ConfigError, OutputLockedError, PromptsError, SamuraiBatchError, UsageError
from samurai_batch.tasks import Direction

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig
    from samurai_batch.runtime.summary import TrackProblem
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
def plan(
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
    """Say what `run` would do. Needs no GPU, weights or Ray, and writes nothing."""
    from samurai_batch.runtime.dry_run import plan_job

    options = {"prompts": prompts, "output": output, "model": model, "weights": weights, "image_size": image_size}
    out.print(plan_job(load_job_of(job, options | {"mode": mode, "replicas": replicas}, fields)).describe())


@app.command()
def status(
    output: Annotated[str, typer.Argument(help="The output folder of a job; a path or URI.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say how far an output is, and what failed and why, from its ledger alone."""
    from samurai_batch import storage
    from samurai_batch.runtime.status import read_status

    found = read_status(storage, output)
    if as_json:
        out.print_json(json.dumps(asdict(found)))
        return
    counts = ", ".join(f"{count} {name}" for name, count in found.num_tracks.items())
    out.print(f"{sum(found.num_tracks.values())} tracks of {found.num_videos} videos: {counts}; {found.num_rows} rows")
    if (newest := found.newest_run) is not None:
        out.print(f"newest run {newest.run_id}: {newest.status}, last sign of life {_ago(newest.heartbeat_at_s)}")
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
    from samurai_batch.runtime.progress import open_watch
    from samurai_batch.runtime.summary import exit_code

    summary = run_job(config, tracks=tracks, watch=open_watch(err))
    totals = summary.totals
    done = f"{totals.tracks_done} of {totals.tracks} tracks done"
    skipped = f" ({totals.tracks_skipped} before this run)" if totals.tracks_skipped else ""
    out.print(f"{done}{skipped}, {totals.rows} rows written, {totals.seconds:.1f} s")
    out.print(f"tables: {storage_join(summary.output)}")
    _print_problems(summary.problems)
    raise typer.Exit(exit_code(summary))


def storage_join(output: str) -> str:
    """Where the mask tables of an output lie."""
    from samurai_batch import storage

    return storage.redact(storage.join(output, "masks"))


def _print_problems(problems: "Sequence[TrackProblem]") -> None:
    for problem in problems:
        out.print(f"{problem.status}: {problem.video_id} / {problem.object_id}: {problem.error}")


def _ago(moment_s: float) -> str:
    return f"{max(0.0, time.time() - moment_s):.0f} s ago"


def main() -> None:
    """Run the command line; errors become one clear line and an exit code, never a traceback."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        app()
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
