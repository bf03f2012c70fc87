"""The verbs that compute: one video, a dataset, pictures, an example; and what a dataset would take."""

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

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Also what failed on its input, unchanged as it is.")]
JobFile = Annotated[str | None, typer.Argument(help="A job in YAML, a path or URI; options override its fields.")]


@app.command()
@takes_options("output", *TRACKING)
def track(
    video: Annotated[str, typer.Argument(help="A video file or a folder of numbered frames; a path or any URI.")],
    options: dict[str, str],
    box: Annotated[list[str] | None, typer.Option(help="x1,y1,x2,y2 in pixels; one object each; repeatable.")] = None,
    point: Annotated[list[str] | None, typer.Option(help="x,y on the object; repeatable.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="x,y beside the object; repeatable.")] = None,
    mask: Annotated[list[str] | None, typer.Option(help="A PNG, nonzero on the object; repeatable.")] = None,
    frame: Annotated[int, typer.Option(help="The frame the prompts are on.")] = 0,
    start_frame: Annotated[int | None, typer.Option(help="First frame to follow, included.")] = None,
    end_frame: Annotated[int | None, typer.Option(help="Last frame to follow, included.")] = None,
    direction: Annotated[Direction, typer.Option(help="From the prompted frame.")] = "forward",
) -> None:
    """Follow the objects of one video in this process.

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
    _run(load_job_of(None, {"prompts": video, "pool": "local", "replicas": "1"} | options), tracks)


@app.command()
@takes_options(*DATASET)
def run(options: dict[str, str], job: JobFile = None, run_id: RunId = None, retry_failed: RetryFailed = False) -> None:
    """Follow every track of a prompts table on Ray. The same command again resumes, or does nothing.

    What failed on its input is not tried again while that is the same; it still counts as failed, in exit code 3.

    Example: samurai-batch run --prompts prompts.csv -o s3://bucket/out --replicas 8
    """
    _run(load_job_of(job, options), run_id=run_id, retry_failed=retry_failed)


@app.command()
@takes_options("output", "model", "weights", "image_size", "replicas")
def segment(
    pictures: Annotated[
        str, typer.Argument(help="A folder of pictures, a .txt of their URIs, or a table of prompts; a path or URI.")
    ],
    options: dict[str, str],
    retry_failed: RetryFailed = False,
) -> None:
    """Segment pictures on Ray: everything, or what prompts ask for.

    Of a folder or a list everything; of a table what its prompts ask for (video_uri: a picture). A picture is a video
    of one frame; its file name is the video_id. The same command again does only what is new: a picture that cannot be
    read is not tried again while it is the same, but still counts as failed, in exit code 3.

    Example: samurai-batch segment photos/ -o masks/ --set everything.points_per_side=16
    """
    _run(load_job_of(None, {"task": "segment", "prompts": pictures} | options), retry_failed=retry_failed)


@app.command()
@takes_options(*DATASET)
def plan(
    options: dict[str, str],
    job: JobFile = None,
    price: Annotated[float | None, typer.Option(help="Of one replica's machine for an hour, in any currency.")] = None,
    rates_from: Annotated[str | None, typer.Option(help="An output whose newest run was a pilot.")] = None,
) -> None:
    """Say what `run` would do. Needs no GPU, weights or Ray, and writes nothing."""
    from samurai_batch.runtime.dry_run import expect, measured_rates, plan_job

    config = load_job_of(job, options)
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
def models() -> None:
    """List the models, what they are for, and where their weights come from.

    Those for videos segment pictures as well. Weights that do not ship with the package are named by --weights.
    """
    from samurai_batch.modeling.checkpoints import parameter_shapes
    from samurai_batch.modeling.configs import MODELS, image_models
    from samurai_batch.modeling.weight_files import SHIPPED

    table = Table("model", "for", "parameters", "image size", "weights")
    for name, config in image_models().items():
        millions = sum(shape.numel() for shape in parameter_shapes(config).values()) / 1e6
        has_weights = (SHIPPED / f"{name}.safetensors").exists()
        table.add_row(
            name,
            "videos" if name in MODELS else "pictures",
            f"{millions:.1f} M",
            str(config.image_size),
            "in the package" if has_weights else "the released file",
        )
    out.print(table)


@app.command()
def demo(
    output: Annotated[str, typer.Option("--output", "-o", help="A local folder for the example.")] = "demo",
    replicas: Annotated[int, typer.Option(help="Ray replicas to run it on.")] = 2,
) -> None:
    """Follow two look-alikes that cross, and show the result."""
    from samurai_batch.demo import run_demo

    run_demo(Path(output), replicas, out)


def _run(
    config: "JobConfig",
    tracks: "Sequence[Track] | None" = None,
    run_id: str | None = None,
    retry_failed: bool = False,
) -> None:
    from samurai_batch.runtime.run import run_job

    print_summary(
        run_job(config, tracks=tracks, progress=progress_sink(config), run_id=run_id, retry_failed=retry_failed)
    )
