"""What pydantic finds wrong with a job, in the user's terms: a line each, with place, field, value and remedy."""

from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from samurai_batch import storage
from samurai_batch.checks import suggestion

_MAX_SHOWN = 80  # characters of a value in a message
GROUPS = ("tracker", "everything")
"""The fields that hold settings by name."""

Place = str
"""Where a value was given: a file and line, or the command line."""


def explained(error: ValidationError, fields: Mapping[str, FieldInfo], source: str, places: Mapping[str, Place]) -> str:
    """One line per mistake. ``places`` says where a field was given; ``source`` stands for those it does not name."""
    lines: dict[str, str] = {}
    for detail in error.errors():
        for field, line in _mistakes(detail, fields):
            place = places.get(field) or places.get(field.partition(".")[0]) or source
            lines.setdefault(field, f"{place}: {line}")
    return "\n".join(lines.values())


def _mistakes(detail: ErrorDetails, fields: Mapping[str, FieldInfo]) -> Iterator[tuple[str, str]]:
    """The field and what is wrong with it; a wrong group of settings has several."""
    if detail["type"] == "settings":
        problems: dict[str, str] = detail["ctx"]["problems"]
        yield from problems.items()
    else:
        field = _field_of(detail)
        yield field, _explain(field, detail, fields)


def _field_of(detail: ErrorDetails) -> str:
    names = [str(part) for part in detail["loc"]] or [str(detail.get("ctx", {}).get("field", ""))]
    return ".".join(names[:2]) if names[0] in GROUPS else names[0]


def _explain(field: str, detail: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """One sentence: field, value, what is wrong, remedy."""
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return f"{field} is missing; add it ({_description(field, fields)})"
    if kind == "extra_forbidden":
        return f"{field} is not a field of a job; {suggestion(field, fields)}"
    if kind == "contradiction":
        return f"{field} is given, but {detail['msg']}"
    reason = detail["msg"].removeprefix("Value error, ")
    reason = reason.replace("Input should", "it should").replace("String should", "it should")
    if field.partition(".")[0] in GROUPS and "." in field:
        reason = "it should be a number, a word, true or false"
    return f"{field} is {_shown(value)}: {reason} ({_description(field, fields)})"


def _description(field: str, fields: Mapping[str, FieldInfo]) -> str:
    known = fields.get(field.partition(".")[0])
    return str(known.description) if known else "not a field of a job"


def _shown(value: object) -> str:
    text = repr(storage.redact(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
