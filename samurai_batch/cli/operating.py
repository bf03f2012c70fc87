"""The verbs of day after day: how a run stands, jobs on a cluster, what is new or stale, and what changed."""

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


@app.command()
def status(
    output: Annotated[str, typer.Argument(help="The output folder of a job; a path or URI.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --watch one line each time.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every few seconds, until the run has ended.")] = False,
    every_s: Annotated[float, typer.Option("--every", help="Seconds between two looks.")] = 5.0,
    details: Annotated[bool, typer.Option("--details", help="Every replica and every video as well.")] = False,
) -> None:
    """Say how far an output is, and what failed and why.

    From its ledger alone: no Ray is needed, and it may run elsewhere.
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
    """Who watches may come before the job, which takes a while to begin on a cluster."""
    from samurai_batch import storage
    from samurai_batch.ledger.status import check_has_ledger

    has_told = False
    while True:
        try:
            return check_has_ledger(storage, output)
        except ConfigError as error:
            if not has_told:
                err.print(f"{error}; waiting for a job to begin, ctrl-C ends it")
            has_told = True
            time.sleep(every_s)


@app.command()
@takes_options()
def submit(
    job: Annotated[str, typer.Argument(help="A job in YAML, a path or URI.")],
    options: dict[str, str],
    address: Annotated[str, typer.Option(help="Ray's job API, such as http://head:8265.")],
    reprocess: Annotated[bool, typer.Option("--reprocess", help="Submit `reprocess` instead of `run`.")] = False,
    code: Annotated[Path | None, typer.Option(help="The package's folder or wheel, where no image has it.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay to the end; the exit code is the ledger's.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="As --wait, and show the job's log.")] = False,
) -> None:
    """Start a job on a Ray cluster; ctrl-C leaves it running.

    Example: samurai-batch submit job.yaml --address http://head:8265 --wait
    """
    from samurai_batch.operations.job_api import JobApi
    from samurai_batch.operations.submit import submit_job, wait_for

    api = JobApi(address)
    submitted = submit_job(api, load_job_of(job, options), "reprocess" if reprocess else "run", code=code)
    out.print(f"submitted {submitted.job_id}")
    if wait or follow:
        log: list[str] = []
        code_of_ledger = wait_for(api, submitted, (lambda text: out.print(text, end="")) if follow else log.append)
        if code_of_ledger not in (0, 3):
            out.print("".join(log)[-3000:])
        out.print(f"ended with {code_of_ledger}")
        raise typer.Exit(code_of_ledger)


@app.command()
@takes_options()
def reprocess(
    job: Annotated[str, typer.Argument(help="A job in YAML, a path or URI; its prompts may be a pattern.")],
    options: dict[str, str],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and why, and write nothing.")] = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only what failed before.")] = False,
    since: Annotated[str | None, typer.Option(help="Only videos written since this date or time (UTC).")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove tracks that the source no longer asks for.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep replaced tables, for `diff`.")] = True,
    run_id: RunId = None,
) -> None:
    """Compute what is new, stale or failed, and nothing else."""
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
    print_summary(result.summary)


@app.command()
def history(output: Annotated[str, typer.Argument(help="The output folder of a job; a path or URI.")]) -> None:
    """List all runs of an output, and what each changed."""
    from samurai_batch import storage
    from samurai_batch.ledger.status import check_has_ledger
    from samurai_batch.operations.history import read_history

    check_has_ledger(storage, output)
    for run in read_history(output):
        started = datetime.fromtimestamp(run.record.started_at_s, UTC)
        out.print(f"{run.record.run_id}  {started:%Y-%m-%d %H:%M:%S}  {run.record.status}")
        for change in run.changes or ():
            out.print(f"  {change.video_id} / {change.object_id}: {change.reason}: {change.status}")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="An output folder, or <output>@<run_id>.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare two results, the least alike track first.

    Of each track: mean IoU, frames that differ, the worst frame.
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
    for name, alone in (("first", found.only_a), ("second", found.only_b)):
        for video_id, object_id in alone:
            out.print(f"{video_id} / {object_id}: only in the {name}")
