"""A job to a Ray cluster: checked here, run there, and its exit code read from the ledger."""

import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import yaml

from samurai_batch import storage
from samurai_batch.errors import ConfigError, StorageError
from samurai_batch.job import JobConfig
from samurai_batch.ledger.lease import SystemClock
from samurai_batch.ledger.schema import RunRecord
from samurai_batch.ledger.status import EXIT_DONE, EXIT_NOT_FINISHED, EXIT_TRACKS_FAILED
from samurai_batch.ledger.store import read_run
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.recipe import absolute, job_recipe
from samurai_batch.runtime.run import new_run_id

logger = get_logger(__name__)

EXIT_REFUSED = 2

PATIENCE_S = 600.0
"""So long a job is waited for of which neither the cluster nor the ledger tells anything new."""

Verb = Literal["run", "reprocess"]


class State(Protocol):
    """Where a submitted job stands."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        ...

    @property
    def exit_code(self) -> int | None:
        """That of its driver, if it has one."""
        ...


class Api(Protocol):
    """What we use of `job_api.JobApi`."""

    def submit(self, entrypoint: str, folder: Path, code: Path | None, metadata: dict[str, str]) -> str:
        """Start a command."""
        ...

    def state(self, job_id: str) -> State:
        """Where it stands. Raises ConnectionError if that cannot be told now."""
        ...

    def log(self, job_id: str) -> str:
        """All it has printed. Raises ConnectionError if that cannot be told now."""
        ...


@dataclass(frozen=True)
class Submitted:
    """A job that a cluster has taken, and the name that its run will have in the ledger."""

    job_id: str
    output: str
    run_id: str


def submit_job(
    api: Api, config: JobConfig, verb: Verb = "run", options: Sequence[str] = (), code: Path | None = None
) -> Submitted:
    """Check a job, and start ``samurai-batch <verb> <options>`` on it in the cluster.

    The cluster's machines need the package: in their image, or as ``code``, its folder or a wheel. Local paths mean
    the same there only on a file system that both share. Raises ConfigError.
    """
    if config.pool != "ray":
        raise ConfigError(f"pool is {config.pool!r}, which runs in one process; leave it out to submit the job to Ray")
    if code is not None and not code.exists():
        raise ConfigError(f"--code {code}: there is no such folder or wheel; give the package's folder or a .whl file")
    job_recipe(config, weights_digest="")  # complain here about what would be refused there
    config = _with_absolute_uris(config)
    run_id = new_run_id(SystemClock())
    with tempfile.TemporaryDirectory() as folder:
        values = config.model_dump(exclude_defaults=True)
        (Path(folder) / "job.yaml").write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False))
        entrypoint = shlex.join(["python", "-m", "samurai_batch", verb, "job.yaml", "--run-id", run_id, *options])
        job_id = api.submit(entrypoint, Path(folder), code, {"output": storage.redact(config.output), "run_id": run_id})
    return Submitted(job_id, config.output, run_id)


def wait_for(
    api: Api,
    submitted: Submitted,
    tell: Callable[[str], None] = lambda text: None,
    *,
    every_s: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
    patience_s: float = PATIENCE_S,
) -> int:
    """Wait for the end of a job; returns its exit code by the ledger. ``tell`` gets what it prints meanwhile.

    While the cluster does not answer (a tunnel is down, the head starts again) it is asked on, and the ledger as well:
    a run that has ended there has ended, and one that shows life there is waited for. Where neither says anything new
    for ``patience_s``, waiting ends with 1.
    """
    num_told, silence = 0, _Silence(submitted, patience_s)
    while True:
        try:
            state = api.state(submitted.job_id)
            text = api.log(submitted.job_id)
        except ConnectionError as error:
            code = silence.goes_on(every_s, str(error))
            if code is not None:
                return code
        else:
            silence.ends()
            tell(text[num_told:])
            num_told = len(text)
            if state.has_ended:
                return exit_code_of(submitted, state.exit_code)
        sleep(every_s)


class _Silence:
    """A time in which the cluster does not answer, and the ledger is all that tells of a job."""

    def __init__(self, submitted: Submitted, patience_s: float) -> None:
        self._submitted = submitted
        self._patience_s = patience_s
        self._silent_s: float | None = None
        self._heartbeat_at_s: float | None = None

    def ends(self) -> None:
        """The cluster has answered."""
        if self._silent_s is not None:
            logger.info("the cluster answers again")
        self._silent_s = None

    def goes_on(self, seconds: float, why: str) -> int | None:
        """So much longer now; returns the job's exit code once it has ended by the ledger, or 1 out of patience."""
        if self._silent_s is None:
            logger.warning("the cluster does not answer (%s); trying again", why)
            self._silent_s = 0.0
        self._silent_s += seconds
        record = self._record()
        if record is not None and record.status != "running":
            return exit_code_of(self._submitted, None)
        if record is not None and record.heartbeat_at_s != self._heartbeat_at_s:
            self._heartbeat_at_s, self._silent_s = record.heartbeat_at_s, 0.0
        if self._silent_s < self._patience_s:
            return None
        logger.error(
            "neither the cluster nor the ledger has told anything new of job %s for %.0f minutes; "
            "`samurai-batch status %s` tells how far it came",
            self._submitted.job_id,
            self._silent_s / 60,
            storage.redact(self._submitted.output),
        )
        return EXIT_NOT_FINISHED

    def _record(self) -> RunRecord | None:
        """The run's record; None if there is none yet, or storage does not answer either."""
        try:
            return read_run(storage, self._submitted.output, self._submitted.run_id)
        except StorageError:
            return None


def exit_code_of(submitted: Submitted, driver_exit_code: int | None) -> int:
    """What the ledger says of the job's own run: 0 all done, 3 some tracks failed, 1 not finished.

    Where there is none, the job was refused before it could begin: 2 if its driver says so, otherwise 1.
    """
    record = read_run(storage, submitted.output, submitted.run_id)
    if record is None:
        return EXIT_REFUSED if driver_exit_code == EXIT_REFUSED else EXIT_NOT_FINISHED
    if record.status != "finished":
        return EXIT_NOT_FINISHED
    return EXIT_TRACKS_FAILED if record.totals.tracks_failed + record.totals.tracks_partial else EXIT_DONE


def _with_absolute_uris(config: JobConfig) -> JobConfig:
    changes = {"prompts": absolute(config.prompts), "output": absolute(config.output)}
    if config.weights is not None and not config.weights.startswith("untrained:"):
        changes["weights"] = absolute(config.weights)
    return config.model_copy(update=changes)
