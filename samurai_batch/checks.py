"""Checks of the values in prompts and tracks: frame indices, boxes, points, labels, texts.

A check returns the value in plain Python types (arrays and lists become tuples) or raises ValueError with what it
should be. `checked` makes a PromptError of that; `manifest` reports it with the row, the command line with the option.
Tables of prompts are long and most values are right: ``is_plain_...`` recognise those in a few comparisons.
"""

import difflib
import os
import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any, TypeVar

from samurai_batch.errors import PromptError
from samurai_batch.redaction import redact, redact_uri

MAX_FRAME_INDEX = 2**31 - 1
_LARGEST = 1e308  # about the largest float: every whole number up to it can become one
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_SHOWN = 80  # characters of a value in a message
_NUMBER_TYPES = {int, float}  # bool is a subclass of int, but not a number here

Box = tuple[float, float, float, float]
Value = TypeVar("Value")


def checked(check: Callable[[Any], Value], value: object, name: str) -> Value:
    """What the check makes of a value. Raises PromptError with the name, the value and what it should be."""
    try:
        return check(value)
    except ValueError as error:
        raise PromptError(f"{name} is {shown(value)}: {error}") from None


def is_plain_frame(value: object) -> bool:
    """Whether `frame_index` would return the value unchanged."""
    return type(value) is int and 0 <= value <= MAX_FRAME_INDEX


def is_plain_box(value: object) -> bool:
    """Whether `box` would return the value unchanged."""
    if type(value) is not tuple or len(value) != 4 or not _NUMBER_TYPES.issuperset(map(type, value)):
        return False
    x1, y1, x2, y2 = value
    return bool(-_LARGEST < x1 < x2 < _LARGEST and -_LARGEST < y1 < y2 < _LARGEST)  # NaN fails every comparison


def is_box_in_units(box_xyxy: Box) -> bool:
    """Whether a box seems to be in units of 0 to 1 instead of pixels: below 2 pixels, and no number above 1."""
    x1, y1, x2, y2 = box_xyxy
    return max(box_xyxy) <= 1 and x2 - x1 < 2 and y2 - y1 < 2


def are_points_in_units(points_xy: Collection[tuple[float, float]]) -> bool:
    """Whether points seem to be in units of 0 to 1 not pixels: all in the first pixel, not all at its corners."""
    numbers = [number for point in points_xy for number in point]
    return all(0 <= number <= 1 for number in numbers) and any(0 < number < 1 for number in numbers)


def frame_index(value: object) -> int:
    """The index of a frame, from 0."""
    number = plain(value)
    if type(number) is not int:
        raise ValueError("it should be a whole number, the index of a frame; the first frame is 0")
    if number < 0:
        raise ValueError("it should not be negative; the first frame is 0")
    if number > MAX_FRAME_INDEX:
        raise ValueError(f"it should be at most {MAX_FRAME_INDEX}")
    return number


def box(value: object) -> Box:
    """The corners x1, y1, x2, y2: four finite numbers, the second corner below and to the right of the first."""
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 4:
        hint = "; write decimals with a point, not a comma" if numbers is not None and len(numbers) == 8 else ""
        raise ValueError(f"it should be four numbers, the corners [x1, y1, x2, y2]{hint}")
    _check_finite(numbers)
    if not is_plain_box(numbers):
        raise ValueError("x2 should be greater than x1, and y2 than y1; give the corners, not width and height")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def points(value: object) -> tuple[tuple[float, float], ...]:
    """At least one point, each as x and y."""
    given = plain(value)
    pairs = [_numbers(pair) for pair in given] if isinstance(given, list | tuple) else []
    found = [(pair[0], pair[1]) for pair in pairs if pair is not None and len(pair) == 2]
    if not pairs or len(found) != len(pairs):
        raise ValueError("it should be a list of points, [[x, y], ...]")
    _check_finite([number for pair in found for number in pair])
    return tuple(found)


def labels(value: object) -> tuple[int, ...]:
    """The label of each point: 1 on the object, 0 beside it."""
    given = plain(value)
    if not isinstance(given, list | tuple) or any(plain(label) not in (0, 1) for label in given):
        raise ValueError("it should be a list of labels, 1 for a point on the object and 0 for one beside it")
    return tuple(int(label) for label in given)


def text(value: object) -> str:
    """A text that can be stored and is not blank."""
    name = identifier(value)
    if not name.strip():
        raise ValueError("it should not be blank")
    return name


def identifier(value: object) -> str:
    """The id of a video or an object: any text that can be stored and is not empty."""
    if type(value) is str and value.isascii() and value.isprintable() and value:
        return value
    if not isinstance(value, str):
        raise ValueError("it should be text; write it in quotes")
    if not value:
        raise ValueError("it should not be empty")
    if _NOT_STORABLE.search(value):
        raise ValueError("it holds a character that cannot be stored; remove it")
    return value


def uri(value: object) -> str:
    """A path or URI; a `pathlib.Path` becomes text, and a list of them one text with a line for each."""
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("it is an empty list; name at least one file")
        return "\n".join(map(uri, value))
    name = text(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if not all(line.strip() for line in name.split("\n")):
        raise ValueError("one of its lines is blank; remove the line end")
    return name


def one_of(known: Collection[Value]) -> Callable[[object], Value]:
    """The check that a value is one of the known words."""

    def check(value: object) -> Value:
        for word in known:
            if isinstance(value, str) and value == word:
                return word
        raise ValueError(suggestion(value, [str(word) for word in known]))

    return check


def suggestion(value: object, known: Collection[str], more: Collection[str] = ()) -> str:
    """The known word that may be meant, or else the list of known words. ``more`` are known but never listed."""
    near = nearest(value, [*known, *more])
    return f"known are {', '.join(known)}" if near is None else f"did you mean {near}?"


def nearest(value: object, known: Collection[str]) -> str | None:
    """The known word that is most like a text, capitals aside; None if none is."""
    words = {word.lower(): word for word in known}
    near = difflib.get_close_matches(value.lower(), words, n=1, cutoff=0.5) if isinstance(value, str) else []
    return words[near[0]] if near else None


def shown(value: object) -> str:
    """A value as error messages show it: at most 80 characters, without credentials."""
    given = plain(value)
    written = repr(redact_uri(given)) if isinstance(given, str) else redact(repr(given))
    return written if len(written) <= _MAX_SHOWN else written[: _MAX_SHOWN - 3] + "..."


def plain(value: Any) -> Any:
    """The list or number of Python that a numpy array, a numpy scalar or a decimal stands for."""
    if isinstance(value, Decimal):
        return float(value)
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def _numbers(value: object) -> tuple[float, ...] | None:
    """The numbers of a list; None if it is not a list of numbers alone. Whole numbers stay ints."""
    given = plain(value)
    if not isinstance(given, list | tuple):
        return None
    numbers = tuple(plain(number) for number in given)
    return numbers if _NUMBER_TYPES.issuperset(map(type, numbers)) else None


def _check_finite(numbers: Collection[float]) -> None:
    if not all(-_LARGEST < number < _LARGEST for number in numbers):
        raise ValueError("it should hold finite numbers, not NaN or infinity")
