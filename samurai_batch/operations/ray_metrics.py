"""How far a run is, as metrics of Ray, which every node serves to Prometheus beside its own."""

from types import TracebackType

from ray.util.metrics import Gauge

from samurai_batch.planning.retry import FailureKind
from samurai_batch.runtime.progress import ProgressSink, Snapshot

GAUGES = {
    "tracks": "tracks of the job",
    "tracks_done": "tracks done, those of earlier runs included",
    "tracks_partial": "tracks of truncated videos, published up to where these end",
    "tracks_failed": "tracks failed",
    "tracks_waiting": "tracks that have not ended, in work or not",
    "frames_encoded": "frames encoded in this run",
    "track_frames": "frames followed in this run, summed over tracks",
    "track_frames_left": "frames still to follow, summed over tracks; an estimate until every video was opened",
    "replicas": "replicas that are ready or at work",
    "frames_per_s": "frames followed per second since the run began, summed over tracks",
    "decode_s": "seconds that networks waited for frames, summed over replicas",
    "encode_s": "seconds of encoding frames, summed over replicas",
    "propagate_s": "seconds of following tracks, summed over replicas",
    "write_s": "seconds that networks waited for rows and states to be written, summed over replicas",
    "device_memory_bytes": "the most that any replica has taken of its GPU, 0 without one",
}
"""What a Snapshot says in one number; each is served as ``ray_samurai_batch_<name>``, by output."""
FAILURES = "failures"
"""Served likewise, by output and kind: orders that failed, those that went well when tried again included."""


class MetricsSink:
    """A watch that looks on in front of another, and sets the gauges at most every ``every_s`` seconds."""

    def __init__(self, inner: ProgressSink, output: str, every_s: float = 2.0) -> None:
        """``output`` is a tag of every gauge; the caller redacts it."""
        self._inner = inner
        self._output = output
        self._every_s = every_s
        self._next_s = 0.0
        self._gauges: dict[str, Gauge] = {}

    def show(self, snapshot: Snapshot) -> None:
        """Tell the other watch, and the gauges if it is time."""
        self._inner.show(snapshot)
        if snapshot.elapsed_s < self._next_s or not snapshot.replicas:
            return  # before the first replica nobody may have joined a cluster yet
        self._next_s = snapshot.elapsed_s + self._every_s
        tags = {"output": self._output}
        if not self._gauges:
            self._make_gauges()
        for name in GAUGES:
            self._gauges[name].set(getattr(snapshot, name), tags=tags)
        for kind in FailureKind:
            self._gauges[FAILURES].set(snapshot.failures.get(kind, 0), tags=tags | {"kind": kind.value})

    def _make_gauges(self) -> None:
        for name, description in GAUGES.items():
            self._gauges[name] = Gauge(f"samurai_batch_{name}", description, tag_keys=("output",))
        description = "orders that failed, those that went well when tried again included"
        self._gauges[FAILURES] = Gauge(f"samurai_batch_{FAILURES}", description, tag_keys=("output", "kind"))

    def __enter__(self) -> "MetricsSink":
        """Begin to look on."""
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run is over."""
        self._inner.__exit__(kind, error, trace)
