"""What a machine has for a job, one line each, and what of it would let the job fail."""

import logging
import shutil
import sys
from dataclasses import replace
from typing import Any

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.modeling.cuda_setup import CudaSetup, Gpu
from samurai_batch.runtime import machine_checks
from samurai_batch.runtime.machine_checks import Check, check_here, check_machine, check_setup, problems

L4 = Gpu(name="NVIDIA L4", capability=(8, 9), free_bytes=21_900_000_000, total_bytes=22_500_000_000)
T4 = Gpu(name="Tesla T4", capability=(7, 5))
NO_GPU = CudaSetup(torch="2.13.0+cu130", cuda_build="13.0", kernels=("sm_75", "sm_80"))
WORKS = replace(NO_GPU, driver="580.95.05", gpus=(L4,), works=True)
OLD_DRIVER = replace(WORKS, driver="535.104.05", works=False)


def job(**fields: Any) -> JobConfig:
    return make_job({"prompts": "none", "output": "none", "dtype": "bfloat16", **fields})


def check(checks: tuple[Check, ...], subject: str) -> Check:
    (found,) = [one for one in checks if one.subject == subject]
    return found


def test_a_gpu_that_works_is_described_with_what_the_network_will_use() -> None:
    checks = check_setup(job(device="cuda"), WORKS)
    assert not problems(checks)
    assert check(checks, "torch").result == "2.13.0+cu130, built with CUDA 13.0"
    assert check(checks, "driver").result == "580.95.05"
    assert check(checks, "GPU 0").result == "NVIDIA L4, compute capability 8.9, 21.9 of 22.5 GB free"
    assert check(checks, "network").result == "on a GPU in bfloat16, flash attention"
    float32 = check_setup(job(device="cuda", dtype="float32"), WORKS)
    assert check(float32, "network").result == "on a GPU in float32, memory-efficient attention"


def test_bfloat16_on_a_gpu_before_8_0_is_a_warning() -> None:
    checks = check_setup(job(device="cuda"), replace(WORKS, gpus=(T4,)))
    assert check(checks, "network").level == "warning"
    assert check(checks, "network").result.endswith("set dtype: float16")
    assert not problems(checks)


def test_a_job_on_gpus_fails_where_cuda_does_not_work() -> None:
    (told,) = problems(check_setup(job(device="cuda"), OLD_DRIVER))
    assert told.startswith("CUDA: NVIDIA driver 535.104.05 is too old for PyTorch 2.13.0+cu130, built with CUDA 13.0;")
    assert told.endswith("; or set device: cpu")
    assert problems(check_setup(job(device="cuda"), NO_GPU))
    assert not problems(check_setup(job(device="cpu"), OLD_DRIVER))


def test_ray_would_reserve_a_gpu_that_auto_cannot_use_and_threads_would_take_the_cpu() -> None:
    assert problems(check_setup(job(), OLD_DRIVER))
    local = check_setup(job(pool="local"), OLD_DRIVER)
    assert not problems(local)
    assert check(local, "CUDA").level == "warning"
    assert check(local, "CUDA").result.startswith("not used: NVIDIA driver 535.104.05 is too old")
    assert check(local, "network").result.startswith("on the CPU in bfloat16; kernels: ")
    hidden = check_setup(job(), replace(OLD_DRIVER, visible=""))
    assert not problems(hidden)


def test_threads_compute_on_the_first_gpu_and_ray_reserves_any() -> None:
    two = replace(WORKS, gpus=(L4, Gpu(name="Tesla V100", capability=(7, 0))), kernels=("sm_75", "sm_80"))
    assert not problems(check_setup(job(pool="local"), two))
    (told,) = problems(check_setup(job(), two))
    assert told.startswith("CUDA: Tesla V100 (compute capability 7.0) has no kernels in PyTorch")


def test_without_a_gpu_auto_takes_the_cpu_and_nothing_is_wrong() -> None:
    checks = check_setup(job(), NO_GPU)
    assert {one.level for one in checks} == {"ok"}
    assert check(checks, "GPU").result == "none"


def test_nodes_with_another_version_of_this_package_are_a_problem() -> None:
    (told,) = problems(check_setup(job(device="cpu"), NO_GPU, submitter="9.9.9"))
    assert told.endswith("but the job is started by samurai-batch 9.9.9; install the same version on both")


@pytest.mark.parametrize(("device", "names"), [("cuda", "gcc or clang"), ("cpu", "g++ or clang++")])
def test_compiling_needs_a_compiler(device: str, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (told,) = problems(check_setup(job(device=device, compile=True), WORKS))
    assert told == f"compiler: compile: true needs {names}, and neither is there; install one, or set compile: false"


def test_a_decoder_that_cannot_be_loaded_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    (told,) = problems(check_setup(job(device="cpu", decoder="decord"), NO_GPU))
    assert told.startswith("decoder: decoder: decord cannot be loaded here (")


def test_a_run_does_not_start_on_a_machine_where_it_would_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(machine_checks, "read_cuda_setup", lambda: OLD_DRIVER)
    with pytest.raises(ConfigError, match=r"no replica can work on this machine: CUDA: NVIDIA driver 535.104.05 is"):
        check_here(job(device="cuda"))
    with caplog.at_level(logging.WARNING):
        check_here(job(pool="local"))
    assert "this machine: CUDA: not used: NVIDIA driver 535.104.05 is too old" in caplog.text


def test_this_machine_says_what_it_has() -> None:
    checks = check_machine(job(device="cpu"))
    assert [one.subject for one in checks if not one.subject.startswith("GPU")] == [
        "python", "torch", "driver", "network", "memory", "decoder",
    ]  # fmt: skip
    assert " GB free" in check(checks, "memory").result
    assert str(Check(subject="torch", result="2.13.0")) == "ok       torch      2.13.0"
