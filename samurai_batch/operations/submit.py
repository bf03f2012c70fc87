"""Submits a job to a Ray cluster: checks it here, and reads its exit code from the ledger."""

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
from samurai_batch.ledger.status import EXIT_NOT_FINISHED, exit_code
from samurai_batch.ledger.store import read_run
from samurai_batch.manifest import read_pictures, read_prompts
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.recipe import absolute, job_recipe
from samurai_batch.runtime.run import new_run_id

logger = get_logger(__name__)

EXIT_REFUSED = 2

PATIENCE_S = 600.0
"""Waiting ends after so long without an answer of the cluster or a new heartbeat in the ledger."""

Verb = Literal["run", "reprocess"]

_PACKAGE = "samurai_batch"


@dataclass(frozen=True)
class RayJobState:
    """The state of a submitted job. ``exit_code`` is its driver's, None while it runs or if it was never started."""

    has_ended: bool
    exit_code: int | None


class Api(Protocol):
    """The part of `job_api.JobApi` that is used here."""

    def submit(self, entrypoint: str, folder: Path, code: Path | None, metadata: dict[str, str]) -> str:
        """Start a command; returns the job's id."""
        ...

    def state(self, job_id: str) -> RayJobState:
        """The job's state. Raises ConnectionError if the cluster does not answer."""
        ...

    def log(self, job_id: str) -> str:
        """All that the job has printed. Raises ConnectionError if the cluster does not answer."""
        ...


@dataclass(frozen=True)
class Submitted:
    """A job that a cluster has accepted, and the id of its run in the ledger."""

    job_id: str
    output: str
    run_id: str


def submit_job(
    api: Api, config: JobConfig, verb: Verb = "run", options: Sequence[str] = (), code: Path | None = None
) -> Submitted:
    """Check a job, and start ``samurai-batch <verb> <options>`` on it in the cluster.

    The cluster's machines need the package: in their image, or as ``code``, its folder or a wheel. Local paths must be
    on a file system that this machine and the cluster share. Raises ConfigError.
    """
    if config.pool != "ray":
        raise ConfigError(f"pool is {config.pool!r}, which runs in one process; leave it out to submit the job to Ray")
    if code is not None:
        code = _checked_code(code)
    job_recipe(config, weights_digest="")  # reports wrong settings here rather than in the job's log
    config = _with_absolute_uris(config)
    _check_videos(config)
    run_id = new_run_id(SystemClock())
    with tempfile.TemporaryDirectory() as folder:
        values = config.model_dump(exclude_defaults=True)
        (Path(folder) / "job.yaml").write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False))
        entrypoint = shlex.join(["python", "-m", "samurai_batch", verb, "job.yaml", "--run-id", run_id, *options])
        job_id = api.submit(
            entrypoint, Path(folder), code, {"output": storage.redact_uri(config.output), "run_id": run_id}
        )
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
    """Wait for the end of a job; returns its exit code by the ledger. ``tell`` is given what the job prints.

    While the cluster does not answer (a tunnel is down, the head restarts), it is tried again, and the ledger is read:
    waiting goes on as long as the run has new heartbeats, and ends when it has ended. After ``patience_s`` without
    either, the exit code is 1.
    """
    num_told, outage = 0, _Outage(submitted, patience_s)
    while True:
        try:
            state = api.state(submitted.job_id)
            text = api.log(submitted.job_id)
        except ConnectionError as error:
            code = outage.continues(every_s, str(error))
            if code is not None:
                return code
        else:
            outage.ends()
            tell(text[num_told:])
            num_told = len(text)
            if state.has_ended:
                return exit_code_of(submitted, state.exit_code)
        sleep(every_s)


