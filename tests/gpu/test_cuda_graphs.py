"""Operations replayed as CUDA graphs, on the fake GPU: the masks of operations that are not, by far fewer launches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from samurai_batch.benchmark import costs
from samurai_batch.job import make_job
from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.cuda_graphs import CALLS_BEFORE_CAPTURE, MOST_GRAPHS, Replayed, with_cuda_graphs
from samurai_batch.runtime import assembly
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from tests.deterministic import small_model
from tests.gpu.checks import gpu_tracker
from tests.gpu.fake_gpu import FakeGpu
from tests.gpu.test_tracking import assert_equal_chunks, run_chunks
from tests.tracking.scripts import VARIANTS

FRAMES_PER_CHUNK = 14
NEW_JOB = {"prompts": "prompts.csv", "output": "out"}


@pytest.fixture
def gpu(one_thread: None) -> Iterator[FakeGpu]:
    with FakeGpu() as fake:
        yield fake


def replaying(settings: TrackerSettings) -> Tracker:
    plain = gpu_tracker(settings)
    return Tracker(plain.model, settings, with_cuda_graphs(plain.operations, captures_encoder=True))


@pytest.mark.parametrize("mode", VARIANTS)
@pytest.mark.parametrize(("count", "use_threads"), [(1, False), (8, True)])
def test_a_tracker_that_replays_finds_what_the_cpu_finds(
    gpu: FakeGpu, mode: str, count: int, use_threads: bool
) -> None:
    """Every prompt, tracks that begin late and are prompted again, memories that fill and then stay full."""
    chunks = {"chunk_frames": FRAMES_PER_CHUNK, "frames_per_batch": 1}
    graphs = FRAMES_PER_CHUNK + 1
    found = run_chunks(replaying(VARIANTS[mode]), gpu, count, use_threads, **chunks, min_graphs=graphs)
    expected = run_chunks(Tracker(small_model(), VARIANTS[mode]), None, count, use_threads, **chunks)
    assert_equal_chunks(found, expected)


def double(x: Tensor, by: float = 2.0) -> Tensor:
    return x * by + 1.0


def calls(function: Replayed[Tensor], gpu: FakeGpu, *shapes: int) -> list[int]:
    """Graph launches of calls with vectors of these lengths, one after the other; each result is checked."""
    launches = []
    for number, length in enumerate(shapes):
        gpu.reset()
        x = gpu.on_device(torch.full((length,), float(number)))
        assert function(x).tolist() == [2.0 * number + 1] * length
        launches.append(gpu.launches["graph"])
    return launches


def test_a_shape_is_captured_when_it_comes_for_the_third_time_in_a_row(gpu: FakeGpu) -> None:
    assert CALLS_BEFORE_CAPTURE == 2
    replayed = Replayed(double, (0, 1))
    assert calls(replayed, gpu, 5, 5, 5, 5) == [0, 0, 1, 1]
    assert calls(replayed, gpu, 6, 7, 6, 7, 6, 5) == [0, 0, 0, 0, 0, 1]


def test_a_benchmark_times_replayed_operations_and_counts_the_work_of_those_that_are_not(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replayed operation cannot be looked into: nothing would be counted."""

    def graphs_started_by(work: Callable[[], object]) -> float:
        before = gpu.launches["graph"]
        work()
        return float(gpu.launches["graph"] - before)

    monkeypatch.setattr(costs, "_gflop", graphs_started_by)
    found = costs.measure_costs(replaying(TrackerSettings()), 1, (2,), repeats=1, matmul_gflops=10.0)
    assert gpu.launches["graph"] > 0
    assert found.encode_gflop == found.steps[0].propagate_gflop == 0.0


def test_constants_of_a_call_are_captured_with_it(gpu: FakeGpu) -> None:
    replayed = Replayed(double, (0, 1))
    x = gpu.on_device(torch.ones(4))
    for _ in range(4):
        assert replayed(x, 2.0).tolist() == [3.0] * 4
    assert replayed(x, 3.0).tolist() == [4.0] * 4


def test_the_graph_that_was_used_longest_ago_is_dropped(gpu: FakeGpu) -> None:
    replayed = Replayed(double, (0, 1))
    for length in range(1, MOST_GRAPHS + 1):
        calls(replayed, gpu, length, length, length)
    assert calls(replayed, gpu, 1) == [1]
    calls(replayed, gpu, 99, 99, 99)
    assert calls(replayed, gpu, 1, 2, 3) == [1, 0, 1]


def test_a_result_is_not_changed_by_the_next_call(gpu: FakeGpu) -> None:
    replayed = Replayed(double, (0, 1))
    results = [replayed(gpu.on_device(torch.full((4,), float(number)))) for number in range(6)]
    assert [result.tolist()[0] for result in results] == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]


@dataclass
class Scaled:
    """Multiplies by a constant of its own, of which one variant is kept."""

    weight: Tensor
    constants: Constants

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.constants.get("scale", lambda: self.weight * 2.0, self.weight, variant=len(x))


def test_a_graph_keeps_the_constants_that_it_reads(gpu: FakeGpu) -> None:
    """Another shape puts another variant in their place, and their memory must not be given to others."""
    scaled = Scaled(gpu.on_device(torch.tensor([3.0])), Constants())
    replayed = Replayed(scaled, (0, 1))
    for length in (4, 4, 4, 5, 5, 5, 4, 5):
        gpu.reset()
        assert replayed(gpu.on_device(torch.ones(length))).tolist() == [6.0] * length
    assert gpu.launches["graph"] == 1


def waits_for_the_device(x: Tensor) -> Tensor:
    return x * float(x.sum())


def test_what_cannot_be_captured_is_named(gpu: FakeGpu) -> None:
    replayed = Replayed(waits_for_the_device, (0, 1))
    x = gpu.on_device(torch.ones(3))
    for _ in range(2):
        assert replayed(x).tolist() == [3.0] * 3
    with pytest.raises(RuntimeError, match=r"not permitted when stream is capturing .*; .* leave cuda_graphs out"):
        replayed(x)


@pytest.mark.parametrize("compiles", [False, True])
def test_a_job_with_cuda_graphs_replays_every_operation_that_is_not_compiled(
    gpu: FakeGpu, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "compiled_encoder", lambda model, _: model.encode_image)
    config = make_job({**NEW_JOB, "device": "cuda", "cuda_graphs": True, "compile": compiles})
    operations = vars(assembly.make_tracker(config, load_weights("nano")).operations)
    not_replayed = {name for name, function in operations.items() if not isinstance(function, Replayed)}
    assert not_replayed == ({"encode_image"} if compiles else set())


@pytest.mark.parametrize("wishes", [{"device": "cpu"}, {"device": "auto", "cuda_graphs": True}])
def test_without_a_gpu_nothing_is_replayed(wishes: dict[str, object]) -> None:
    tracker = assembly.make_tracker(make_job({**NEW_JOB, **wishes}), load_weights("nano"))
    assert not any(isinstance(function, Replayed) for function in vars(tracker.operations).values())
