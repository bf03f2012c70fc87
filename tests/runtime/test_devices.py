"""Where replicas compute: decided before they start, checked where they start, written into tables and records."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from samurai_batch.errors import ConfigError
from samurai_batch.images.networks import load_network
from samurai_batch.job import JobConfig, make_job
from samurai_batch.modeling import cuda_setup
from samurai_batch.modeling.cuda_setup import CudaSetup, Gpu
from samurai_batch.runtime.devices import (
    CONTEXT_BYTES,
    check_device,
    keep_to_share,
    with_local_device,
    with_reserved_device,
)
from tests.gpu.fake_gpu import FakeGpu

OLD_DRIVER = CudaSetup(
    torch="2.13.0+cu130",
    cuda_build="13.0",
    kernels=("sm_80",),
    driver="535.104.05",
    gpus=(Gpu(name="NVIDIA L4", capability=(8, 9)),),
)


def job(**fields: Any) -> JobConfig:
    return make_job({"prompts": "prompts.csv", "output": "output", "model": "nano", **fields})


def test_on_ray_a_gpu_is_used_where_it_is_reserved_and_nowhere_else() -> None:
    assert with_reserved_device(job(dtype="float16"), 0.5).device == "cuda"
    with FakeGpu():  # which the driver's machine has, and the replicas do not
        assert with_reserved_device(job(), 0.0).device == "cpu"


def test_float32_on_reserved_gpus_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with_reserved_device(job(dtype="float32"), 1.0)
    assert "replicas compute in float32 on GPUs, which is slow; set dtype: bfloat16" in caplog.text


def test_in_this_process_auto_takes_a_gpu_that_works() -> None:
    with FakeGpu():
        assert with_local_device(job(pool="local")).device == "cuda"
        assert with_local_device(job(pool="local", device="cpu")).device == "cpu"


def test_a_reserved_gpu_without_cuda_is_an_error_that_names_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_setup, "read_cuda_setup", lambda: OLD_DRIVER)
    with pytest.raises(ConfigError, match=r"device is cuda, which cannot be used here: NVIDIA driver 535.104.05 is"):
        check_device(job(device="cuda"))


def test_what_a_replica_computes_on_is_described_for_its_tables() -> None:
    assert check_device(job(device="cpu")) == {"device": "cpu"}
    with FakeGpu(capability=(8, 9)):
        assert check_device(job(device="cuda")) == {"device": "fake GPU", "compute_capability": "8.9"}


def test_a_gpu_without_kernels_in_this_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeGpu(capability=(7, 0)):
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
        with pytest.raises(ConfigError, match=r"compute capability 7.0\) has no kernels in PyTorch"):
            check_device(job(device="cuda"))


def test_a_network_on_a_gpu_that_cannot_be_used_is_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without a job: `samurai_batch.track` and `load_network` have a device, too."""
    monkeypatch.setattr(cuda_setup, "read_cuda_setup", lambda: OLD_DRIVER)
    with pytest.raises(ConfigError, match=r"install driver 580.65.06 or newer, .*; or set device: cpu"):
        load_network("nano", device="cuda")


def test_another_gpu_that_cannot_be_used_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Gpu(name="GeForce GT 710", capability=(3, 5))
    two = replace(OLD_DRIVER, driver="580.95.05", works=True, gpus=(*OLD_DRIVER.gpus, old))
    monkeypatch.setattr(cuda_setup, "read_cuda_setup", lambda: two)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert check_device(job(device="cuda")) == {"device": "NVIDIA L4", "compute_capability": "8.9"}
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    with pytest.raises(ConfigError, match=r"GeForce GT 710 \(compute capability 3.5\) has no kernels"):
        check_device(job(device="cuda"))


@pytest.fixture
def fractions(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What PyTorch is told that this process may take of a GPU of 24 GB."""
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (20 * 10**9, 24 * 10**9))
    return told


@pytest.mark.parametrize(("asked", "reserved"), [(0.25, 0.25), (0.4, 0.5), (0.3, 0.3333)])
def test_replicas_that_share_a_gpu_leave_room_for_the_others_and_for_all_contexts(
    fractions: list[float], asked: float, reserved: float
) -> None:
    keep_to_share(job(device="cuda", num_gpus_per_replica=asked))
    assert fractions == [pytest.approx(reserved - CONTEXT_BYTES / 24e9)]


@pytest.mark.parametrize("fields", [{"num_gpus_per_replica": 1}, {"num_gpus_per_replica": 0.6}, {}])
def test_a_replica_with_a_gpu_to_itself_may_take_all_of_it(fractions: list[float], fields: dict[str, float]) -> None:
    """0.6 reserves a whole one, as no second such share fits."""
    keep_to_share(job(device="cuda", **fields))
    keep_to_share(job(device="cpu"))
    assert not fractions


def test_a_share_that_has_no_room_for_a_network_is_a_mistake(fractions: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"num_gpus_per_replica is 0.02, and that share of this GPU's 24.0 GB is tak"):
        keep_to_share(job(device="cuda", num_gpus_per_replica=0.02))
