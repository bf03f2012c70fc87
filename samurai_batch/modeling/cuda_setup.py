"""Whether PyTorch can compute on a machine's NVIDIA GPUs, and if not, one sentence on what does not fit.

Three versions have to fit: the driver's, that of CUDA in PyTorch's build, and the compute capability of each GPU, for
which the build must have kernels. A driver runs builds with every CUDA of its own major version and of older ones
(NVIDIA, CUDA Compatibility, minor version compatibility):

    PyTorch built with    needs driver
    CUDA 13.x             580.65.06 or newer
    CUDA 12.x             525.60.13 or newer
    CUDA 11.x             450.80.02 or newer
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pynvml
import torch

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.gpu import FLASH_CAPABILITY, Capability

MIN_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""The oldest driver for PyTorch built with CUDA of this major version."""

_HIDES_ALL = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU. Memory is in bytes, None where the driver's library does not tell."""

    name: str
    capability: Capability
    free_bytes: int | None = None
    total_bytes: int | None = None
    uuid: str = ""

    def __str__(self) -> str:
        return f"{self.name} (compute capability {capability_text(self.capability)})"


@dataclass(frozen=True, kw_only=True)
class CudaSetup:
    """What a process has to compute on GPUs.

    ``cuda_build`` is the CUDA version of PyTorch's build, None for a build without CUDA; ``kernels`` are the
    architectures it has kernels for, by PyTorch's names (sm_80, compute_90). ``driver`` is None where there is none.
    ``gpus`` are those of the machine, or, if PyTorch can use CUDA (``works``), those that this process sees;
    ``visible`` is CUDA_VISIBLE_DEVICES. ``error`` is what PyTorch or the driver said.
    """

    torch: str
    cuda_build: str | None = None
    kernels: tuple[str, ...] = ()
    driver: str | None = None
    gpus: tuple[Gpu, ...] = ()
    visible: str | None = None
    works: bool = False
    error: str = ""

    @property
    def hides_gpus(self) -> bool:
        """Whether CUDA_VISIBLE_DEVICES hides every GPU from this process."""
        return self.visible is not None and self.visible.strip() in _HIDES_ALL


def why_unusable(setup: CudaSetup) -> str | None:
    """Why PyTorch cannot compute on these GPUs, and the remedy, as one sentence; None if it can."""
    reasons = _reasons_of_kernels(setup) if setup.works else _reasons_without_cuda(setup)
    return next(reasons, None)


def dtype_warning(dtype: torch.dtype, gpus: Sequence[Gpu]) -> str | None:
    """What is slow about this dtype on these GPUs, and the remedy; None if nothing is known to be."""
    older = next((gpu for gpu in gpus if gpu.capability < FLASH_CAPABILITY), None)
    if dtype is not torch.bfloat16 or older is None:
        return None
    return (
        f"bfloat16 on {older}: tensor cores and flash attention compute in bfloat16 only from "
        f"{capability_text(FLASH_CAPABILITY)} on; set dtype: float16"
    )


def has_kernels(capability: Capability, kernels: Sequence[str]) -> bool:
    """Whether a build has kernels for a GPU: compiled for its major version and at most its minor one, or as PTX.

    PTX (compute_80) is compiled by the driver for any newer GPU. Names with a letter (sm_90a) are for one GPU type.
    """
    for name in kernels:
        if match := re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", name):
            kind, built_for, is_exact = match[1], (int(match[2]), int(match[3])), bool(match[4])
            is_same_major = kind == "compute" or built_for[0] == capability[0]
            if built_for == capability or (is_same_major and built_for <= capability and not is_exact):
                return True
    return False


def capability_text(capability: Capability) -> str:
    """A compute capability as NVIDIA writes it: 8.9 for (8, 9)."""
    return ".".join(map(str, capability))


def min_driver(cuda_build: str | None) -> str | None:
    """The oldest driver for a build with this version of CUDA; None if it is not known."""
    major = (cuda_build or "").partition(".")[0]
    return MIN_DRIVERS.get(int(major)) if major.isdecimal() else None


