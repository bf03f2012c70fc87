"""The commands that hand masks to other tools (export) and take prompts from them (prompts)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, cast

import typer

from samurai_batch.cli.printing import err, out
from samurai_batch.cli.results import Objects, OutputFolder, Sequences, Videos
from samurai_batch.errors import ConfigError

if TYPE_CHECKING:
    from samurai_batch.imports import Import
    from samurai_batch.imports import Videos as KnownVideos
    from samurai_batch.imports.corrections import Kind

app = typer.Typer()

DEFAULT_PROMPTS = "prompts.parquet"


@app.command()
def export(
    masks: OutputFolder,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the files: path or URI.")],
    format_name: Annotated[str, typer.Option("--format", help="Name of the format; an unknown one lists all.")],
    videos: Videos = None,
    objects: Objects = None,
    worst: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the N frames that should be corrected first.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(metavar="OUTPUT", help="With --worst: the same tracks, made another way.")
    ] = None,
) -> None:
    """Export masks in the format of another tool.

    COCO, YouTube-VIS, SA-V, DAVIS, MOTS, MOT, PNG; GOT-10k and TrackingNet; CVAT, Label Studio and FiftyOne; YOLO and
    Hugging Face datasets; video with alpha. README.md of the package's folder exports says what each holds.

    Example: samurai-batch export out/ --format cvat-images --worst 20 -o to-correct/
    """
    from samurai_batch.exports import export_masks
    from samurai_batch.operations.worst import worst_moments

    places = None
    if worst is not None:
        moments = worst_moments(masks, worst, videos=videos, objects=objects, other=other)
        if not moments:
            raise ConfigError("no track has a moment that stands out; export without --worst")
        for one in moments:
            out.print(f"{one.severity:.2f}  {one.video_id} / {one.object_id}: {one.text}")
        places = {(one.video_id, one.object_id, one.frame_index) for one in moments}
    elif other is not None:
        raise ConfigError("--other compares moments; add --worst N")
    uri_of = _uris_of(masks)
    count = export_masks(masks, output, format_name, videos, objects, places=places, video_uri=uri_of)
    out.print(f"{count} files written: {output}")


@app.command()
def prompts(
    dataset: Annotated[str | None, typer.Option("--dataset", help="Name of a benchmark, such as davis16.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder of the benchmark, as its authors distribute it.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="File, ZIP or folder of annotations: path or URI.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Prompts table to write: .parquet, .csv or .jsonl.")
    ] = DEFAULT_PROMPTS,
    kind: Annotated[
        str | None, typer.Option(help="box or mask. Default: box for a benchmark, all kinds of a file.")
    ] = None,
    sequences: Sequences = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="Format of --from. Default: by its content.")
    ] = None,
    video: Annotated[
        list[str] | None,
        typer.Option(metavar="[ID=]URI", help="Where a video of the file is; may be repeated."),
    ] = None,
    corrects: Annotated[
        str | None, typer.Option(metavar="OUTPUT", help="Take only what differs from the masks of this output.")
    ] = None,
    onto: Annotated[
        str | None, typer.Option(metavar="PROMPTS", help="Prompts table that the prompts are added to.")
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Only the first prompt of each track of the file.")] = False,
) -> None:
    """Write a prompts table from annotations or a benchmark.

    From CVAT, Label Studio, COCO, YOLO, MOT, mask tables or prompts tables. With --corrects and --onto, it is the table
    of a job with the corrected frames, and `reprocess` computes the corrected tracks alone.

    Example: samurai-batch prompts --from annotations.zip --corrects out/ --onto prompts.csv -o prompts.csv
    """
    if (source is None) == (dataset is None):
        raise ConfigError("give either --from FILE, or --dataset NAME with --root FOLDER")
    if kind not in (None, "box", "mask"):
        raise ConfigError(f"--kind {kind}: it should be box or mask")
    of_file = {"--format": format_name, "--video": video, "--corrects": corrects, "--onto": onto, "--first": first}
    of_benchmark = {"--root": root, "--sequence": sequences}
    for name, value in (of_file if source is None else of_benchmark).items():
        if value:
            raise ConfigError(f"{name} goes with {'--from' if source is None else '--dataset'}; leave it out")
    if source is None:
        _of_benchmark(cast(str, dataset), root, output, kind, sequences)
        return
    from samurai_batch.imports import corrections, read_annotations, to_tracks
    from samurai_batch.manifest import read_prompts, write_prompts

    base = [] if onto is None else read_prompts(onto)
    videos = _known_videos(video or [], corrects or source)
    videos.uris.update({track.video.video_id: track.video.uri for track in base})
    found = read_annotations(source, videos, format_name)
    if corrects is not None:
        found = corrections(found, corrects)
    made = to_tracks(found, videos, base=base, first_only=first, kind=cast("Kind | None", kind))
    write_prompts(output, made.tracks)
    _print_import(made, output)


def _of_benchmark(dataset: str, root: str | None, output: str, kind: str | None, sequences: list[str] | None) -> None:
    from samurai_batch.evaluation import write_dataset_prompts

    if root is None:
        raise ConfigError("--dataset needs --root, the folder of the benchmark")
    count = write_dataset_prompts(dataset, root, output, "mask" if kind == "mask" else "box", sequences)
    out.print(f"{count} tracks: {output}")


def _known_videos(given: list[str], output: str) -> "KnownVideos":
    """The videos of the options, and those that an output has."""
    from samurai_batch import storage
    from samurai_batch.imports import Videos as KnownVideos
    from samurai_batch.ledger.store import list_videos
    from samurai_batch.manifest.flags import video_id_of
    from samurai_batch.rendering.render import opened_video

    def size_of(uri: str) -> tuple[int, int]:
        with opened_video(uri) as opened:
            return opened.info.height, opened.info.width

    uris: dict[str, str] = {}
    if not output.startswith("http") and storage.is_directory(output):
        uri_of = _uris_of(output)
        uris = {video_id: uri for video_id in list_videos(storage, output) if (uri := uri_of(video_id))}
    for text in given:
        name, has_id, uri = text.partition("=")
        is_id = bool(has_id) and "/" not in name and "?" not in name
        uris[name if is_id else video_id_of(text)] = uri if is_id else text
    return KnownVideos(uris, size_of)


def _uris_of(output: str) -> Callable[[str], str]:
    """The URI of each video of an output; "" where it is not recorded."""
    from samurai_batch import storage
    from samurai_batch.ledger.status import recorded_video

    def uri_of(video_id: str) -> str:
        try:
            return recorded_video(storage, output, video_id)
        except ConfigError:
            return ""

    return uri_of


def _print_import(made: "Import", output: str) -> None:
    for reason, count in sorted(made.left_out.items()):
        err.print(f"left out: {count} {reason}")
    for name, count in sorted(made.classes.items()):
        text = f"{name!r} names several things on one frame: each of its {count} shapes is an object of its own"
        err.print(f"class: {text}, called {name}-<frame>-<number>")
    taken = f"{made.num_prompts} prompt(s) of {len(made.changed)} track(s) taken"
    out.print(f"{taken}, {len(made.tracks)} track(s) in all: {output}")
