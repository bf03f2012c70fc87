"""Loads weights, checks them against the model table, and builds the network.

A model is named by a row of the model table; its weights by one of

    a local path or any fsspec URI    a released ``.pt`` (parameters under the key ``model``) or safetensors
    untrained:<seed>                  random weights for tests and trials; their masks mean nothing
    None                              the weights that ship with the package (``nano``)

No code in a file is executed (``weights_only``), and parameter names and shapes must match exactly. Files are
memory-mapped: processes of one machine share one copy of a file, and Ray's actors share one copy of the weights in
their dtype. So a file in use must be replaced by a new one, not overwritten.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import TypeVar

from samurai_batch import storage
from samurai_batch.errors import CheckpointError, ConfigError
from samurai_batch.modeling.configs import SAM_MODELS, SamConfig, VideoModelConfig, image_models, model_config
from samurai_batch.modeling.cuda_setup import current_gpu
from samurai_batch.modeling.gpu import prepare_gpu
from samurai_batch.modeling.kernels import warn_of_slow_bfloat16
from samurai_batch.modeling.sam import SAM
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.modeling.untrained import seeded_weights
from samurai_batch.modeling.weight_files import OTHER_FILES, UNTRAINED, weights_digest, weights_file

Config = TypeVar("Config", VideoModelConfig, SamConfig, default=VideoModelConfig)

_NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
BATCH_COUNTER = ".num_batches_tracked"
UNTRAINED_OFFSETS = {"running_var": 3.0}  # of untrained batch norms: positive, and outputs stay in scale


@dataclass(frozen=True)
class Weights(Generic[Config]):
    """Parameters by the checkpoint's names, and the SHA-256 of the file (`weights_digest`).

    ``source`` is the path or URI without credentials.
    """

    config: Config
    tensors: dict[str, Tensor]
    digest: str
    source: str

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle tensors as numpy arrays: Ray keeps these in shared memory, and its actors read them without a copy."""
        arrays = {name: _Array.of(tensor) for name, tensor in self.tensors.items()}
        return _unpickled, (self.config, arrays, self.digest, self.source)

    def in_dtype(self, dtype: torch.dtype) -> "Weights[Config]":
        """The weights converted as a network that computes in ``dtype`` needs them.

        Replicas of one machine then share one copy, in memory and in the processors' shared cache.
        """
        own: Weights[Any] = self
        network = (build_sam if isinstance(self.config, SamConfig) else build_model)(own, dtype=dtype)
        return replace(self, tensors=dict(network.state_dict()))

    @property
    def are_trained(self) -> bool:
        """False for `untrained:<seed>`, whose masks mean nothing."""
        return not self.source.startswith(UNTRAINED)


def load_weights(model: str, weights: str | None = None) -> Weights:
    """Read the weights of a model and check them against its row of the model table.

    Raises ConfigError for an unknown model, and CheckpointError for a file that is missing, damaged, holds code or
    belongs to another model.
    """
    return _load(model_config(model), weights)


def load_sam_weights(model: str, weights: str | None = None) -> Weights[SamConfig]:
    """As `load_weights`, for a row of the table of SAM's models."""
    if model not in SAM_MODELS:
        raise ConfigError(f"model {model!r} is not a SAM; those are {', '.join(SAM_MODELS)}")
    return _load(SAM_MODELS[model], weights)


def _load(config: Config, weights: str | None) -> Weights[Config]:
    if weights is not None and weights.startswith(UNTRAINED):
        return _drawn(config, weights)
    source = "shipped with the package" if weights is None else storage.redact_uri(weights)
    with weights_file(config.name, weights) as path:
        tensors = _with_counters(_parse(path, source), config)
        _check_fits(tensors, config, source)
        digest = weights_digest(config.name, str(path))
    return Weights(config, tensors, digest, source)


