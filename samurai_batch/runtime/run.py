"""A job from its configuration to the driver: what to follow, with which weights, on which pool."""

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING

from samurai_batch import storage
from samurai_batch.errors import CheckpointError, ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.modeling.weight_files import weights_digest
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.runtime.asking import check_auto_prompts
from samurai_batch.runtime.driver import Environment, RunDescription, drive
from samurai_batch.runtime.environment import Clock, SystemClock, versions
from samurai_batch.runtime.hooks import RunHooks
from samurai_batch.runtime.ledger import RUN_ID, read_run, run_uri
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.progress import ProgressLog, ProgressSink
from samurai_batch.runtime.recipe import (
    checked_tracks,
    job_recipe,
    with_absolute_paths,
    with_redacted_uris,
)
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.signals import stop_on_signals
from samurai_batch.runtime.summary import RunSummary
from samurai_batch.tasks import Track

if TYPE_CHECKING:
    from samurai_batch.runtime.assembly import JobWeights, ReplicaPlan


def new_run_id(clock: Clock) -> str:
    """A name that sorts by time, to the millisecond, and is never given twice."""
    moment = datetime.fromtimestamp(clock.now_s(), UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{uuid.uuid4().hex[:8]}"


def run_job(
    config: JobConfig,
    *,
    tracks: Sequence[Track] | None = None,
    watch: ProgressSink | None = None,
    make_pool: "Callable[[ReplicaPlan], Pool] | None" = None,
    run_id: str | None = None,
    retry_failed: bool = False,
    hooks: RunHooks | None = None,
) -> RunSummary:
    """Run a job to its end: the same call resumes it, and does nothing when all is done.

    A track that failed by its input (a file that cannot be read, a prompt that does not fit it) is not tried again as
    long as that is the same, but counts as failed; ``retry_failed`` tries it again. Any other failure is tried again.
    ``tracks`` stand for the prompts table; ``watch`` is told of progress (default: lines in the log); ``make_pool``
    replaces the pool that the job asks for; ``run_id`` is a name from `new_run_id`, for who has to know it beforehand;
    ``errands`` are done to the output under the run's lease.
    Raises UsageError for what is wrong with the job, PromptError for tracks of one name, and what `drive` raises.
    """
    config = with_absolute_paths(config)
    job_recipe(config, weights_digest="")  # complain about settings before reading a large table or weights
    tracks = checked_tracks(config, tracks)
    check_auto_prompts(tracks, config)
    load = cache(partial(_load_weights, config))
    is_far = config.weights is not None and storage.is_remote(config.weights)  # and so fetched once, not twice
    recipe = job_recipe(config, load().digest if is_far else weights_digest(config.model, config.weights))
    clock = SystemClock()
    run_id = new_run_id(clock) if run_id is None else _checked_run_id(run_id, config.output)
    run = RunDescription(run_id, with_redacted_uris(config), versions())
    with stop_on_signals() as should_stop, watch or ProgressLog() as shown:
        world = Environment(
            store=storage,
            clock=clock,
            watch=shown,
            make_pool=lambda: _make_pool(config, load(), recipe, run_id, make_pool),
            should_stop=should_stop,
            tidy=partial(storage.sweep_temporaries, config.output),
        )
        return drive(tracks, recipe, DriverSettings.of(config, retry_failed=retry_failed), run, world, hooks)


def _load_weights(config: JobConfig) -> "JobWeights":
    from samurai_batch.runtime.assembly import load_job_weights  # torch is for those who have something to compute

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
    plan = assembly.ReplicaPlan(config, weights, assembly.table_metadata(recipe, weights, run_id))
    return (make_pool or assembly.make_pool)(plan)


def _checked_run_id(run_id: str, output: str) -> str:
    if re.fullmatch(RUN_ID, run_id) is None:
        raise ConfigError(f"run_id {run_id!r} is no name of a run; leave it out to have one made")
    if read_run(storage, run_uri(output, run_id)) is not None:
        raise ConfigError(f"run_id {run_id}: {storage.redact(output)} has had that run; leave it out to have one made")
    return run_id
