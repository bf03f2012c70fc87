"""The decoders of video files by name, and whether they are installed."""

import importlib
from importlib.metadata import version
from typing import Literal, TypeAlias

from samurai_batch.errors import ConfigError

DecoderName: TypeAlias = Literal["auto", "pyav", "decord", "torchcodec"]

_PACKAGES = {"decord": ("decord2", "decord2"), "torchcodec": ("torchcodec", "'samurai-batch[torchcodec]'")}
"""The distribution of an optional decoder, and what pip installs it by."""


def describe_decoder(decoder: DecoderName) -> str:
    """Name and version of a decoder. Raises ConfigError if it is not installed, or cannot be loaded here."""
    if decoder not in _PACKAGES:
        return f"PyAV {version('av')}"
    package, installed_by = _PACKAGES[decoder]
    try:
        importlib.import_module(decoder)
    except (ImportError, OSError, RuntimeError) as error:  # as where FFmpeg's or CUDA's libraries are missing
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"decoder: {decoder} cannot be loaded here ({reason}); pip install {installed_by}, or leave out decoder"
        ) from error
    return f"{decoder} {version(package)}"
