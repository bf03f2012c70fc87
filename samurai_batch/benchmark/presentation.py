"""Formats results: Markdown for a terminal or a README, JSON for programs, a bar plot."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from samurai_batch.benchmark.mask_costs import MaskCost
from samurai_batch.benchmark.run import ModelResult, Results
from samurai_batch.benchmark.sharing import NUM_TRACKS
from samurai_batch.plotting import COLOURS, bar_plot

OURS_COLOUR, BASELINE_COLOUR = COLOURS[:2]


def as_json(results: Results) -> str:
    """All numbers, in seconds and bytes."""
    return json.dumps(asdict(results), indent=2) + "\n"


def as_markdown(results: Results) -> str:
    """The machine, and for each model a table and the other measurements."""
    lines = [describe(results)]
    if results.machine.kernels:
        lines.append(f"Kernels: {results.machine.kernels}")
    for one in results.models:
        lines += ["", *_table(one), "", *_facts(one)]
    if results.masks:
        lines += ["", *_mask_table(results.masks)]
    return "\n".join(lines)


def describe(results: Results) -> str:
    """The machine in one line."""
    machine = results.machine
    where = f"{machine.processor}, {machine.threads} of {machine.cores} cores"
    where = where if machine.device == "cpu" else f"{machine.device} ({machine.processor})"
    return f"{where}, torch {machine.torch}, {machine.dtype}: {machine.matmul_gflops:,.0f} GFLOP/s in matrix products"


def _table(one: ModelResult) -> Iterator[str]:
    costs = one.costs
    yield (
        f"{one.model} at {one.image_size}: E = {_seconds(costs.encode_s)} to encode a frame"
        f" ({costs.encode_gflop:,.1f} GFLOP, {costs.encode_matmul_share:.0%} of the matmul rate)"
    )
    yield ""
    yield "| tracks | propagation | M, of each | frames/s | tracks × frames/s | of the matmul rate | transformers |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    baselines = {cost.tracks: cost.frame_s for cost in one.baselines}
    for step in costs.steps:
        baseline = f"{1 / baselines[step.tracks]:.2f} frames/s" if step.tracks in baselines else ""
        yield (
            f"| {step.tracks} | {_seconds(step.propagate_s)} | {_seconds(step.per_track_s)} | {step.frames_per_s:.2f}"
            f" | {step.tracks * step.frames_per_s:.1f} | {step.matmul_share:.0%} | {baseline} |"
        )


def _mask_table(masks: Sequence[MaskCost]) -> Iterator[str]:
    yield "CPU time of each mask, holes filled"
    yield ""
    yield "| size | tracks | from pixels | as run lengths | after a GPU has found the changes | bytes of its changes |"
    yield "|---|---:|---:|---:|---:|---:|"
    for cost in masks:
        seconds = (_seconds(value) for value in (cost.pixels_s, cost.run_lengths_s, cost.after_gpu_s))
        yield f"| {cost.size} | {cost.tracks} | {' | '.join(seconds)} | {cost.num_bytes:,} |"


def _facts(one: ModelResult) -> Iterator[str]:
    if plain := one.costs.plain:
        yield (
            f"- Against the same network with plain PyTorch, measured in turns, {_tracks(plain.tracks)}: a frame takes"
            f" {_seconds(plain.ours_s)} instead of {_seconds(plain.plain_s)}, {plain.ratio:.2f} × as fast."
        )
    if one.no_baseline_reason:
        yield f"- Not compared with transformers: {one.no_baseline_reason}."
    if one.baselines:
        yield f"- transformers {one.baselines[0].version}: Sam2VideoModel, float32, same weights, encoding included."
    if peak := one.peak:
        yield (
            f"- Memory, 8 tracks: {peak.long_bytes / 1e9:.2f} GB at most in {peak.long_frames} frames,"
            f" {peak.short_bytes / 1e9:.2f} GB in {peak.short_frames}."
        )
    if whole := one.end_to_end:
        job_rate = whole.num_frames / whole.one_replica_s
        second = "no room for a second replica"
        if whole.scaling is not None:
            bare = f"two bare loops at once are {whole.bare_scaling:.2f} × one"
            second = f"two replicas {whole.scaling:.2f} × one, where {bare}"
        yield (
            f"- {whole.num_frames} frames, one track: bare loop {whole.num_frames / whole.bare_s:.2f} frames/s, a job"
            f" on Ray {job_rate:.2f} ({whole.overhead:+.1%} time); {second}."
        )
        yield f"- Start of a job until its first order, with a Ray cluster of its own: {whole.startup_s:.1f} s."
    if sharing := one.sharing:
        yield (
            f"- One video of {sharing.num_frames} frames, {NUM_TRACKS} tracks: {sharing.one_replica_s:.1f} s with one"
            f" replica, {sharing.shared_s:.1f} s with {sharing.num_replicas}; the cost model, with E and M of"
            f" {sharing.num_replicas} replicas at once, predicts {sharing.predicted_s:.1f} s ({sharing.error:+.1%})."
        )


def as_svg(results: Results) -> str:
    """Frames/s as bars: ours, and those of transformers where they were measured."""
    return bar_plot("frames/s", describe(results), _bars(results))


def _bars(results: Results) -> Iterator[tuple[str, float, str]]:
    for one in results.models:
        baselines = {cost.tracks: cost.frame_s for cost in one.baselines}
        for step in one.costs.steps:
            name = f"{one.model}, {_tracks(step.tracks)}"
            yield name, step.frames_per_s, OURS_COLOUR
            if step.tracks in baselines:
                yield f"transformers, {step.tracks}", 1 / baselines[step.tracks], BASELINE_COLOUR


def _seconds(value: float) -> str:
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.2f} s"


def _tracks(count: int) -> str:
    return f"{count} track{'s' if count > 1 else ''}"
