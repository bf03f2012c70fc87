"""A Ray cluster as a whole: joining it, its nodes, and whether an autoscaler adds more.

Where Ray offers no public name, a private one is asked behind a probe: if another version of Ray lacks it, what it
would have told is unknown, and the callers' docstrings say what follows from that.
"""

import json
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayTaskError

from samurai_batch.errors import ConfigError, SamuraiBatchError
from samurai_batch.planning.retry import FailureKind
from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

CONNECT_TIMEOUT_S = 10.0
STATUS_TIMEOUT_S = 5.0

ANNOUNCED_DEATHS = frozenset({1, 3, 4, "EXPECTED_TERMINATION", "AUTOSCALER_DRAIN_PREEMPTED", "AUTOSCALER_DRAIN_IDLE"})
"""Why nodes end on purpose, as `ray.nodes` says it: by the numbers of Ray's NodeDeathInfo, or by their names."""

_started_here = False


def connect(address: str | None) -> bool:
    """Join the cluster at ``address``, or the one a submitted job runs in, or start one on this machine.

    Returns whether this call made the connection, so that `disconnect` is up to the caller: it ends a cluster that was
    started here. Raises ConfigError within a minute if there is no cluster at the address, or none that lets us in.
    """
    global _started_here
    if ray.is_initialized():
        return False
    setting, value = _where(address)
    is_local = value == "local"
    with _told(setting, value):
        if not is_local:
            _check_that_it_answers(value)
        with _own_signal_handlers(), _warnings_are_no_errors():
            ray.init(address=value, include_dashboard=False if is_local else None)
    _started_here = is_local
    return True


def disconnect() -> None:
    """Leave the cluster, and end it if it was started here."""
    ray.shutdown()


def is_own() -> bool:
    """Whether `connect` started the cluster, on this machine, for this process."""
    return _started_here


def nodes() -> list[dict[str, Any]]:
    """All nodes that the cluster knows of, dead ones too, as Ray describes them."""
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def living_nodes() -> frozenset[str]:
    """The ids of the nodes that are alive."""
    return frozenset(node["NodeID"] for node in nodes() if node["Alive"])


def node_resources() -> list[Mapping[str, float]]:
    """What each living node has, whoever uses it."""
    return [node["Resources"] for node in nodes() if node["Alive"]]


def has_autoscaler() -> bool | None:
    """Whether something adds nodes to this cluster when they are asked for; None as long as nothing tells.

    A head tells so a few seconds after its start. A cluster that was started by `connect` never has one.
    """
    if _started_here:
        return False
    status, report = _probe(_autoscaling_state), _probe(_autoscaler_report)
    if status is not None and status.ByteSize():
        return True
    if not report:
        return None
    return not all(re.fullmatch(r"node_[0-9a-f]{40,}", kind) for kind in report.get("active_nodes", {}))


class Refusals:
    """Watches for an autoscaler's word that none of its node types can hold what is asked for."""

    def __init__(self) -> None:
        self._told: list[dict[str, float]] = []
        _probe(lambda: _dispatcher().add_handler(str(id(self)), self._listen))

    def has_refused(self, resources: Mapping[str, float]) -> bool:
        """Whether no node type holds this; False as long as nothing tells."""
        state = _probe(_autoscaling_state)
        refused = _probe(lambda: [dict(one.resources_bundle) for one in state.infeasible_resource_requests])
        return dict(resources) in [*self._told, *(refused or [])]

    def close(self) -> None:
        """Stop watching."""
        _probe(lambda: _dispatcher().remove_handler(str(id(self))))

    def _listen(self, batch: Mapping[str, Any]) -> None:
        """Take in lines of logs; called by Ray in a thread of its own."""
        if batch.get("pid") == "autoscaler":
            for line in batch.get("lines", ()):
                self._told += refused_in(line)


def refused_in(line: str) -> list[dict[str, float]]:
    """The resources of which a line of an autoscaler's log says that no node type has them."""
    _, _, rest = line.partition("No available node types can fulfill resource request")
    shapes = re.findall(r"\{[^{}]*\}", rest)
    return [{name: float(value) for name, value in re.findall(r"'([^']+)': ([\d.]+)", shape)} for shape in shapes]


