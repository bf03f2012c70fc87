"""The commands that run jobs (track, run, segment, demo), and those to prepare them (plan, models, fields)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from samurai_batch.cli.job_options import DATASET, TRACKING, RunId, load_job_of, takes_options
from samurai_batch.cli.printing import out, print_summary, progress_sink
from samurai_batch.tasks import Direction

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig
    from samurai_batch.tasks import Track

app = typer.Typer()

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Also retry what failed because of its input.")]
JobFile = Annotated[str | None, typer.Argument(help="Job file in YAML: path or URI. Options override its fields.")]


@app.command()
@takes_options("output", *TRACKING, "frame_step", "on_cut")
def track(
    video: Annotated[str, typer.Argument(help="Video file or folder of numbered frames: path or URI.")],
    options: dict[str, str],
    box: Annotated[
        list[str] | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Corners in pixels: one object; may be repeated.")
    ] = None,
    point: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="Point on the object; may be repeated.")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="Point beside the object; may be repeated.")
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option(metavar="PNG", help="PNG that is nonzero on the object; may be repeated.")
    ] = None,
    frame: Annotated[int, typer.Option(help="Frame of the prompts.")] = 0,
    start_frame: Annotated[int | None, typer.Option(help="First frame of the track. Default: of the video.")] = None,
    end_frame: Annotated[int | None, typer.Option(help="Last frame of the track. Default: of the video.")] = None,
    direction: Annotated[Direction, typer.Option(help="Direction from the prompted frame.")] = "forward",
) -> None:
    """Track objects through one video, in this process, without Ray.

    Tables, a ledger and failures are those of `run`, so status, report, render and export take OUTPUT, too. Objects
    are called 1, 2, …, boxes first.

    Example: samurai-batch track clip.mp4 --box 10,20,200,300 -o out/
    """
    from samurai_batch.manifest import check_video_is_there, prompts_from_flags

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
    config = load_job_of(None, {"prompts": video, "pool": "local", "replicas": "1"} | options)
    check_video_is_there(video)
    _run(config, tracks)


@app.command()
@takes_options(*DATASET)
def run(options: dict[str, str], job: JobFile = None, run_id: RunId = None, retry_failed: RetryFailed = False) -> None:
    """Track all objects of a prompts table on Ray. The same command again resumes.

    Tracks that failed because of their input (unreadable video, prompt outside the video) are not retried until the
    video or the prompt changes, or with --retry-failed. They count as failed: exit code 3.

    Example: samurai-batch run --prompts prompts.csv -o s3://bucket/out --replicas 8
    """
    _run(load_job_of(job, options), run_id=run_id, retry_failed=retry_failed)


@app.command()
@takes_options("output", "model", "weights", "image_size", "replicas")
def segment(
    pictures: Annotated[
        str, typer.Argument(help="Folder of pictures, .txt file with their URIs, or prompts table: path or URI.")
    ],
    options: dict[str, str],
    retry_failed: RetryFailed = False,
) -> None:
    """Segment pictures on Ray: everything in them, or given objects.

    For a folder or a list, SAM's everything mode runs on each picture, and its file name is the video_id. In a prompts
    table, video_uri is the picture and frame_index is 0. The same command again does only what is new. A picture that
    cannot be read counts as failed (exit code 3) and is not retried until it changes, or with --retry-failed.

    Example: samurai-batch segment photos/ -o masks/ --set everything.points_per_side=16
    """
    _run(load_job_of(None, {"task": "segment", "prompts": pictures} | options), retry_failed=retry_failed)


@app.command()
@takes_options(*DATASET)
def plan(
    options: dict[str, str],
    job: JobFile = None,
    price: Annotated[float | None, typer.Option(help="Price of one replica per hour, in any currency.")] = None,
    rates_from: Annotated[
        str | None, typer.Option(help="Output of a pilot run, whose measured rates are used.")
    ] = None,
) -> None:
    """Print what `run` would do, and how long it would take.

    Needs no GPU, weights or Ray, and writes nothing. Times come from the rates that the output, or that of a pilot run,
    has measured.

    Example: samurai-batch plan --prompts prompts.csv -o out --rates-from pilot --replicas 8 --price 1.20
    """
    from samurai_batch.runtime.dry_run import expect, measured_rates, plan_job

    config = load_job_of(job, options)
    found = plan_job(config)
    out.print(found.describe())
    if not found.shards:
        return
    if (measured := measured_rates(rates_from or found.output)) is not None:
        rates, run_id = measured
        out.print(
            expect(found.shards, rates, config.replicas or 1, price).describe() + f", by the rates of run {run_id}"
        )
    else:
        out.print("no estimate of the time: no rates were measured; run a pilot, then add --rates-from <its output>")


@app.command()
def models() -> None:
    """List the models, their weights, sources and licences.

    Models for videos also segment pictures. Weights that are not in the package are given with --weights.

    Example: samurai-batch models
    """
    from samurai_batch.modeling.checkpoints import parameter_shapes
    from samurai_batch.modeling.configs import MODELS, image_models
    from samurai_batch.modeling.releases import REPOSITORIES, release_of

    table = Table("model", "for", "parameters", "size", "weights", box=None, padding=(0, 1, 0, 0))
    for name, config in image_models().items():
        millions = sum(shape.numel() for shape in parameter_shapes(config).values()) / 1e6
        release = release_of(name)
        kind = "videos" if name in MODELS else "pictures"
        weights = release.file if release else "in the package"
        table.add_row(name, kind, f"{millions:.1f} M", str(config.image_size), weights)
    out.print(table, crop=False, no_wrap=True, width=100)
    for prefix, (repository, license_name) in REPOSITORIES.items():
        out.print(f"{prefix}…: github.com/{repository}, {license_name}")
    out.print("size: side of the model's input in pixels, unless --image-size sets another")


@app.command()
def fields(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Fields, such as replicas or tracker.")
    ] = None,
) -> None:
    """Explain the fields of a job, for YAML files and --set.

    Example: samurai-batch fields tracker everything
    """
    from samurai_batch.job import JobConfig
    from samurai_batch.schema import describe_fields

    out.print("\n\n".join(describe_fields(JobConfig, names or ())))


@app.command()
def demo(
    output: Annotated[str, typer.Option("--output", "-o", help="Local folder for the example.")] = "demo",
    replicas: Annotated[int, typer.Option(help="Number of Ray replicas.")] = 2,
) -> None:
    """Run an example: track two look-alikes on a generated video.

    Writes the video, its prompts table, the output and a picture. Nothing is downloaded.

    Example: samurai-batch demo -o demo --replicas 1
    """
    from samurai_batch.demo import run_demo

    run_demo(Path(output), replicas, out)


def _run(
    config: "JobConfig", tracks: "Sequence[Track] | None" = None, run_id: str | None = None, retry_failed: bool = False
) -> None:
    from samurai_batch.runtime.run import run_job

    print_summary(
        run_job(config, tracks=tracks, progress=progress_sink(config), run_id=run_id, retry_failed=retry_failed)
    )
