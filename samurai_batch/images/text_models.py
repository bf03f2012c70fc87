"""Models of `transformers` that read words: the extra that brings them, and their names. Needs no torch by itself."""

from typing import TYPE_CHECKING, Any

from samurai_batch.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "pip install 'samurai-batch[text]'"
CLIP = "clip:"


def check_detector(name: str) -> None:
    """Raise ConfigError without the extra, and CheckpointError where there is no such model; reads no weights.

    ``name`` is that of a detector, as `samurai_batch.images.text.make_detector` takes it.
    """
    load_model(import_transformers().AutoConfig, name.removeprefix(CLIP))


def import_transformers() -> "ModuleType":
    """The library. Raises ConfigError without the extra."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ConfigError(f"prompts by words need the extra 'text'; install it by {INSTALL}") from error
    return transformers


def load_model(kind: Any, model: str) -> Any:
    """A part of a model, such as its processor, by model id or local folder. Raises CheckpointError."""
    try:
        return kind.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{model} is not a model that prompts by words can use ({reason})") from error
