"""Load a job from a YAML file, from Python values, and from options of the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job.config import JobConfig
from samurai_batch.schema import fields_of, groups_of

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 10
_GROUPS = groups_of(JobConfig)  # fields that hold settings by name: tracker, everything


def load_job(path: str | None, overrides: Mapping[str, str] | None = None) -> JobConfig:
    """The job in a YAML file at a path or URI (None: no file), with some fields overridden.

    ``overrides`` are texts by field name; ``tracker.<setting>`` and ``everything.<setting>`` override one setting, and
    ``none`` unsets a field. Raises ConfigError: one line per mistake, with file, line, field, value and remedy.
    """
    values = read_job_values(path, overrides or {})
    return make_job(values.fields, values.source, values.places)


@dataclass(frozen=True)
class JobValues:
    """The values of a job's fields before they are checked, and where each was given, for messages."""

    fields: dict[str, Any]
    source: str
    places: dict[str, str]


def read_job_values(path: str | None, overrides: Mapping[str, str]) -> JobValues:
    """The values in a YAML file (None: no file), with some fields overridden. Raises ConfigError if it is no YAML."""
    source = "command line" if path is None else storage.redact_uri(path)
    values, lines = ({}, {}) if path is None else _parse_yaml(_read(path, source), source)
    places = {field: f"{source}:{line}" for field, line in lines.items()}
    for name, text in overrides.items():
        _override(values, name, text)
        places[name] = "command line"
    return JobValues(values, source, places)


def _read(path: str, source: str) -> bytes:
    try:
        return storage.read_bytes(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{source}: there is no such file; give the path of a job's YAML file") from error


def make_job(values: Mapping[str, object], source: str = "job", places: Mapping[str, str] | None = None) -> JobConfig:
    """The job with these values, by field name. Raises ConfigError, one line per mistake.

    ``places`` says where each field was given, for messages; ``source`` stands for all other fields.
    """
    return JobConfig.model_validate(values, context={"source": source, "places": places or {}})


def _parse_yaml(data: bytes, source: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The values in a YAML file, and the line of each field."""
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{source}: {len(data)} bytes are too many for a job's YAML file; is it another file?")
    try:
        _refuse_aliases_and_tags(data, source)
        root = yaml.compose(data, Loader=yaml.SafeLoader)
        if root is None:
            return {}, {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{source}:1: this is not a job; write lines of the form `field: value`")
        lines = _lines_of_fields(root, source)
        return yaml.safe_load(data), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(
            f"{source}:{line}: this is not YAML: {error.problem or error.context}; correct the line"
        ) from None  # YAML's own text shows the line
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{source}: this is not YAML text: {' '.join(str(error).split())}; save it as text in UTF-8"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{source}: a value cannot be read: {error}; write it in quotes") from error


def _refuse_aliases_and_tags(data: bytes, source: str) -> None:
    """Check the file before it is loaded: aliases can expand to gigabytes, and tags can create any object."""
    depth = 0
    for event in yaml.parse(data, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{source}:{line}: aliases (*name) are not allowed in a job; write the value out")
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"{source}:{line}: types (!name) are not allowed in a job; write the value alone")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{source}:{line}: nested more than {_MAX_DEPTH} deep; a job is a flat list of fields")


def _lines_of_fields(mapping: yaml.MappingNode, source: str, prefix: str = "") -> dict[str, int]:
    """The line of each field; of settings under ``<group>.<setting>``."""
    lines: dict[str, int] = {}
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{source}:{line}: the name of a field is a word, not a list or a mapping")
        name = prefix + key.value
        if name in lines:
            raise ConfigError(f"{source}:{line}: {name} was given in line {lines[name]} already; remove one of them")
        lines[name] = line
        if name in _GROUPS and isinstance(value, yaml.MappingNode):
            lines |= _lines_of_fields(value, source, f"{name}.")
    return lines


def _override(values: dict[str, Any], name: str, text: str) -> None:
    """Replace a field, or one setting of a group, by a text of the command line."""
    group, dot, setting = name.partition(".")
    if not dot or group not in _GROUPS:
        values[name] = _from_text(text, JobConfig.model_fields.get(name))
        return
    settings = values.get(group) or {}
    if isinstance(settings, dict):
        values[group] = settings | {setting: _from_text(text, fields_of(_GROUPS[group]).get(setting))}


def _from_text(text: str, field: FieldInfo | None) -> object:
    """The text as a value of the field's type; any other text as it is, so that checking the job reports it."""
    if field is None:
        return text
    if text.lower() in ("none", "null") and field.default is None:
        return None
    try:
        adapter: TypeAdapter[object] = TypeAdapter(field.annotation or str)
        value = adapter.validate_strings(text, strict=False)
    except ValidationError:
        return text
    is_whole = isinstance(value, float) and text.strip().lstrip("+-").isdecimal()
    return int(text) if is_whole else value  # as YAML reads it
