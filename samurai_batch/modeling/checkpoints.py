"""Weights: where they come from, what they must be, and the network made of them.

A model is named by a row of the model table; its weights by

    a local path or any fsspec URI    a released ``.pt`` (its parameters under the key ``model``) or safetensors
    untrained:<seed>                  drawn, not trained: masks that mean nothing, for tests and trials
    None                              those that ship inside the package (``nano``)

Files are read without executing anything in them (``weights_only``), and loaded strictly.
"""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor
from typing_extensions import TypeVar

from samurai_batch import storage
from samurai_batch.errors import CheckpointError, ConfigError
from samurai_batch.modeling.configs import MODELS, SAM_MODELS, Sam2Config, SamConfig
from samurai_batch.modeling.sam import SAM
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.modeling.untrained import seeded_weights

UNTRAINED = "untrained:"
SHIPPED = Path(__file__).parent / "weights"

Config = TypeVar("Config", Sam2Config, SamConfig, default=Sam2Config)


@dataclass(frozen=True)
class Weights(Generic[Config]):
    """Parameters by the checkpoint's own names, and the SHA-256 of what they were read from.

    ``source`` says where they came from, without credentials.
    """

    config: Config
    tensors: dict[str, Tensor]
    digest: str
    source: str

    @property
    def are_trained(self) -> bool:
        """Whether masks made with these weights mean anything."""
        return not self.source.startswith(UNTRAINED)


def model_config(name: str) -> Sam2Config:
    """The row of the model table; raises ConfigError for a name that is not in it."""
    if name in SAM_MODELS:
        raise ConfigError(
            f"model {name!r} segments single images and follows nothing; choose one of {', '.join(MODELS)}"
        )
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is not known; the models are {', '.join(MODELS)}")
    return MODELS[name]


def load_weights(model: str, weights: str | None = None) -> Weights:
    """Read the weights of a model and check them against its table row.

    Raises ConfigError for an unknown model and CheckpointError for a file that is missing, damaged, holds code,
    or belongs to another model.
    """
    return _load(model_config(model), weights)


def load_sam_weights(model: str, weights: str | None = None) -> Weights[SamConfig]:
    """As `load_weights`, for a row of SAM's own table."""
    if model not in SAM_MODELS:
        raise ConfigError(f"model {model!r} is not a SAM; those are {', '.join(SAM_MODELS)}")
    return _load(SAM_MODELS[model], weights)


def _load(config: Config, weights: str | None) -> Weights[Config]:
    if weights is not None and weights.startswith(UNTRAINED):
        return _drawn(config, weights)
    data = _shipped(config.name) if weights is None else _read(weights)
    source = "shipped with the package" if weights is None else storage.redact(weights)
    tensors = _parse(data, source)
    _check_fits(tensors, config, source)
    return Weights(config, tensors, hashlib.sha256(data).hexdigest(), source)


def build_model(
    weights: Weights,
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> SAM2:
    """The network of these weights, ready to track: S x S images, parameters of ``dtype`` on ``device``."""
    if image_size is not None and (image_size <= 0 or image_size % 32):
        raise ConfigError(f"image_size {image_size} is not a positive multiple of 32")
    with torch.device("meta"):
        model = SAM2(weights.config, image_size)
    model.load_state_dict(weights.tensors, strict=True, assign=True)
    model.rebuild_position_tables()
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def build_sam(
    weights: Weights[SamConfig],
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> SAM:
    """SAM's network of these weights; ``image_size`` can only be the one it was trained for."""
    size = weights.config.image_size
    if image_size not in (None, size):
        raise ConfigError(f"image_size {image_size}: {weights.config.name} knows {size} alone; leave it out")
    with torch.device("meta"):
        model = SAM(weights.config)
    model.load_state_dict(weights.tensors, strict=True, assign=True)
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def _drawn(config: Config, name: str) -> Weights[Config]:
    seed = name.removeprefix(UNTRAINED)
    if not seed.isdecimal():
        raise ConfigError(f"weights {name!r}: after {UNTRAINED!r} comes a seed, a whole number such as 0")
    tensors = seeded_weights(parameter_shapes(config), int(seed))
    return Weights(config, tensors, hashlib.sha256(f"{config.name} {name}".encode()).hexdigest(), name)


def parameter_shapes(config: Sam2Config | SamConfig) -> dict[str, torch.Size]:
    """Names and shapes of everything a checkpoint of this model holds."""
    with torch.device("meta"):
        model = SAM(config) if isinstance(config, SamConfig) else SAM2(config)
        return {name: value.shape for name, value in model.state_dict().items()}


def _shipped(model: str) -> bytes:
    path = SHIPPED / f"{model}.safetensors"
    if not path.exists():
        raise CheckpointError(
            f"the weights of {model} do not ship with this package; download them and name the file"
            f" (weights: /path/to/{model}.pt, or an https://, s3:// or hf:// address)"
        )
    return path.read_bytes()


def _read(uri: str) -> bytes:
    try:
        return storage.read_bytes(uri)
    except FileNotFoundError as error:
        raise CheckpointError(f"weights {storage.redact(uri)} do not exist") from error


def _parse(data: bytes, source: str) -> dict[str, Tensor]:
    if data[:2] == b"PK":
        return _parse_torch(data, source)
    try:
        return load_safetensors(data)
    except SafetensorError as error:
        raise CheckpointError(
            f"weights {source} are neither a PyTorch checkpoint nor safetensors ({error}); download them again"
        ) from error


def _parse_torch(data: bytes, source: str) -> dict[str, Tensor]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise CheckpointError(f"weights {source} are damaged (the end of the file is missing); download them again")
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"weights {source} hold more than tensors, and code in a checkpoint is never run; "
            "use a file that holds weights alone"
        ) from error
    except (RuntimeError, zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
        raise CheckpointError(f"weights {source} are damaged ({_first_line(error)}); download them again") from error
    tensors = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(_is_parameter(*item) for item in tensors.items()):
        raise CheckpointError(f"weights {source} hold no parameters under the key 'model'")
    return tensors


def _is_parameter(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_fits(tensors: Mapping[str, Tensor], config: Sam2Config | SamConfig, source: str) -> None:
    """Raise CheckpointError unless names and shapes are exactly the model's; name the model they are of."""
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes == parameter_shapes(config):
        whole = sorted(name for name, value in tensors.items() if not value.is_floating_point())
        if whole:
            raise CheckpointError(f"weights {source}: {whole[0]} holds {tensors[whole[0]].dtype}, not real numbers")
        return
    others: list[Sam2Config | SamConfig] = [*MODELS.values(), *SAM_MODELS.values()]
    for other in others:
        if shapes == parameter_shapes(other):
            raise CheckpointError(
                f"weights {source} are those of {other.name}, not of {config.name}; set model: {other.name}"
            )
    expected = parameter_shapes(config)
    missing, extra = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    wrong = sorted(name for name in expected.keys() & shapes.keys() if expected[name] != shapes[name])
    parts = [
        f"{len(names)} {word} (such as {names[0]})"
        for word, names in (("missing", missing), ("unknown", extra), ("of another shape", wrong))
        if names
    ]
    raise CheckpointError(f"weights {source} are not of {config.name}: parameters {', '.join(parts)}")
