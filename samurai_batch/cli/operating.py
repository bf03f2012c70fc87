"""The commands for operating jobs: doctor, status, submit, reprocess, history, diff."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from samurai_batch.cli.job_options import RunId, load_job_of, takes_options
from samurai_batch.cli.printing import err, out, print_problems, print_summary, progress_sink
from samurai_batch.errors import ConfigError

app = typer.Typer()

MAX_ALONE_SHOWN = 10


@app.command()
def status(
    output: Annotated[str, typer.Argument(help="Output folder of a job: path or URI.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch, one line per update.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print again every few seconds until the run ends.")] = False,
    every_s: Annotated[float, typer.Option("--every", help="Seconds between two updates of --watch.")] = 5.0,
    details: Annotated[bool, typer.Option("--details", help="Also print each replica and each video.")] = False,
) -> None:
    """Show the progress of a job, and what failed and why.

    Reads the output alone: it needs no Ray, and works on any machine that can read the output.

    Example: samurai-batch status out/ --watch --details
    """
    from samurai_batch import storage
    from samurai_batch.ledger.status import check_has_ledger, read_status, to_json
    from samurai_batch.operations.watching import describe_details, describe_status, has_ended

    if watch:
        _wait_for_a_job(output, every_s)
    else:
        check_has_ledger(storage, output)
    while True:
        found, now_s = read_status(storage, output), time.time()
        if as_json:
            out.print_json(to_json(found), indent=None if watch else 2)
        else:
            out.print(describe_status(found, now_s))
            if details:
                out.print(describe_details(found, now_s))
        if not watch or has_ended(found, now_s):
            break
        time.sleep(every_s)
    if not as_json:
        print_problems(found.problems)


def _wait_for_a_job(output: str, every_s: float) -> None:
    """Wait until a job has written to the output: on a cluster, a job takes a while to start."""
    from samurai_batch import storage
    from samurai_batch.ledger.status import check_has_ledger

    is_told = False
    while True:
        try:
            return check_has_ledger(storage, output)
        except ConfigError as error:
            if not is_told:
                err.print(f"{error}; waiting for a job to begin (ctrl-C to stop)")
            is_told = True
            time.sleep(every_s)


@app.command()
@takes_options()
def submit(
    job: Annotated[str, typer.Argument(help="Job file in YAML: path or URI.")],
    options: dict[str, str],
    address: Annotated[str, typer.Option(help="Address of Ray's job API, such as http://head:8265.")],
    reprocess: Annotated[bool, typer.Option("--reprocess", help="Submit `reprocess` instead of `run`.")] = False,
    code: Annotated[Path | None, typer.Option(help="This package, a folder or wheel, if the nodes lack it.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit with the code of the run.")] = False,
    show_log: Annotated[bool, typer.Option("--follow", help="Like --wait, and print the log of the job.")] = False,
) -> None:
    """Submit a job to a Ray cluster. ctrl-C does not stop the job.

    Example: samurai-batch submit job.yaml --address http://head:8265 --wait
    """
    from samurai_batch.operations.job_api import JobApi
    from samurai_batch.operations.submit import submit_job, wait_for

    api = JobApi(address)
    submitted = submit_job(api, load_job_of(job, options), "reprocess" if reprocess else "run", code=code)
    out.print(f"submitted {submitted.job_id}")
    if wait or show_log:
        log: list[str] = []
        exit_code = wait_for(api, submitted, (lambda text: out.print(text, end="")) if show_log else log.append)
        if exit_code not in (0, 3):
            out.print("".join(log)[-3000:])
        out.print(f"ended with exit code {exit_code}")
        raise typer.Exit(exit_code)


@app.command()
@takes_options()
def reprocess(
    job: Annotated[str, typer.Argument(help="Job file in YAML: path or URI. Its prompts may be a pattern.")],
    options: dict[str, str],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run and why; write nothing.")] = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only tracks that failed before.")] = False,
    since: Annotated[str | None, typer.Option(help="Only videos modified since this date or time (UTC).")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove tracks that are no longer in the prompts.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep replaced tables, so that `diff` can compare them.")] = True,
    run_id: RunId = None,
) -> None:
    """Run only the tracks that are new, stale or failed.

    A track is stale if its video, prompts, weights or settings have changed since it was computed.

    Example: samurai-batch reprocess jobs/nightly.yaml --dry-run
    """
    from samurai_batch.operations.reprocess import Choice, parse_moment, plan_reprocess
    from samurai_batch.operations.reprocess import reprocess as run_reprocess

    since_s = None if since is None else parse_moment(since)
    choice = Choice(only_failed=only_failed, since_s=since_s, prune=prune, keep_superseded=keep)
    config = load_job_of(job, options)
    if dry_run:
        out.print(plan_reprocess(config, choice).describe())
        return
    result = run_reprocess(config, choice, progress=progress_sink(config), run_id=run_id)
    out.print(result.plan.describe())
    for prompt in result.idle_prompts:
        out.print(prompt.describe())
    print_summary(result.summary)


@app.command()
@takes_options("output", "model", "weights")
def doctor(
    options: dict[str, str],
    job: Annotated[str | None, typer.Argument(help="Job file in YAML: path or URI. Options override it.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Address of a Ray cluster, whose nodes are checked.")] = None,
) -> None:
    """Check this machine, or every node of a cluster, for a job. Exit code 1 if a job would fail.

    Prints Python, PyTorch, driver, GPUs, memory, dtype and attention kernel, decoder, output and weights, one line
    each, and for each problem its remedy. `run` makes the same checks before it starts replicas. With --output, small
    files are written there and deleted.

    Example: samurai-batch doctor jobs/nightly.yaml --ray-address auto
    """
    from samurai_batch.operations.doctor import examine

    has_output = job is not None or "output" in options
    fields = {"prompts": "none", "output": "none"} if job is None else {}
    address = {} if ray_address is None else {"ray_address": ray_address}
    is_ok = True
    for one in examine(load_job_of(job, fields | options | address), has_output=has_output):
        out.print(f"{one.place}:")
        for check in one.checks:
            out.print(f"  {check}")
        is_ok = is_ok and not one.would_fail
    if not is_ok:
        raise typer.Exit(1)


@app.command()
def history(output: Annotated[str, typer.Argument(help="Output folder of a job: path or URI.")]) -> None:
    """List all runs of an output, and what each one changed.

    The changed tracks are known of runs by `reprocess`.

    Example: samurai-batch history out/
    """
    from samurai_batch import storage
    from samurai_batch.ledger.status import check_has_ledger
    from samurai_batch.operations.history import read_history
    from samurai_batch.operations.watching import state_of

    check_has_ledger(storage, output)
    for run in read_history(output):
        started = datetime.fromtimestamp(run.record.started_at_s, UTC)
        out.print(f"{run.record.run_id}  {started:%Y-%m-%d %H:%M:%S}  {state_of(run.record, time.time())}")
        for change in run.changes or ():
            out.print(f"  {change.video_id} / {change.object_id}: {change.reason}: {change.status}")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="Output folder, or <output>@<run_id>: the tables that this run made.")],
    b: Annotated[str, typer.Argument(help="The other output folder, or <output>@<run_id>.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two results, the most different track first.

    For each track: mean IoU, number of frames that differ, and the worst frame. Of two runs of one output, the tracks
    that both made are compared; `history` lists the runs.

    Example: samurai-batch diff out/ other/
    """
    from samurai_batch.operations.diff import diff_results

    found = diff_results(a, b)
    if as_json:
        out.print_json(json.dumps(asdict(found)))
        return
    for one in found.tracks:
        worst = "" if one.worst_frame is None else f", worst frame {one.worst_frame} (IoU {one.worst_iou:.3f})"
        differ = f"{one.num_differing} of {one.num_frames} frames differ{worst}"
        out.print(f"{one.video_id} / {one.object_id}: mean IoU {one.mean_iou:.4f}, {differ}")
        for frame in one.idle_prompts:
            out.print(f"  the prompt on frame {frame}, which only the second has, left the mask there as it was")
    for name, alone in ((a, found.only_a), (b, found.only_b)):
        for video_id, object_id in alone[:MAX_ALONE_SHOWN]:
            out.print(f"{video_id} / {object_id}: only in {name}")
        if len(alone) > MAX_ALONE_SHOWN:
            out.print(f"... and {len(alone) - MAX_ALONE_SHOWN} more only in {name}; --json lists all")
