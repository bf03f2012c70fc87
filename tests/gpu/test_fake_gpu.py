"""The fake GPU refuses and records what a real one would, and computes what the CPU does."""

import threading
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.gpu.fake_gpu import GARBAGE_BYTE, MADE_UP, FakeGpu


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with FakeGpu() as fake:
        yield fake


def test_a_layer_on_it_gives_the_numbers_of_the_cpu(gpu: FakeGpu) -> None:
    layer, x = nn.Linear(8, 4), torch.randn(3, 8)
    expected = layer(x)
    found = layer.to("cuda")(x.to("cuda"))
    assert (found.device, found.is_cuda) == (torch.device("cuda", 0), True)
    assert layer.weight.device == found.device
    torch.testing.assert_close(found.cpu(), expected)


def test_outside_of_it_there_is_no_gpu() -> None:
    with FakeGpu():
        assert torch.cuda.is_available()
    assert not torch.cuda.is_available()


@pytest.mark.parametrize("index", [0, (..., 1), (slice(0, 2), None), (1, slice(None, None, 2)), ([2, 0],), -1])
def test_indexing_is_that_of_pytorch(gpu: FakeGpu, index: object) -> None:
    x = torch.arange(12.0).view(3, 4)
    there = x.to("cuda")
    assert torch.equal(there[index].cpu(), x[index])  # type: ignore[index]
    there[index], x[index] = -1.0, -1.0  # type: ignore[index]
    assert torch.equal(there.cpu(), x)


def test_an_operation_on_tensors_of_both_devices_is_recorded(gpu: FakeGpu) -> None:
    x = torch.ones(3).to("cuda")
    x * 2, x + torch.tensor(1.0)  # numbers go along with the launch
    assert not gpu.mixed
    x + torch.ones(3)
    torch.stack([torch.ones(3), x])
    F.scaled_dot_product_attention(x.view(1, 1, 3, 1), x.view(1, 1, 3, 1), torch.ones(1, 1, 3, 1))
    assert [one.partition(" ")[0] for one in gpu.mixed] == ["add", "stack", "attention"]


def test_views_are_no_launches_and_a_composite_operation_is_the_ones_it_is_made_of(gpu: FakeGpu) -> None:
    x = torch.zeros(4, 4, device="cuda")
    gpu.reset()
    x.view(2, 8), x[0], x.T, x.unflatten(0, (2, 2)), x.split(2), x.expand(3, 4, 4)
    assert gpu.num_launches == 0
    with torch.inference_mode():
        F.linear(x[None], x, x[0])
        (x + 1).flatten()
    assert gpu.launches == {"addmm": 1, "add": 1}


def test_everything_that_the_host_waits_for_is_recorded(gpu: FakeGpu) -> None:
    x = torch.ones(3).to("cuda")
    gpu.reset()
    x.tolist(), x.cpu(), x.to("cpu", torch.float64), float(x[0]), bool((x > 0).any()), x[x > 0], torch.nonzero(x)
    torch.cuda.synchronize()
    kinds = [wait.kind for wait in gpu.waits]
    number = "_local_scalar_dense"
    assert kinds == ["tolist", "copy to host", "copy to host", number, number, "index", "nonzero", "synchronize"]


def test_a_wait_counts_what_was_enqueued_after_what_it_is_for(gpu: FakeGpu) -> None:
    x = torch.ones(3).to("cuda")
    y = x + 1
    y.tolist()
    x * 2, x * 3
    y.tolist()
    assert [wait.num_later for wait in gpu.waits] == [0, 2]


def test_the_host_waits_for_uploads_from_pageable_memory_or_without_non_blocking(gpu: FakeGpu) -> None:
    host = torch.ones(3)
    host.to("cuda"), host.pin_memory().to("cuda"), host.to("cuda", non_blocking=True)
    torch.tensor([1, 2], device="cuda")
    host.pin_memory().to("cuda", non_blocking=True)
    torch.empty(3, pin_memory=True).to("cuda", non_blocking=True)
    assert [upload.host_waits for upload in gpu.uploads] == [True] * 4 + [False] * 2


def test_a_copy_into_pinned_memory_arrives_when_an_event_after_it_has_been_waited_for(gpu: FakeGpu) -> None:
    x = torch.ones(3).to("cuda")
    before, after = torch.cuda.Event(), torch.cuda.Event()
    host = torch.zeros(3, pin_memory=True)
    before.record()
    host.copy_(x, non_blocking=True)
    after.record()
    x.zero_()  # later in the stream
    before.synchronize()
    assert bool((host.view(torch.uint8) == GARBAGE_BYTE).all())
    after.synchronize()
    assert host.tolist() == [1.0] * 3
    assert gpu.waits[-1].until < gpu.waits[-1].enqueued


def test_threads_that_start_in_it_are_watched_too(gpu: FakeGpu) -> None:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(3).to("cuda")), name="other")
    thread.start()
    thread.join()
    assert found[0].is_cuda
    assert [upload.thread for upload in gpu.uploads] == ["other"]


def test_with_shapes_only_what_the_host_reads_is_made_up() -> None:
    with FakeGpu(values=False) as gpu:
        x = torch.zeros(2, 1 << 20, 1 << 20, device="cuda") + 1
        assert x[0, 0, :2].tolist() == [MADE_UP] * 2
        assert x[:, 0, 0].cpu().tolist() == [MADE_UP] * 2
        assert gpu.num_launches == 3
