"""Ray's job API: a command to a cluster, its state and its log back. Imports Ray, as `runtime.ray_pool` does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ray.job_submission import JobStatus, JobSubmissionClient

from samurai_batch.errors import ConfigError


@dataclass(frozen=True)
class JobState:
    """Where a submitted job stands; ``exit_code`` is its driver's, None while it runs or if it was never started."""

    status: str
    has_ended: bool
    message: str
    exit_code: int | None


class JobApi:
    """The job API at ``address``, such as ``http://head:8265``. Raises ConfigError if nothing answers there."""

    def __init__(self, address: str) -> None:
        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(
                f"--address {address}: no Ray job API answers there ({reason}); give the dashboard's address, "
                "such as http://head:8265"
            ) from error

    def submit(self, entrypoint: str, folder: Path, code: Path | None, metadata: Mapping[str, str]) -> str:
        """Start a command in a copy of ``folder``; ``code`` is a package's folder or a wheel to bring along."""
        runtime_env: dict[str, object] = {"working_dir": str(folder)}
        if code is not None:
            runtime_env["py_modules"] = [str(code)]
        return str(self._client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env, metadata=dict(metadata)))

    def state(self, job_id: str) -> JobState:
        """Where the job stands now."""
        info = self._client.get_job_info(job_id)
        status = JobStatus(info.status)
        return JobState(status.value, status.is_terminal(), info.message or "", info.driver_exit_code)

    def log(self, job_id: str) -> str:
        """All that the job has printed so far."""
        return str(self._client.get_job_logs(job_id))
