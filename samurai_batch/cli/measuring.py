"""The command that measures tracks: measure."""

from typing import Annotated, cast

import typer

from samurai_batch.cli.printing import out
from samurai_batch.cli.results import Objects, OutputFolder, Videos

app = typer.Typer()


@app.command()
def measure(
    masks: OutputFolder,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the tables: path or URI.")],
    zones: Annotated[str | None, typer.Option(help="GeoJSON file of zones and lines, in pixels: path or URI.")] = None,
    point: Annotated[
        str, typer.Option(help="Point of the mask that is measured: center, bottom_center or centroid.")
    ] = "center",
    scale: Annotated[float | None, typer.Option(help="Length of a pixel, in --unit.")] = None,
    unit: Annotated[str, typer.Option(help="Unit of --scale, part of the columns' names.")] = "m",
    max_gap: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Longest absence in seconds that is bridged.")
    ] = 1.0,
    videos: Videos = None,
    objects: Objects = None,
) -> None:
    """Measure tracks: paths, speeds, presence, zones, line crossings.

    Writes tracks, visits, zones, crossings and lines, each as Parquet and CSV. samurai_batch/measuring/README.md
    describes the columns and the file of zones.

    Example: samurai-batch measure out/ -o measured/ --zones zones.json --scale 0.02 --unit m
    """
    from samurai_batch.measuring import measure_tracks, write_measurements
    from samurai_batch.measuring.measure import Point

    measured = measure_tracks(
        masks,
        zones,
        videos=videos,
        objects=objects,
        point=cast(Point, point),
        scale=scale,
        unit=unit,
        max_gap_s=max_gap,
    )
    write_measurements(measured, output)
    counts = {"tracks": measured.tracks, "visits": measured.visits, "crossings": measured.crossings}
    out.print(", ".join(f"{len(frame)} {name}" for name, frame in counts.items()) + f": {output}")
