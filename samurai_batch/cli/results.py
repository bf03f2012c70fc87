"""The verbs that work on results: look at them, export them, measure them, tidy them up. Thin, as all of the CLI."""

from typing import Annotated

import typer

from samurai_batch.cli.printing import out
from samurai_batch.errors import ConfigError

app = typer.Typer()

OutputFolder = Annotated[str, typer.Argument(help="The output folder of a job; a path or URI.")]
Videos = Annotated[list[str] | None, typer.Option("--video", help="Only this video; repeatable.")]
Objects = Annotated[list[str] | None, typer.Option("--object", help="Only this object; repeatable.")]
Sequences = Annotated[list[str] | None, typer.Option("--sequence", help="Only this sequence; repeatable.")]
DatasetName = Annotated[str, typer.Option("--dataset", help="A benchmark's name, such as davis16 or lasot.")]
Root = Annotated[str, typer.Option(help="The folder of the benchmark as its authors ship it.")]


@app.command()
def render(
    masks: OutputFolder,
    video_id: Annotated[str, typer.Argument(help="The video's id in the tables.")],
    output: Annotated[str, typer.Option("--output", "-o", help="A .mp4, or a .png for a contact sheet.")],
    video: Annotated[str | None, typer.Argument(help="The video, if it is no longer where the run found it.")] = None,
    objects: Objects = None,
    first: Annotated[int | None, typer.Option(help="First frame to draw; default: the first with rows.")] = None,
    last: Annotated[int | None, typer.Option(help="Last frame to draw, included.")] = None,
) -> None:
    """Draw masks, boxes, predictions and scores over a video.

    Example: samurai-batch render out/ clip -o clip-masks.mp4
    """
    from samurai_batch import storage
    from samurai_batch.ledger.status import recorded_video
    from samurai_batch.rendering import render as draw

    if (first is None) != (last is None):
        raise ConfigError("--first and --last belong together; give both, or none for all frames with rows")
    frames = None if first is None or last is None else range(first, last + 1)
    video = video or recorded_video(storage, masks, video_id)
    count = draw(masks, video_id, video, output, objects=objects, frames=frames)
    out.print(f"{count} frames drawn: {output}")


@app.command()
def report(
    output: OutputFolder,
    to: Annotated[str | None, typer.Option(help="Where the page goes; default: report.html in the output.")] = None,
    pictures: Annotated[bool, typer.Option(help="With pictures, which need the videos.")] = True,
    inline: Annotated[bool, typer.Option("--inline", help="Pictures in the page: one file, for few videos.")] = False,
    max_videos: Annotated[
        int, typer.Option(min=0, metavar="N", help="Videos with timelines and pictures at most, the worst first.")
    ] = 100,
) -> None:
    """Write a HTML page of a run.

    What ran, what failed and why, and the moments worth a look. Pictures lie beside the page, in report_files.
    """
    from samurai_batch.report import write_report

    uri = write_report(output, to, pictures, inline=inline, max_videos=max_videos)
    out.print(f"report: {uri}")


@app.command()
def export(
    masks: OutputFolder,
    output: Annotated[str, typer.Option("--output", "-o", help="Where the files go.")],
    format_name: Annotated[str, typer.Option("--format", help="A format's name; a wrong one lists them.")],
    videos: Videos = None,
    objects: Objects = None,
) -> None:
    """Write masks in the formats that other tools read.

    COCO, YouTube-VIS, SA-V, DAVIS, MOTS, MOT, PNG; boxes for the servers of GOT-10k and TrackingNet.
    """
    from samurai_batch.exports import export_masks

    out.print(f"{export_masks(masks, output, format_name, videos, objects)} files written: {output}")


@app.command()
def prompts(
    dataset: DatasetName,
    root: Root,
    output: Annotated[str, typer.Option("--output", "-o", help="The prompts table: .parquet, .csv or .jsonl.")],
    kind: Annotated[str, typer.Option(help="box, or mask where the benchmark has masks.")] = "box",
    sequences: Sequences = None,
) -> None:
    """Turn a benchmark's folder into a prompts table.

    Then `run`, then `evaluate`.
    """
    from samurai_batch.evaluation import write_dataset_prompts

    if kind not in ("box", "mask"):
        raise ConfigError(f"--kind {kind}: it is box or mask")
    count = write_dataset_prompts(dataset, root, output, "mask" if kind == "mask" else "box", sequences)
    out.print(f"{count} tracks: {output}")


@app.command()
def evaluate(
    masks: OutputFolder,
    dataset: DatasetName,
    root: Root,
    output: Annotated[str | None, typer.Option("--output", "-o", help="A folder for CSV files and plots.")] = None,
    sequences: Sequences = None,
    missing_is_absent: Annotated[bool, typer.Option(help="Count tracks without a table as absent.")] = False,
) -> None:
    """Measure masks against a benchmark's truth.

    By the definitions of its own toolkit.
    """
    from samurai_batch.evaluation import evaluate as measure

    found = measure(masks, dataset, root, output, sequences, missing_is_absent)
    for table in (found.objects, found.overall):
        out.print(table.to_string(index=False, float_format="{:.3f}".format), "\n")


@app.command()
def compact(output: OutputFolder) -> None:
    """Write finished tracks anew into few large sorted files.

    Readers see the old ones or the new ones.
    """
    from samurai_batch.masks import compact_masks

    out.print(f"compacted tables: {compact_masks(output)}")