def why_it_ended(error: Exception) -> str:
    """The exception of a failed start, or the last line of what Ray tells of how a process ended."""
    failed = next((one for one in (error, error.__cause__) if isinstance(one, RayTaskError)), None)
    cause = getattr(failed, "cause", None)
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:1000]
    lines = [line.strip() for line in str(failed or error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def kind_of_end(error: Exception, node_id: str) -> FailureKind:
    """Whether a replica died by itself, was lost with its node, or its node was taken away on purpose.

    A node that is cut off without a word answers nobody at once, and is known to be dead a quarter of a minute later.
    """
    node = next((node for node in nodes() if node["NodeID"] == node_id), None)
    is_gone = node is None or not node["Alive"]
    if isinstance(error, RayActorError) and error.preempted:
        return FailureKind.PREEMPTED
    if node is not None and is_gone and node.get("DeathReason") in ANNOUNCED_DEATHS:
        return FailureKind.PREEMPTED
    if is_gone or isinstance(error, ActorUnavailableError | NodeDiedError):
        return FailureKind.LOST
    return FailureKind.DIED


def _where(address: str | None) -> tuple[str, str]:
    """Who names the cluster, and how: the job, or its surroundings."""
    from_environment = os.environ.get("RAY_ADDRESS")
    if from_environment and address in (None, "auto"):
        return "RAY_ADDRESS, set in the environment,", from_environment
    return "ray_address", address or "local"


def _check_that_it_answers(address: str) -> None:
    """Raise within a minute where Ray itself would go on trying for ten. An unknown kind of address is left to Ray."""
    is_client = address.startswith("ray://")
    target = address.removeprefix("ray://") if is_client else _probe(lambda: _canonical(address))
    host, _, port = (target or "").rpartition(":")
    if not port.isdigit():
        return
    with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S):
        pass
    client = None if is_client else _probe(_gcs_client_type)
    if client is not None:
        client(address=target)  # raises after 40 s of silence, and at once if it asks for a token that we lack


@contextmanager
def _told(setting: str, value: str) -> Iterator[None]:
    """Every way that joining or starting a cluster can end, as one sentence of ours."""
    try:
        yield
    except Exception as error:  # Ray raises nearly everything, `Exception` itself included
        if value == "local":
            raise _not_started(error) from error
        remedy = "unset it" if setting.startswith("RAY_ADDRESS") else "leave it empty"
        raise ConfigError(f"{setting} {value!r}: {why_not_joined(error, remedy)}") from error


def why_not_joined(error: BaseException, remedy: str = "leave it empty") -> str:
    """What keeps us from joining a cluster, and what to do."""
    while error.__cause__ is not None:  # Ray wraps errors; the innermost one says the most
        error = error.__cause__
    text = " ".join(str(error).split())
    versions = re.search(
        r"started with:.*?Ray: (\S+).*?Python: (\S+).*?started with:.*?Ray: (\S+).*?Python: (\S+)", text
    )
    if versions is not None:
        there_ray, there_python, here_ray, here_python = (version.rstrip(".") for version in versions.groups())
        return (
            f"that cluster runs Ray {there_ray} on Python {there_python}, and this process Ray {here_ray} on Python "
            f"{here_python}; use the same versions in both"
        )
    if "token" in text.lower() and "auth" in text.lower():
        return (
            "that cluster lets in only who has its token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file "
            "that holds it"
        )
    return f"no Ray cluster answers there ({_short(text)}); start one, or {remedy} to have one started here"


def _not_started(error: Exception) -> SamuraiBatchError:
    """Why no Ray could be started on this machine."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    if isinstance(error, OSError) and variable is not None:
        return ConfigError(
            f"{variable}={os.environ[variable]}: Ray cannot keep its sockets and logs there ({_short(str(error))}); "
            "set RAY_TMPDIR to a folder that you may write to and whose path is short, such as /tmp"
        )
    return SamuraiBatchError(f"Ray could not be started on this machine: {_short(str(error))}")


def _short(text: str, most: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put back the handler of SIGTERM that `ray.init` replaces, where this thread may."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _warnings_are_no_errors() -> Iterator[None]:
    """Let Ray start where PYTHONWARNINGS makes warnings errors: its processes, which inherit that, warn and go on."""
    before = os.environ.pop("PYTHONWARNINGS", None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before
    # The processes outlive Ray's handles on them; said at exit, as an error in a destructor, that is a traceback.
    warnings.filterwarnings("ignore", "subprocess .* is still running", ResourceWarning)


# -- what only private names tell


def _probe(read: Callable[[], Any]) -> Any:
    """What a private name of Ray tells; None where it does not, for whatever reason."""
    try:
        return read()
    except Exception as error:  # another version may fail in any way
        logger.debug("not told by this Ray: %s", error)
        return None


def _gcs_client_type() -> Any:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    return GcsClient


def _gcs_client() -> Any:
    return _gcs_client_type()(address=ray.get_runtime_context().gcs_address)


def _canonical(address: str) -> str | None:
    """The host and port that Ray connects to: that of this machine's cluster for "auto", no loopback."""
    from ray._private.services import canonicalize_bootstrap_address

    return canonicalize_bootstrap_address(address)


def _autoscaling_state() -> Any:
    """What version 2 of the autoscaler, KubeRay's and that of `ray up`, has reported; empty where there is none."""
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # type: ignore[attr-defined]

    reply = GetClusterStatusReply()
    reply.ParseFromString(_gcs_client().get_cluster_status(timeout_s=STATUS_TIMEOUT_S))
    return reply.autoscaling_state


def _autoscaler_report() -> dict[str, Any]:
    """What version 1 has reported; a head without an autoscaler makes up a type "node_<id>" for every node."""
    text = _gcs_client().internal_kv_get(b"__autoscaling_status", None, timeout=STATUS_TIMEOUT_S)
    return dict(json.loads(text)["autoscaler_report"])


def _dispatcher() -> Any:
    """Hands every line of logs that reaches this driver to who asks for them."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher

    return global_worker_stdstream_dispatcher