def _reasons_without_cuda(setup: CudaSetup) -> Iterator[str]:
    """Reasons why PyTorch finds no CUDA, the one to mend first coming first."""
    needed = min_driver(setup.cuda_build)
    if setup.driver is None:
        told = f" ({setup.error})" if setup.error else ""
        wanted = f"driver {needed} or newer" if needed else "one"
        yield (
            f"no NVIDIA driver answers{told}; install {wanted}, or, in a container, start it with NVIDIA's container "
            "toolkit"
        )
    if not setup.gpus:
        yield f"NVIDIA driver {setup.driver} has no GPU; use a machine with one"
    elif setup.cuda_build is None:
        yield (
            f"PyTorch {setup.torch} is built without CUDA, and this machine has {setup.gpus[0].name}; install "
            "PyTorch's build with CUDA"
        )
    if setup.driver and needed and version_of(setup.driver) < version_of(needed):
        yield (
            f"NVIDIA driver {setup.driver} is too old for PyTorch {setup.torch}, built with CUDA {setup.cuda_build}; "
            f"install driver {needed} or newer, or a build of PyTorch with an older CUDA"
        )
    if setup.hides_gpus:
        yield f"CUDA_VISIBLE_DEVICES={setup.visible!r} hides all GPUs; unset it"
    yield (
        f"PyTorch {setup.torch} cannot use {setup.gpus[0].name} with NVIDIA driver {setup.driver}: "
        f"{setup.error or 'it does not say why'}; check nvidia-smi, and restart the machine if the driver was updated"
    )


def _reasons_of_kernels(setup: CudaSetup) -> Iterator[str]:
    """Reasons why kernels cannot run, though CUDA works."""
    if not setup.gpus:
        yield "CUDA works, and shows no GPU to this process; check CUDA_VISIBLE_DEVICES"
    is_nvidia = any(name.startswith(("sm_", "compute_")) for name in setup.kernels)  # not so in builds for AMD
    for gpu in setup.gpus:
        if is_nvidia and not has_kernels(gpu.capability, setup.kernels):
            yield (
                f"{gpu} has no kernels in PyTorch {setup.torch}, which has those of {', '.join(setup.kernels)}; use "
                "another GPU, or a build of PyTorch for this one"
            )


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version, for comparisons."""
    return tuple(int(number) for number in re.findall(r"\d+", text))


# -- reading it


def current_gpu() -> Gpu:
    """The GPU that this process computes on. Raises ConfigError if PyTorch cannot use it."""
    setup = read_cuda_setup()
    if setup.works:
        setup = with_one_gpu(setup, torch.cuda.current_device())
    if reason := why_unusable(setup):
        raise ConfigError(f"device is cuda, which cannot be used here: {reason}; or set device: cpu")
    return setup.gpus[0]


def with_one_gpu(setup: CudaSetup, index: int = 0) -> CudaSetup:
    """The setup as if there were no other GPU: a process computes on one, whatever the others are."""
    return replace(setup, gpus=setup.gpus[index : index + 1])


def read_cuda_setup() -> CudaSetup:
    """The setup of this process. Starts no context on a GPU."""
    driver, gpus, error = _read_driver()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        works = torch.cuda.is_available()  # warns of what keeps CUDA from starting
    if works:
        gpus = tuple(_seen_gpu(index, gpus) for index in range(torch.cuda.device_count()))
    elif told:
        error = str(told[-1].message).partition("(Triggered")[0].strip()
    return CudaSetup(
        torch=torch.__version__,
        cuda_build=torch.version.cuda,
        kernels=tuple(torch.cuda.get_arch_list()),
        driver=driver,
        gpus=gpus,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        works=works,
        error=error,
    )


def _seen_gpu(index: int, of_driver: Sequence[Gpu]) -> Gpu:
    """The GPU of this index as PyTorch sees it, with the memory that the driver tells."""
    uuid = str(getattr(torch.cuda.get_device_properties(index), "uuid", ""))
    told = next((gpu for gpu in of_driver if uuid and gpu.uuid.endswith(uuid)), None)
    return Gpu(
        name=torch.cuda.get_device_name(index),
        capability=torch.cuda.get_device_capability(index),
        free_bytes=told.free_bytes if told else None,
        total_bytes=told.total_bytes if told else None,
        uuid=uuid,
    )


def _read_driver() -> tuple[str | None, tuple[Gpu, ...], str]:
    """Version and GPUs of the NVIDIA driver, which its own library tells, and the error if it does not."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        is_missing = error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
        return None, (), "" if is_missing else str(error)
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return driver, tuple(_driver_gpu(handle) for handle in handles), ""
    except pynvml.NVMLError as error:
        return None, (), str(error)
    finally:
        pynvml.nvmlShutdown()


def _driver_gpu(handle: object) -> Gpu:
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        free_bytes, total_bytes = memory.free, memory.total
    except pynvml.NVMLError:  # a GPU that has the host's memory (GB10, Jetson); one in parts (MIG), without privileges
        free_bytes = total_bytes = None
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        capability=(major, minor),
        free_bytes=free_bytes,
        total_bytes=total_bytes,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
    )


def _text(told: str | bytes) -> str:
    return told.decode() if isinstance(told, bytes) else told
