"""Checking jobs and settings with pydantic, and reporting what is wrong as one ConfigError, a line per mistake.

`JobConfig` and the dataclasses nested in it (`TrackerOptions`, `EverythingSettings`) describe each field by the
docstring below it. The first sentence of that docstring is part of the error message.
"""

import dataclasses
import textwrap
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, WrapValidator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs, ErrorDetails, PydanticCustomError

from samurai_batch.checks import shown, suggestion
from samurai_batch.errors import ConfigError

SETTINGS_CONFIG = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _keep_whole(value: object, validate: Any) -> int | float:
    """The number; an int is not turned into a float, because the fingerprints of older outputs hold 1, not 1.0."""
    number: float = validate(value)
    return value if isinstance(value, int) else number


Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False), WrapValidator(_keep_whole)]
Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1), WrapValidator(_keep_whole)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1), WrapValidator(_keep_whole)]
NonNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0), WrapValidator(_keep_whole)]
AboveZero = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0), WrapValidator(_keep_whole)]


class Settings:
    """Base of dataclasses of settings. Making one raises ConfigError for unknown names and wrong values.

    ``group`` is the field of a job that holds these settings; messages call a setting ``<group>.<name>``.
    """

    group: ClassVar[str]

    @model_validator(mode="wrap")
    @classmethod
    def _raise_config_error(cls, values: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            if not isinstance(values, ArgsKwargs):
                raise  # these are settings within a job, which reports all its mistakes at once
            raise ConfigError(describe_mistakes(error, cls, prefix=f"{cls.group}.")) from None

    def overrides(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by name."""
        values = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name, (value, default) in values.items() if repr(value) != repr(default)}


def fields_of(model: type) -> Mapping[str, FieldInfo]:
    """The fields of a pydantic model or dataclass, by name."""
    fields: Mapping[str, FieldInfo] = model.__pydantic_fields__  # type: ignore[attr-defined]
    return fields


def description_of(model: type, name: str) -> str:
    """The docstring of a field, in the model itself or in the base class that defines it."""
    fields = [fields_of(one).get(name) for one in model.__mro__ if hasattr(one, "__pydantic_fields__")]
    return next((" ".join(field.description.split()) for field in fields if field and field.description), "")


def groups_of(model: type) -> dict[str, type[Settings]]:
    """The fields of a model that hold settings, by name."""
    types = {name: field.annotation for name, field in fields_of(model).items()}
    return {name: kind for name, kind in types.items() if isinstance(kind, type) and issubclass(kind, Settings)}


def contradiction(field: str, reason: str) -> PydanticCustomError:
    """An error for a model validator to raise: ``field`` cannot be given because of another field."""
    return PydanticCustomError("contradiction", "{reason}", {"field": field, "reason": reason})


def describe_mistakes(
    error: ValidationError, model: type, *, prefix: str = "", source: str = "", places: Mapping[str, str] | None = None
) -> str:
    """One line per mistake: where the value was given, the field, its value, what is wrong, what it should be.

    ``places`` says where each field was given, such as ``job.yaml:3``; ``source`` stands for all other fields.
    """
    lines: dict[str, str] = {}
    for detail in error.errors():
        name, text = _mistake(detail, model, prefix)
        place = (places or {}).get(name) or (places or {}).get(name.partition(".")[0]) or source
        lines.setdefault(name, f"{place}: {text}" if place else text)
    return "\n".join(lines.values())


def _mistake(detail: ErrorDetails, model: type, prefix: str) -> tuple[str, str]:
    """The field, and a sentence about it."""
    if detail["type"] == "contradiction":
        name = detail["ctx"]["field"]
        return name, f"{name} is given, but {detail['msg']}"
    if not detail["loc"]:
        return "", f"{shown(detail['input'])} is not a job; give its fields by name"
    path = [str(part) for part in detail["loc"]]
    if path[0] in groups_of(model) and len(path) > 1:
        model, prefix, path = groups_of(model)[path[0]], f"{path[0]}.", path[1:]
    name, known = prefix + path[0], fields_of(model)
    if path[0] not in known:
        what = f"{name} is not a {'setting' if prefix else 'field of a job'}"
        return name, f"{what}; {suggestion(path[0], known, _settings_of(model))}"
    description = _first_sentence(description_of(model, path[0]))
    if detail["type"] == "missing":
        return name, f"{name} is missing; add it ({description})"
    return name, f"{name} is {shown(detail['input'])}: {_reason(detail)} ({description})"


def _settings_of(model: type) -> list[str]:
    return [f"{group}.{name}" for group, settings in groups_of(model).items() for name in fields_of(settings)]


def _reason(detail: ErrorDetails) -> str:
    if detail["type"] == "dataclass_type":
        return "it should hold settings by name, as in {name: value}"
    text = detail["msg"].removeprefix("Value error, ")
    return text.replace("Input should", "it should").replace("String should", "it should")


def _first_sentence(text: str) -> str:
    """The first sentence of a text, as part of another sentence."""
    sentence = text.partition(". ")[0].removesuffix(".")
    first_word = sentence.partition(" ")[0]
    is_name = any(letter.isupper() for letter in first_word[1:])  # such as IoU and NMS
    return sentence if is_name else sentence[:1].lower() + sentence[1:]


def describe_fields(model: type, names: Collection[str] = ()) -> list[str]:
    """A text for each field: name, default, description. Settings follow the field that holds them.

    ``names`` selects fields, groups of settings or single settings. Raises ConfigError for an unknown name.
    """
    texts: dict[str, str] = {}
    groups = groups_of(model)
    for name in fields_of(model):
        texts[name] = _documentation(model, name, name)
        if name in groups:
            kind = groups[name]
            texts |= {f"{name}.{one}": _documentation(kind, one, f"{name}.{one}") for one in fields_of(kind)}
    for name in names:
        if name not in texts:
            raise ConfigError(f"{name} is not a field of a job; {suggestion(name, fields_of(model), texts)}")
    return [text for name, text in texts.items() if not names or {name, name.partition(".")[0]}.intersection(names)]


def _documentation(model: type, field: str, name: str) -> str:
    info = fields_of(model)[field]
    default = "settings" if field in groups_of(model) else f"default: {info.default}"
    text = f"{name} ({'required' if info.is_required() else default})  {description_of(model, field)}"
    return textwrap.fill(text, 100, subsequent_indent="    ")