def build_model(
    weights: Weights,
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> SAM2:
    """The network with these weights on ``device``, for S x S images, computing in ``dtype``, without gradients.

    On a GPU this sets switches of PyTorch for the whole process (see `gpu.prepare_gpu`). Raises ConfigError if
    PyTorch cannot use the GPUs of this machine.
    """
    with torch.device("meta"), _Undrawn():
        model = SAM2(weights.config, image_size)
    model.load_state_dict(weights.tensors, strict=True, assign=True)
    _prepare(dtype, device)
    return model.in_dtype(dtype).to(device).eval().requires_grad_(False)


def build_sam(
    weights: Weights[SamConfig],
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> SAM:
    """As `build_model`, for SAM; ``image_size`` must be None or the model's own."""
    weights.config.check_image_size(image_size)
    with torch.device("meta"), _Undrawn():
        model = SAM(weights.config)
    model.load_state_dict(weights.tensors, strict=True, assign=True)
    _prepare(dtype, device)
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def _prepare(dtype: torch.dtype, device: torch.device | str) -> None:
    kind = torch.device(device).type
    if kind == "cuda":
        current_gpu()  # raises if it cannot be used
        prepare_gpu()
    elif kind == "cpu" and dtype is torch.bfloat16:
        warn_of_slow_bfloat16()


class _Undrawn(TorchFunctionMode):
    """Skips the random initialisation of layers on the device "meta".

    PyTorch would load its compiler for it, which takes longer than everything else here.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == torch.nn.init.__name__:
            return None  # they work in place, and their return values are not used
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def _drawn(config: Config, name: str) -> Weights[Config]:
    seed = name.removeprefix(UNTRAINED)
    if not seed.isdecimal():
        raise ConfigError(f"weights {name!r}: after {UNTRAINED!r} comes a seed, a whole number such as 0")
    shapes = {key: shape for key, shape in parameter_shapes(config).items() if not key.endswith(BATCH_COUNTER)}
    tensors = seeded_weights(shapes, int(seed), UNTRAINED_OFFSETS)
    return Weights(config, _with_counters(tensors, config), weights_digest(config.name, name), name)


def parameter_shapes(config: VideoModelConfig | SamConfig) -> dict[str, torch.Size]:
    """Names and shapes of everything a checkpoint of this model holds."""
    with torch.device("meta"), _Undrawn():
        model = SAM(config) if isinstance(config, SamConfig) else SAM2(config)
        return {name: value.shape for name, value in model.state_dict().items()}


def _with_counters(tensors: Mapping[str, Tensor], config: VideoModelConfig | SamConfig) -> dict[str, Tensor]:
    """The tensors with the counters that PyTorch's batch norms keep of their training; nothing depends on them.

    Files may leave them out.
    """
    counters = (name for name in parameter_shapes(config) if name.endswith(BATCH_COUNTER) and name not in tensors)
    return dict(tensors) | {name: torch.tensor(0) for name in counters}


def _parse(path: Path, source: str) -> dict[str, Tensor]:
    head = b""
    try:
        with path.open("rb") as file:
            head = file.read(64)
        return _parse_torch(path, source) if head.startswith(b"PK") else load_file(path)
    except SafetensorError as error:
        for begin, what in OTHER_FILES.items():
            if head.lstrip().lower().startswith(begin):
                raise CheckpointError(f"weights {source} are {what}") from error
        raise CheckpointError(
            f"weights {source} are neither a PyTorch checkpoint nor safetensors ({error}); download them again"
        ) from error
    except OSError as error:
        raise CheckpointError(f"weights {source} cannot be read: {error.strerror or error}") from error


def _parse_torch(path: Path, source: str) -> dict[str, Tensor]:
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("the end of the file is missing")
        if path.suffix == ".safetensors":  # PyTorch goes by the name
            raise CheckpointError(f"weights {source} are a checkpoint of PyTorch; let the name end in .pt")
        if _is_torchscript(path):
            raise CheckpointError(
                f"weights {source} are a TorchScript archive, which is code; save torch.jit.load(path).state_dict()"
            )
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"weights {source} hold more than tensors, and code in a checkpoint is never run; "
            "use a file that holds weights alone"
        ) from error
    except Exception as error:  # damaged bytes lead PyTorch's unpickler to errors of any type, such as IndexError
        raise CheckpointError(f"weights {source} are damaged ({_first_line(error)}); download them again") from error
    tensors = content.get("model", content) if isinstance(content, dict) else None
    if not _are_parameters(tensors):
        raise CheckpointError(f"weights {source} hold no parameters under the key 'model'{_where(content)}")
    return tensors


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _where(content: object) -> str:
    """Under which other keys a checkpoint holds parameters, and what to do, to be added to a message."""
    values = content if isinstance(content, dict) else {}
    keys = [key for key, value in values.items() if value is not content and value and _are_parameters(value)]
    if not keys:
        return "; give a checkpoint of the model"
    return f", but under {' and '.join(map(repr, keys))}; save {{'model': checkpoint[{keys[0]!r}]}} with torch.save"


@dataclass(frozen=True)
class _Array:
    """A tensor as an array of bytes, which may be read-only memory shared between processes."""

    values: NDArray[np.uint8]
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "_Array":
        return cls(tensor.contiguous().flatten().view(torch.uint8).numpy(), tuple(tensor.shape), tensor.dtype)

    def tensor(self) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(self.values).view(self.dtype).view(self.shape)


def _unpickled(config: Config, arrays: Mapping[str, _Array], digest: str, source: str) -> Weights[Config]:
    return Weights(config, {name: array.tensor() for name, array in arrays.items()}, digest, source)


def _are_parameters(content: object) -> TypeGuard[dict[str, Tensor]]:
    """Whether a value of a checkpoint holds tensors by name and nothing else."""
    return isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_fits(tensors: Mapping[str, Tensor], config: VideoModelConfig | SamConfig, source: str) -> None:
    """Raise CheckpointError unless names and shapes are the model's; if they are another's, the message names it."""
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes == parameter_shapes(config):
        for name in sorted(tensors):
            if reason := None if name.endswith(BATCH_COUNTER) else _why_unusable(tensors[name]):
                raise CheckpointError(f"weights {source}: {name} holds {reason}")
        return
    if others := [other.name for other in image_models().values() if shapes == parameter_shapes(other)]:
        raise CheckpointError(
            f"weights {source} are those of {' or '.join(others)}, not of {config.name}; set model: {others[0]}"
        )
    expected = parameter_shapes(config)
    if prefix := _common_prefix(shapes, expected):
        raise CheckpointError(
            f"weights {source} are of {config.name}, but all their names begin with {prefix!r}; save them without it"
        )
    missing, extra = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    wrong = sorted(name for name in expected.keys() & shapes.keys() if expected[name] != shapes[name])
    parts = [
        f"{len(names)} {word} (such as {names[0]})"
        for word, names in (("missing", missing), ("unknown", extra), ("of another shape", wrong))
        if names
    ]
    raise CheckpointError(
        f"weights {source} are not of {config.name}: parameters {', '.join(parts)}; give weights of {config.name},"
        " or set model to the one that these are of"
    )


def _common_prefix(shapes: Mapping[str, torch.Size], expected: Mapping[str, torch.Size]) -> str:
    """What wrappers such as DistributedDataParallel have put before every name of the expected ones; "" if nothing."""
    given, own = (
        {name: shape for name, shape in one.items() if not name.endswith(BATCH_COUNTER)} for one in (shapes, expected)
    )
    prefix = min(given, default="").removesuffix(min(own))
    return prefix if given == {prefix + name: shape for name, shape in own.items()} else ""


def _why_unusable(tensor: Tensor) -> str | None:
    """What a parameter holds that a network cannot compute with, and the remedy; None if it can."""
    if tensor.dtype not in _NUMBERS:
        return f"{tensor.dtype}, not real numbers; save the weights in float32"
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return f"a tensor of layout {tensor.layout} on {tensor.device}; save plain tensors"
    if not torch.isfinite(tensor).all():
        return "NaN or infinity; the training has failed, or the file is damaged"
    return None