class _Outage:
    """A time in which the cluster does not answer, so that only the ledger tells about the job."""

    def __init__(self, submitted: Submitted, patience_s: float) -> None:
        self._submitted = submitted
        self._patience_s = patience_s
        self._seconds: float | None = None
        self._heartbeat_at_s: float | None = None

    def ends(self) -> None:
        """The cluster has answered."""
        if self._seconds is not None:
            logger.info("the cluster answers again")
        self._seconds = None

    def continues(self, seconds: float, why: str) -> int | None:
        """It is ``seconds`` longer now. Returns the exit code if the run has ended by the ledger, 1 after too long."""
        if self._seconds is None:
            logger.warning("the cluster does not answer (%s); trying again", why)
            self._seconds = 0.0
        self._seconds += seconds
        record = self._record()
        if record is not None and record.status != "running":
            return exit_code_of(self._submitted, None)
        if record is not None and record.heartbeat_at_s != self._heartbeat_at_s:
            self._heartbeat_at_s, self._seconds = record.heartbeat_at_s, 0.0
        if self._seconds < self._patience_s:
            return None
        logger.error(
            "the cluster has not answered, and the run of job %s has had no heartbeat, for %.0f minutes; "
            "`samurai-batch status %s` shows how far it came",
            self._submitted.job_id,
            self._seconds / 60,
            storage.redact_uri(self._submitted.output),
        )
        return EXIT_NOT_FINISHED

    def _record(self) -> RunRecord | None:
        """The run's record; None if there is none yet, or storage does not answer either."""
        try:
            return read_run(storage, self._submitted.output, self._submitted.run_id)
        except StorageError:
            return None


def exit_code_of(submitted: Submitted, driver_exit_code: int | None) -> int:
    """The exit code of the job's run by the ledger: 0 all done, 3 some tracks failed, 1 not finished.

    Without a record of the run, it was refused before it began: 2 if the driver's exit code says so, otherwise 1.
    """
    record = read_run(storage, submitted.output, submitted.run_id)
    if record is not None:
        return exit_code(record)
    return EXIT_REFUSED if driver_exit_code == EXIT_REFUSED else EXIT_NOT_FINISHED


def _checked_code(code: Path) -> Path:
    """The package's folder or wheel. Any other folder would be sent without a word, and not be imported there."""
    if not code.exists():
        raise ConfigError(f"--code {code}: there is no such folder or wheel; give the package's folder or a .whl file")
    path = code.resolve()
    if path.suffix == ".whl" or (path.name == _PACKAGE and (path / "__init__.py").is_file()):
        return path
    if (path / _PACKAGE / "__init__.py").is_file():
        raise ConfigError(f"--code {code}: this is the folder around the package; give {code / _PACKAGE}")
    raise ConfigError(f"--code {code}: this is not the package; give its folder, which is called {_PACKAGE}, or a .whl")


def _check_videos(config: JobConfig) -> None:
    """Check prompts tables that lie on a disk here. Raises PromptsError, and ConfigError for relative paths of videos.

    The job runs in another folder, where they would not be found.
    """
    if storage.is_remote(config.prompts):
        return
    read = read_prompts if config.task == "track" else read_pictures
    tables = storage.matches(config.prompts) if storage.is_pattern(config.prompts) else [config.prompts]
    for table in filter(storage.exists, tables):
        for uri in {file for track in read(table) for file in storage.uris_of_files(track.video.uri)}:
            if absolute(uri) != uri and not uri.startswith(("~", "file:", "local:")):
                raise ConfigError(
                    f"{storage.redact_uri(table)}: the path {uri} is relative to this folder, and the job runs in "
                    "another; write the whole path, on a file system that the cluster shares, or a URI"
                )


def _with_absolute_uris(config: JobConfig) -> JobConfig:
    changes = {"prompts": absolute(config.prompts), "output": absolute(config.output)}
    if config.detections is not None:
        changes["detections"] = absolute(config.detections)
    if config.weights is not None and not config.weights.startswith("untrained:"):
        changes["weights"] = absolute(config.weights)
    return config.model_copy(update=changes)
