"""Ray's job API: submits a command to a cluster, and reads its state and its log."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient

from samurai_batch.errors import ConfigError
from samurai_batch.operations.submit import RayJobState

TIMEOUT_S = 60.0

OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Environment variables that Ray's client prefers to the address that it is given."""


class _BoundedClient(JobSubmissionClient):
    """Ray's client with a timeout, which it lacks: without one it waits for ever if a tunnel is dead."""

    def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": TIMEOUT_S} | more)


class JobApi:
    """The job API at ``address``, such as ``http://head:8265``. Raises ConfigError if nothing answers there."""

    def __init__(self, address: str) -> None:
        self._address = _with_scheme(address)
        with self._refusing(), _own_address():
            self._client = _BoundedClient(self._address)

    def submit(self, entrypoint: str, folder: Path, code: Path | None, metadata: Mapping[str, str]) -> str:
        """Start a command in a copy of ``folder``; ``code`` is the package's folder or a wheel to upload.

        Raises ConfigError if the cluster does not accept it.
        """
        runtime_env: dict[str, object] = {"working_dir": str(folder)}
        if code is not None:
            runtime_env["py_modules"] = [str(code)]
        with self._refusing():
            return str(self._client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env, metadata=dict(metadata)))

    def state(self, job_id: str) -> RayJobState:
        """The job's state. Raises ConnectionError if the cluster does not answer."""
        with _unreachable():
            info = self._client.get_job_info(job_id)
            return RayJobState(JobStatus(info.status).is_terminal(), info.driver_exit_code)

    def log(self, job_id: str) -> str:
        """All that the job has printed so far. Raises ConnectionError if the cluster does not answer."""
        with _unreachable():
            return str(self._client.get_job_logs(job_id))

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turns whatever keeps a cluster from accepting a job into a ConfigError."""
        try:
            yield
        except Exception as error:  # the answer of a proxy, a tunnel or another server may fail in any way
            raise ConfigError(f"--address {self._address}: {_why(error)}") from error


@contextmanager
def _unreachable() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # as above; the caller tries again
        raise ConnectionError(_reason(error)) from error


def _why(error: Exception) -> str:
    """What went wrong, and what to do."""
    text = str(error)
    code = re.search(r"status code (\d+)|^(\d{3}) \w+ Error", text)
    status = next((group for group in code.groups() if group), "") if code else ""
    # by its name, which older versions of Ray lack
    if type(error).__name__ == "AuthenticationError" or status in ("401", "403"):
        return (
            "this cluster accepts jobs only with its token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to "
            "the file that holds it"
        )
    if status in ("502", "503", "504"):
        return f"a proxy answers there, but it does not reach a Ray cluster ({_reason(error)}); is the head up?"
    return f"no Ray job API answers there ({_reason(error)}); give the dashboard's address, such as http://head:8265"


def _reason(error: Exception) -> str:
    """The text of an error without the HTML page that a proxy may have sent."""
    text = " ".join(str(error).partition("<")[0].split())
    return (text or type(error).__name__)[:300]


def _with_scheme(address: str) -> str:
    """The address as a URL. Raises ConfigError if it is another kind of address."""
    scheme, found, _ = address.partition("://")
    if not found:
        return f"http://{address}"
    if scheme not in ("http", "https"):
        raise ConfigError(f"--address {address}: give the dashboard's address, such as http://head:8265")
    return address


@contextmanager
def _own_address() -> Iterator[None]:
    """Removes the variables that Ray's client prefers to the address that it is given."""
    before = {name: os.environ.pop(name) for name in OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
