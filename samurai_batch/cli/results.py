"""The commands for results (render, report, compact) and for benchmarks (evaluate, bench)."""

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from samurai_batch.cli.printing import err, out
from samurai_batch.errors import ConfigError

app = typer.Typer()

OutputFolder = Annotated[str, typer.Argument(help="Output folder of a job: path or URI.")]
Videos = Annotated[list[str] | None, typer.Option("--video", metavar="ID", help="Only this video_id; may be repeated.")]
Objects = Annotated[
    list[str] | None, typer.Option("--object", metavar="ID", help="Only this object_id; may be repeated.")
]
Sequences = Annotated[
    list[str] | None, typer.Option("--sequence", metavar="NAME", help="Only this sequence; may be repeated.")
]
DatasetName = Annotated[str, typer.Option("--dataset", help="Name of the benchmark, such as davis16 or lasot.")]
MeasuredModels = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Model to measure; may be repeated. Default: nano.")
]
NumbersOfTracks = Annotated[str, typer.Option(metavar="N,N,…", help="Numbers of tracks to propagate together.")]
SharedFrames = Annotated[
    int, typer.Option(min=0, metavar="N", help="Frames of a video whose tracks are split over two replicas; 0: skip.")
]
Root = Annotated[str, typer.Option(help="Folder of the benchmark, as its authors distribute it.")]


@app.command()
def render(
    masks: OutputFolder,
    video_id: Annotated[str, typer.Argument(help="The video_id in the tables.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Output file: .mp4, or .png for a contact sheet.")],
    video: Annotated[str | None, typer.Argument(help="Path or URI of the video, if it was moved.")] = None,
    objects: Objects = None,
    first: Annotated[
        int | None, typer.Option(help="First frame to draw, with --last. Default: all frames with rows.")
    ] = None,
    last: Annotated[int | None, typer.Option(help="Last frame to draw, included; with --first.")] = None,
) -> None:
    """Draw masks, boxes, predicted boxes and scores over a video.

    Example: samurai-batch render out/ clip -o clip-masks.mp4
    """
    from samurai_batch import storage
    from samurai_batch.ledger.status import recorded_video
    from samurai_batch.rendering import render as draw

    if (first is None) != (last is None):
        raise ConfigError("--first and --last go together; give both, or neither for all frames with rows")
    frames = None if first is None or last is None else range(first, last + 1)
    video = video or recorded_video(storage, masks, video_id)
    count = draw(masks, video_id, video, output, objects=objects, frames=frames)
    out.print(f"{count} frames drawn: {output}")


@app.command()
def report(
    output: OutputFolder,
    to: Annotated[str | None, typer.Option(help="File to write. Default: report.html in the output folder.")] = None,
    pictures: Annotated[bool, typer.Option(help="Add pictures; this reads the videos.")] = True,
    inline: Annotated[bool, typer.Option("--inline", help="Embed the pictures in the page.")] = False,
    max_videos: Annotated[
        int, typer.Option(min=0, metavar="N", help="Most videos to show with timelines and pictures, worst first.")
    ] = 100,
    worst: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show the N worst moments of all tracks first.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(metavar="OUTPUT", help="With --worst: the same tracks, made another way.")
    ] = None,
) -> None:
    """Write an HTML report of a run.

    It shows what ran, what failed and why, all tracks to search and sort, and the frames to check. Pictures, and the
    pages of more than 10 videos, are written beside it, to report_files.

    Example: samurai-batch report out/ --worst 50
    """
    from samurai_batch.report import write_report

    if other is not None and worst is None:
        raise ConfigError("--other compares moments; add --worst N")
    uri = write_report(output, to, pictures, inline=inline, max_videos=max_videos, worst=worst, other=other)
    out.print(f"report: {uri}")


