"""Whether PyTorch can compute on a machine's GPUs, and the sentence that says why not."""

from dataclasses import replace
from types import SimpleNamespace

import pynvml
import pytest
import torch

from samurai_batch.modeling.cuda_setup import (
    CudaSetup,
    Gpu,
    dtype_warning,
    has_kernels,
    min_driver,
    read_cuda_setup,
    why_unusable,
)
from tests.gpu.fake_gpu import FakeGpu

L4 = Gpu(name="NVIDIA L4", capability=(8, 9))
T4 = Gpu(name="Tesla T4", capability=(7, 5))
V100 = Gpu(name="Tesla V100-SXM2-16GB", capability=(7, 0))
KERNELS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
FITS = CudaSetup(
    torch="2.13.0+cu130", cuda_build="13.0", kernels=KERNELS, driver="580.95.05", gpus=(L4,), visible=None, works=True
)
FAILS = replace(FITS, works=False)


def test_a_setup_whose_versions_fit_is_usable() -> None:
    assert why_unusable(FITS) is None
    assert why_unusable(replace(FITS, gpus=(T4, L4))) is None
    assert why_unusable(replace(FITS, kernels=("gfx90a", "gfx942"))) is None  # AMD's, by their own names
    assert why_unusable(replace(FITS, driver=None)) is None  # where the driver's library is not in the container


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (replace(FAILS, driver=None, gpus=()), "no NVIDIA driver answers; install driver 580.65.06 or newer, or, in a"),
        (
            replace(FAILS, driver=None, gpus=(), error="Driver/library version mismatch"),
            "no NVIDIA driver answers (Driver/library version mismatch); install driver 580.65.06",
        ),
        (
            replace(FAILS, torch="2.13.0+cpu", cuda_build=None, driver=None, gpus=()),
            "no NVIDIA driver answers; install one, or, in a container",
        ),
        (replace(FAILS, gpus=()), "NVIDIA driver 580.95.05 has no GPU; use a machine with one"),
        (
            replace(FAILS, torch="2.13.0+cpu", cuda_build=None, kernels=()),
            "PyTorch 2.13.0+cpu is built without CUDA, and this machine has NVIDIA L4; install PyTorch's build with",
        ),
        (
            replace(FAILS, driver="570.133.20"),
            "NVIDIA driver 570.133.20 is too old for PyTorch 2.13.0+cu130, built with CUDA 13.0; install driver "
            "580.65.06 or newer, or a build of PyTorch with an older CUDA",
        ),
        (
            replace(FAILS, torch="2.13.0+cu126", cuda_build="12.6", driver="470.256.02"),
            "NVIDIA driver 470.256.02 is too old for PyTorch 2.13.0+cu126, built with CUDA 12.6; install driver 525.60",
        ),
        (replace(FAILS, visible=""), "CUDA_VISIBLE_DEVICES='' hides all GPUs; unset it"),
        (replace(FAILS, visible="-1"), "CUDA_VISIBLE_DEVICES='-1' hides all GPUs; unset it"),
        (
            replace(FAILS, error="CUDA unknown error"),
            "PyTorch 2.13.0+cu130 cannot use NVIDIA L4 with NVIDIA driver 580.95.05: CUDA unknown error; check",
        ),
        (
            replace(FAILS, cuda_build="14.1", driver="700.1"),
            "PyTorch 2.13.0+cu130 cannot use NVIDIA L4 with NVIDIA driver 700.1: it does not say why; check nvidia-smi",
        ),
        (
            replace(FITS, gpus=(L4, V100)),
            "Tesla V100-SXM2-16GB (compute capability 7.0) has no kernels in PyTorch 2.13.0+cu130, which has those of "
            "sm_75, sm_80, sm_86, sm_90, sm_100, sm_120, compute_120; use another GPU, or a build",
        ),
        (replace(FITS, gpus=()), "CUDA works, and shows no GPU to this process; check CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_its_remedy(setup: CudaSetup, reason: str) -> None:
    sentence = why_unusable(setup)
    assert sentence is not None
    assert sentence.startswith(reason)
    assert "\n" not in sentence
    assert "; " in sentence


def test_a_driver_runs_builds_of_its_own_major_version_of_cuda_and_of_older_ones() -> None:
    """Driver 535 came with CUDA 12.2; 12.8 needs no newer one."""
    twelve_eight = replace(FAILS, cuda_build="12.8", driver="535.104.05")
    assert "too old" not in (why_unusable(twelve_eight) or "")
    assert "too old" not in (why_unusable(replace(twelve_eight, cuda_build="11.8")) or "")
    assert "too old" in (why_unusable(replace(twelve_eight, cuda_build="13.0")) or "")


def test_a_driver_that_works_by_forward_compatibility_is_not_refused_for_its_version() -> None:
    assert why_unusable(replace(FITS, driver="535.104.05")) is None


@pytest.mark.parametrize(
    ("capability", "kernels", "expected"),
    [
        ((8, 0), KERNELS, True),
        ((8, 9), KERNELS, True),  # sm_86 runs on 8.9
        ((8, 7), ("sm_89",), False),
        ((7, 0), KERNELS, False),
        ((6, 1), KERNELS, False),
        ((12, 1), KERNELS, True),
        ((11, 0), KERNELS, False),  # sm_100 is of another major version, compute_120 is newer
        ((13, 0), KERNELS, True),  # compiled by the driver from compute_120
        ((9, 0), ("sm_90a",), True),
        ((9, 1), ("sm_90a",), False),
        ((9, 0), ("gfx942", "sm_ninety"), False),
    ],
)
def test_kernels_run_on_their_major_version_and_ptx_on_everything_newer(
    capability: tuple[int, int], kernels: tuple[str, ...], expected: bool
) -> None:
    assert has_kernels(capability, kernels) is expected


def test_bfloat16_below_8_0_is_warned_of() -> None:
    told = dtype_warning(torch.bfloat16, [L4, T4])
    assert told is not None
    assert told.startswith("bfloat16 on Tesla T4 (compute capability 7.5): tensor cores")
    assert told.endswith("set dtype: float16")
    assert dtype_warning(torch.bfloat16, [L4]) is None
    assert dtype_warning(torch.float16, [T4]) is None


def test_the_oldest_driver_is_known_for_the_builds_in_use() -> None:
    assert min_driver("13.0") == "580.65.06"
    assert min_driver("12.6") == "525.60.13"
    assert min_driver(None) is min_driver("14.0") is None


def test_the_setup_of_this_process_says_why_cuda_cannot_be_used() -> None:
    setup = read_cuda_setup()
    assert setup.torch == torch.__version__
    assert setup.works == torch.cuda.is_available()
    assert (why_unusable(setup) is None) == setup.works


def test_a_gpu_is_described_as_pytorch_sees_it() -> None:
    with FakeGpu(capability=(8, 9)):
        setup = read_cuda_setup()
    assert [(gpu.name, gpu.capability) for gpu in setup.gpus] == [("fake GPU", (8, 9))]
    assert why_unusable(setup) is None


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_gpu_whose_memory_the_driver_does_not_tell_is_there_all_the_same(
    error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that has no memory of its own, or one that is divided and seen from a container."""

    def refuse(handle: object) -> None:
        raise pynvml.NVMLError(error)

    answers = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlSystemGetDriverVersion": "580.126.09",
        "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetHandleByIndex": SimpleNamespace(),
        "nvmlDeviceGetCudaComputeCapability": (12, 1),
        "nvmlDeviceGetName": "NVIDIA GB10",
        "nvmlDeviceGetUUID": "GPU-1",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", refuse)
    setup = read_cuda_setup()
    assert (setup.driver, setup.error) == ("580.126.09", "")
    assert setup.gpus == (Gpu(name="NVIDIA GB10", capability=(12, 1), uuid="GPU-1"),)
