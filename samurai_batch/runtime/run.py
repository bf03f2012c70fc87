"""Runs a job: from its configuration to the driver, with its tracks, weights and pool."""

import platform
import re
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING

from samurai_batch import storage
from samurai_batch.errors import CheckpointError, ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.ledger.lease import Clock, SystemClock
from samurai_batch.ledger.schema import RUN_ID
from samurai_batch.ledger.status import RunSummary
from samurai_batch.ledger.store import read_run
from samurai_batch.modeling.weight_files import weights_digest
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.redaction import get_logger, redact_values
from samurai_batch.runtime.carried_tracks import CarriedTracks
from samurai_batch.runtime.detection import check_auto_prompts
from samurai_batch.runtime.driver import Environment, RunDescription, RunHooks, drive
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.preparation import Preparer
from samurai_batch.runtime.progress import ProgressLog, ProgressSink
from samurai_batch.runtime.recipe import (
    checked_tracks,
    job_recipe,
    with_absolute_paths,
    with_detections,
    with_resolved_dtype,
)
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.source_checks import check_sources
from samurai_batch.tasks import Track

if TYPE_CHECKING:
    from samurai_batch.runtime.assembly import JobWeights, ReplicaPlan

logger = get_logger(__name__)


def new_run_id(clock: Clock) -> str:
    """A name that sorts by time, to the millisecond, and is never given twice."""
    moment = datetime.fromtimestamp(clock.now_s(), UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{uuid.uuid4().hex[:8]}"


def run_job(
    config: JobConfig,
    *,
    tracks: Sequence[Track] | None = None,
    progress: ProgressSink | None = None,
    make_pool: "Callable[[ReplicaPlan], Pool] | None" = None,
    run_id: str | None = None,
    retry_failed: bool = False,
    hooks: RunHooks | None = None,
) -> RunSummary:
    """Run a job to its end. The same call resumes it, and does nothing when all is done.

    Tracks that failed because of their input (unreadable video, prompt outside the video) are not retried until the
    video or the prompt changes; ``retry_failed`` retries them. Tracks that failed otherwise are always retried.
    ``tracks`` replace the prompts table, ``make_pool`` the pool that the job asks for; ``progress`` receives the
    progress (default: lines in the log); ``run_id`` is a name from `new_run_id`; ``hooks`` are called under the lease.
    Raises UsageError for what is wrong with the job, PromptError for two tracks of one name, and what `drive` raises.
    """
    config = with_resolved_dtype(with_absolute_paths(config))
    job_recipe(config, weights_digest="")  # reports wrong settings before a large table or weights are read
    tracks = checked_tracks(config, tracks)
    check_auto_prompts(tracks, config)
    tracks, detections = with_detections(config, tracks)
    load = cache(partial(_load_weights, config))
    is_remote = config.weights is not None and storage.is_remote(config.weights)  # downloaded once, not twice
    recipe = job_recipe(config, load().digest if is_remote else weights_digest(config.model, config.weights))
    settings = DriverSettings.of(config, retry_failed=retry_failed, detections=detections)
    # The driver reads the output again, under its lease.
    check_sources(config, tracks, CarriedTracks(tracks, Preparer(recipe, storage, settings)))
    clock = SystemClock()
    run_id = new_run_id(clock) if run_id is None else _checked_run_id(run_id, config.output)
    run = RunDescription(run_id, redact_values(config.model_dump()), versions())
    with stop_on_signals() as should_stop, progress or ProgressLog() as sink:
        environment = Environment(
            store=storage,
            clock=clock,
            progress=sink,
            make_pool=lambda: _make_pool(config, load(), recipe, run_id, make_pool),
            should_stop=should_stop,
            remove_temporaries=partial(storage.sweep_temporaries, config.output),
        )
        return drive(tracks, recipe, settings, run, environment, hooks)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within the block, the first SIGINT or SIGTERM only sets a flag; a second one acts as before.

    Outside the main thread Python takes no signal handlers: there the flag is never set.
    """
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request_stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        restore()
        logger.warning("%s: stopping; the same command continues from here", signal.Signals(number).name)

    for number in before:
        signal.signal(number, request_stop)
    try:
        yield stopping.is_set
    finally:
        restore()


def versions() -> dict[str, str]:
    """Of the software that a run's results may depend on, for its record."""
    packages = ("samurai-batch", "torch", "ray", "pyarrow", "numpy", "av")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _load_weights(config: JobConfig) -> "JobWeights":
    from samurai_batch.runtime.assembly import load_job_weights  # imports torch: only if there is work

    return load_job_weights(config)


def _make_pool(
    config: JobConfig,
    weights: "JobWeights",
    recipe: Recipe,
    run_id: str,
    make_pool: "Callable[[ReplicaPlan], Pool] | None",
) -> Pool:
    from samurai_batch.runtime import assembly

    if weights.digest != recipe.weights_digest:
        raise CheckpointError(f"weights {weights.source} changed while the run began; start it again")
    plan = assembly.ReplicaPlan(config, weights, assembly.table_metadata(config, recipe, weights, run_id))
    return (make_pool or assembly.make_pool)(plan)


def _checked_run_id(run_id: str, output: str) -> str:
    if re.fullmatch(RUN_ID, run_id) is None:
        raise ConfigError(f"run_id {run_id!r} is not the name of a run; leave it out to get a new one")
    if read_run(storage, output, run_id) is not None:
        raise ConfigError(
            f"run_id {run_id}: {storage.redact_uri(output)} already has this run; leave run_id out to get a new one"
        )
    return run_id
