"""What the tests on the fake GPU ask of every part, and the tracks and networks they share."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from samurai_batch.tracking.recent_frames import RecentFrames
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from tests.deterministic import deterministic_frames, normalised, small_model
from tests.gpu.fake_gpu import FakeGpu
from tests.gpu.records import Upload, Wait
from tests.tracking.scripts import SIZE, Script

MAIN = "MainThread"

Model = TypeVar("Model", bound=nn.Module)


def on_gpu(model: Model) -> Model:
    """A copy of a network on the fake GPU."""
    return copy.deepcopy(model).to("cuda")


def gpu_tracker(settings: TrackerSettings) -> Tracker:
    """The small network of the tests on the fake GPU."""
    return Tracker(on_gpu(small_model()), settings)


@dataclass(frozen=True)
class Step:
    """What one step asked of the device, and what it found."""

    waits: list[Wait]
    uploads: list[Upload]
    num_launches: int
    results: list[TrackResult]


def run_steps(gpu: FakeGpu, tracker: Tracker, scripts: Sequence[Script], num_frames: int) -> list[Step]:
    """Propagate the scripts together through the first frames of the test video."""
    dtype = tracker.model.no_obj_ptr.dtype
    states, recent = [script.state() for script in scripts], RecentFrames(tracker.encode)
    steps = []
    for index, frame in enumerate(deterministic_frames(num_frames, SIZE)):
        active = [number for number, script in enumerate(scripts) if script.covers(index)]
        features = tracker.encode(normalised(frame).to(dtype).pin_memory().to("cuda", non_blocking=True))
        inputs = [TrackInput(states[number], scripts[number].prompts.get(index)) for number in active]
        gpu.reset()
        recent.add(index, features)
        results = tracker.step(features, inputs, recent=recent)
        assert_clean(gpu)
        steps.append(Step(gpu.waits, gpu.uploads, gpu.num_launches, results))
    return steps


def assert_clean(gpu: FakeGpu) -> None:
    """No operation mixes devices, and no upload lets the host wait."""
    assert not gpu.mixed
    assert not [upload for upload in gpu.uploads if upload.host_waits]


def assert_waits_once_a_step(waits: Sequence[Wait], num_steps: int) -> None:
    """The thread of the network waits once for each step, and not for work that was enqueued after what it wants."""
    of_network = [wait for wait in waits if wait.thread == MAIN]
    assert [wait.kind for wait in of_network] == ["event"] * num_steps
    assert not [wait for wait in of_network if wait.num_later]