@app.command()
def evaluate(
    masks: OutputFolder,
    dataset: DatasetName,
    root: Root,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Folder for CSV files and plots.")] = None,
    sequences: Sequences = None,
    missing_is_absent: Annotated[bool, typer.Option(help="Count tracks without a table as absent objects.")] = False,
) -> None:
    """Score masks against the ground truth of a benchmark.

    The metrics are those of the benchmark's own toolkit: J and F of masks, success and precision of boxes, and HOTA,
    MOTA, IDF1 and id switches where a video has several objects (MOT, MOTS, DanceTrack, YouTube-VIS).

    Example: samurai-batch evaluate out/ --dataset davis16 --root DAVIS -o scores/
    """
    from samurai_batch.evaluation import evaluate as measure

    found = measure(masks, dataset, root, output, sequences, missing_is_absent)
    for table in (found.objects, found.overall):
        out.print(table.to_string(index=False, float_format="{:.3f}".format), "\n")


@app.command()
def compact(
    output: OutputFolder,
    partition_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Write Hive folders by video_id or object_id; may be repeated, the outer folder first.",
        ),
    ] = None,
) -> None:
    """Merge many small tables of finished tracks into few large ones.

    Their rows are sorted. Programs that read the output meanwhile see either the old or the new files.

    Example: samurai-batch compact out/
    """
    from samurai_batch.masks import compact_masks

    out.print(f"compacted tables: {compact_masks(output, partition_by=partition_by or ())}")


@app.command()
def bench(
    model: MeasuredModels = None,
    weights: Annotated[str | None, typer.Option(help="Checkpoint. Default: shipped or random weights.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the model's input, in pixels.")] = None,
    dtype: Annotated[str, typer.Option(help="Number format: auto, float32, bfloat16 or float16.")] = "auto",
    compile_encoder: Annotated[bool, typer.Option("--compile", help="Encode with torch.compile.")] = False,
    cuda_graphs: Annotated[bool, typer.Option("--cuda-graphs", help="Replay operations as CUDA graphs.")] = False,
    frames_per_batch: Annotated[int, typer.Option(min=1, metavar="N", help="Frames that are encoded together.")] = 1,
    tracks: NumbersOfTracks = "1,2,4,8,16",
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="CPU threads of the network.")] = 1,
    repeats: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of measurements per step; the median counts.")
    ] = 5,
    frames: Annotated[
        int, typer.Option(min=0, metavar="N", help="Frames of each of two clips for whole jobs; 0: skip.")
    ] = 120,
    memory_frames: Annotated[
        int, typer.Option(min=0, metavar="N", help="Frames of the run that measures memory; 0: skip.")
    ] = 60,
    shared_frames: SharedFrames = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for bench.json, .md and .svg.")] = None,
) -> None:
    """Measure how fast this machine tracks objects. Takes about a minute.

    Prints the seconds to encode a frame (E) and to propagate a track by one frame (M), their share of the peak matrix
    throughput, the memory used, and the overhead of a Ray job over a plain loop. If transformers is installed, its
    Sam2VideoModel is measured with the same weights. Run nothing else at the same time.

    A larger model takes about 15 minutes.

    Example: samurai-batch bench --model sam2.1_hiera_tiny --image-size 1024
    --tracks 1,4,8 --repeats 3 --frames 0 --memory-frames 0
    """
    from samurai_batch.benchmark.presentation import as_json, as_markdown, as_svg
    from samurai_batch.benchmark.run import BenchmarkSettings, Dtype, run_benchmark

    if dtype not in get_args(Dtype):
        raise ConfigError(f"--dtype {dtype}: it should be {', '.join(get_args(Dtype))}")
    settings = BenchmarkSettings(
        models=tuple(model or ["nano"]),
        weights=weights,
        image_size=image_size,
        dtype=cast(Dtype, dtype),
        compile=compile_encoder,
        cuda_graphs=cuda_graphs,
        frames_per_batch=frames_per_batch,
        tracks=_numbers(tracks),
        threads=threads,
        repeats=repeats,
        num_frames=frames,
        num_memory_frames=memory_frames,
        num_shared_frames=shared_frames,
    )
    results = run_benchmark(settings, lambda text: err.print(f"measuring {text} …"))
    out.print(as_markdown(results))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in (("json", as_json), ("md", as_markdown), ("svg", as_svg)):
            (output / f"bench.{name}").write_text(text(results), encoding="utf-8")
        out.print(f"written: {output}/bench.json, bench.md, bench.svg")


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"--tracks {text}: it should be numbers above 0, such as 1,2,4,8,16")
    return tuple(int(part) for part in parts)
