"""The progress of a run as metrics of Ray, which every node serves to Prometheus beside its own."""

from typing import Any

from ray.util.metrics import Gauge

from samurai_batch.planning.retry import FailureKind
from samurai_batch.runtime.progress import ProgressSink, RunProgress
from samurai_batch.stats import STAGES

GAUGES = {
    "tracks": "tracks of the job",
    "tracks_done": "tracks done, those of earlier runs included",
    "tracks_partial": "tracks of truncated videos, published up to where these end",
    "tracks_failed": "tracks failed",
    "tracks_waiting": "tracks that have not ended",
    "frames_encoded": "frames encoded in this run",
    "track_frames": "frames propagated in this run, summed over tracks",
    "rescue_tests": "frames on which a rescue has tested other masks in this run, summed over tracks",
    "rescues": "frames whose mask a rescue has replaced in this run, summed over tracks",
    "track_frames_left": "frames still to propagate, summed over tracks; an estimate until every video was opened",
    "replicas": "replicas that are ready or at work",
    "frames_per_s": "frames propagated per second since the run began, summed over tracks",
    "device_memory_bytes": "the most that any replica has held of its GPU, 0 without one",
    **{f"{stage}_s": f"seconds of {doing}, summed over replicas" for stage, doing in STAGES.items()},
}
"""The numbers of a `RunProgress` that are served, each as ``ray_samurai_batch_<name>``, by output."""
FAILURES = "failures"
"""Served likewise, by output and kind: failed orders, also those that succeeded when retried."""


class MetricsSink(ProgressSink):
    """Passes progress on to another sink, and sets the gauges at most every ``every_s`` seconds."""

    def __init__(self, inner: ProgressSink, output: str, every_s: float = 2.0) -> None:
        """``output`` is a tag of every gauge; the caller redacts it."""
        self._inner = inner
        self._output = output
        self._every_s = every_s
        self._next_s = 0.0
        self._gauges: dict[str, Gauge] = {}

    def show(self, progress: RunProgress) -> None:
        """Tell the other sink, and set the gauges if it is time."""
        self._inner.show(progress)
        totals = progress.totals
        if totals.seconds < self._next_s or not totals.replicas:
            return  # before the first replica is ready, this process may not have joined a cluster yet
        self._next_s = totals.seconds + self._every_s
        tags = {"output": self._output}
        if not self._gauges:
            self._make_gauges()
        numbers = progress.numbers()
        for name in GAUGES:
            self._gauges[name].set(numbers[name], tags=tags)
        for kind in FailureKind:
            self._gauges[FAILURES].set(totals.failures.get(kind, 0), tags=tags | {"kind": kind.value})

    def _make_gauges(self) -> None:
        for name, description in GAUGES.items():
            self._gauges[name] = Gauge(f"samurai_batch_{name}", description, tag_keys=("output",))
        description = "failed orders, also those that succeeded when retried"
        self._gauges[FAILURES] = Gauge(f"samurai_batch_{FAILURES}", description, tag_keys=("output", "kind"))

    def __enter__(self) -> "MetricsSink":
        """The run begins."""
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """The run is over."""
        self._inner.__exit__(*error)
