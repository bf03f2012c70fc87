"""Loads the models of text prompts from `transformers`. Does not import torch by itself."""

from typing import TYPE_CHECKING, Any

from samurai_batch.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "pip install 'samurai-batch[text]'"
CLIP = "clip:"


def check_detector(name: str) -> None:
    """Raise ConfigError without the extra, and CheckpointError if there is no such model; does not read weights.

    ``name`` is that of a detector, as `samurai_batch.images.text.make_detector` takes it.
    """
    load_model(import_transformers().AutoConfig, name.removeprefix(CLIP))


def import_transformers() -> "ModuleType":
    """Import transformers. Raises ConfigError without the extra."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ConfigError(f"text prompts need the extra 'text'; install it with {INSTALL}") from error
    library: ModuleType = transformers
    return library


def load_model(kind: Any, model: str) -> Any:
    """Load a model or its processor (``kind``) by model id or local folder. Raises CheckpointError."""
    try:
        return kind.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{model} cannot be used for text prompts ({reason})") from error
