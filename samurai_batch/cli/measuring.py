"""The verb that measures this machine."""

from pathlib import Path
from typing import Annotated, cast

import typer

from samurai_batch.cli.printing import err, out

app = typer.Typer()


@app.command()
def bench(
    model: Annotated[list[str] | None, typer.Option(help="A model; may be given several times.")] = None,
    weights: Annotated[str | None, typer.Option(help="A checkpoint; left out: shipped or drawn weights.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels; left out: the model's own.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    compile_encoder: Annotated[bool, typer.Option("--compile", help="Encode by torch.compile.")] = False,
    frames_per_batch: Annotated[int, typer.Option(min=1, help="Frames that are encoded together.")] = 1,
    tracks: Annotated[str, typer.Option(help="Numbers of tracks to follow together.")] = "1,2,4,8,16",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of one replica.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Times that each step is measured; medians are told.")] = 5,
    frames: Annotated[int, typer.Option(min=0, help="Frames of each of two clips for whole jobs; 0: no jobs.")] = 120,
    memory_frames: Annotated[int, typer.Option(min=0, help="Frames of the run whose memory is watched; 0: none.")] = 60,
    shared_frames: Annotated[
        int, typer.Option(min=0, help="Frames of a video whose tracks two replicas share; 0: none.")
    ] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for bench.json, .md and .svg.")] = None,
) -> None:
    """Measure how fast this machine follows objects: about a minute.

    Says the seconds to encode a frame (E) and to follow a track on it (M), the share of this machine's rate of matrix
    products, memory, and what a job on Ray costs beside a bare loop. With transformers installed, its Sam2VideoModel
    stands beside, with the same weights. Nothing else should run meanwhile.

    The big one, a quarter of an hour: samurai-batch bench --model sam2.1_hiera_tiny --image-size 1024
    --tracks 1,4,8 --repeats 3 --frames 0 --memory-frames 0
    """
    from samurai_batch.benchmark.page import as_json, as_markdown, as_svg
    from samurai_batch.benchmark.run import BenchmarkSettings, Dtype, run_benchmark
    from samurai_batch.errors import ConfigError

    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"--dtype {dtype!r} is neither float32 nor bfloat16")
    settings = BenchmarkSettings(
        models=tuple(model or ["nano"]),
        weights=weights,
        image_size=image_size,
        dtype=cast(Dtype, dtype),
        compile=compile_encoder,
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
    from samurai_batch.errors import ConfigError

    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"--tracks {text!r} is no list of numbers above 0, such as 1,2,4,8,16")
    return tuple(int(part) for part in parts)
