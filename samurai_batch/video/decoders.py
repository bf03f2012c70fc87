"""The decoders of video files by name, and whether they are installed."""

import importlib
from importlib.metadata import version
from typing import Literal, TypeAlias

from samurai_batch.errors import ConfigError

DecoderName: TypeAlias = Literal["auto", "pyav", "decord"]


def describe_decoder(decoder: DecoderName) -> str:
    """Name and version of a decoder. Raises ConfigError if it is not installed, or cannot be loaded here."""
    if decoder != "decord":
        return f"PyAV {version('av')}"
    try:
        importlib.import_module("decord")
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"decoder: decord cannot be loaded here ({error}); pip install decord2, or leave out decoder"
        ) from error
    return f"decord {version('decord2')}"
