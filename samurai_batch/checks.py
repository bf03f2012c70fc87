"""Values of prompts and tracks, checked where they are made. A wrong one raises PromptError with value and remedy.

Each function returns the value as plain Python has it: numpy's arrays and lists become tuples, its scalars numbers.
Most values are plain already, and tables of prompts are long: ``is_plain_...`` tell so in a few comparisons.
"""

import difflib
import os
from collections.abc import Collection
from math import inf
from typing import Any

from samurai_batch.errors import PromptError
from samurai_batch.redaction import redact, redact_uri

MAX_FRAME_INDEX = 2**31 - 1
_MAX_SHOWN = 80  # characters of a value in a message
NUMBER_TYPES = {int, float}  # and not bool, which isinstance would let pass

Box = tuple[float, float, float, float]


def is_plain_frame(value: object) -> bool:
    """Whether `frame_index` would return the value as it is: most are, and need not be looked at more closely."""
    return type(value) is int and 0 <= value <= MAX_FRAME_INDEX


def is_plain_box(value: object) -> bool:
    """The same of `box`."""
    if type(value) is not tuple or len(value) != 4 or not NUMBER_TYPES.issuperset(map(type, value)):
        return False
    x1, y1, x2, y2 = value
    return bool(-inf < x1 < x2 < inf and -inf < y1 < y2 < inf)  # NaN fails every comparison


def is_box_in_units(box_xyxy: Box) -> bool:
    """Whether a box can only be meant in units of 0 to 1: smaller than 2 pixels both ways, with no number above 1."""
    x1, y1, x2, y2 = box_xyxy
    return max(box_xyxy) <= 1 and x2 - x1 < 2 and y2 - y1 < 2


def are_points_in_units(points_xy: Collection[tuple[float, float]]) -> bool:
    """Whether points can only be meant in units of 0 to 1: all in the first pixel, and not all on its corners."""
    numbers = [number for point in points_xy for number in point]
    return all(0 <= number <= 1 for number in numbers) and any(0 < number < 1 for number in numbers)


def frame_index(value: Any, name: str = "frame_index") -> int:
    """The index of a frame, from 0."""
    number = _plain(value)
    if type(number) is not int:
        raise PromptError(f"{name} is {shown(value)}: it should be a whole number, the index of a frame from 0")
    if number < 0:
        raise PromptError(f"{name} is {number}: it should not be negative; frames count from 0")
    if number > MAX_FRAME_INDEX:
        raise PromptError(f"{name} is {number}: it should be at most {MAX_FRAME_INDEX}")
    return number


def box(value: Any, where: str) -> Box:
    """The corners x1, y1, x2, y2: four finite numbers, the second corner below and to the right of the first."""
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 4:
        raise PromptError(f"box_xyxy {shown(value)} {where} is not four numbers; give the corners as (x1, y1, x2, y2)")
    if not all(-inf < number < inf for number in numbers):
        raise PromptError(f"box_xyxy {shown(value)} {where} holds NaN or infinity; give four finite numbers")
    if not is_plain_box(numbers):
        reason = "x2 should be greater than x1, and y2 than y1; give the corners, not width and height"
        raise PromptError(f"box_xyxy {shown(value)} {where}: {reason}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def points(value: Any, where: str) -> tuple[tuple[float, float], ...]:
    """One click or more, each as x and y."""
    given = _plain(value)
    pairs = [_numbers(pair) for pair in given] if isinstance(given, list | tuple) else []
    checked = [(pair[0], pair[1]) for pair in pairs if pair is not None and len(pair) == 2]
    if not pairs or len(checked) != len(pairs):
        raise PromptError(f"points_xy {shown(value)} {where} is not a list of points; give ((x, y), ...)")
    if not all(-inf < number < inf for pair in checked for number in pair):
        raise PromptError(f"points_xy {shown(value)} {where} holds NaN or infinity; give ((x, y), ...)")
    return tuple(checked)


def labels(value: Any, num_points: int, where: str) -> tuple[int, ...]:
    """As many as there are points: 1 on the object, 0 beside it."""
    given = _plain(value)
    if not isinstance(given, list | tuple) or any(_plain(label) not in (0, 1) for label in given):
        raise PromptError(f"labels {shown(value)} {where}: a label is 1 for a point on the object, 0 for one beside it")
    if len(given) != num_points:
        raise PromptError(f"{len(given)} label(s) for {num_points} point(s) {where}; give one label for each point")
    return tuple(int(label) for label in given)


def text(value: Any, name: str) -> str:
    """A text that can be stored and is more than blanks."""
    if not isinstance(value, str):
        raise PromptError(f"{name} is {shown(value)}: it should be text; write it in quotes")
    if not value.strip():
        raise PromptError(f"{name} is {value!r}: it should not be blank")
    return _storable(value, name)


def identifier(value: Any, name: str) -> str:
    """The name of a video or an object: any text that can be stored, but for none at all."""
    if type(value) is str and value.isascii() and value.isprintable() and value:
        return value
    if not isinstance(value, str):
        raise PromptError(f"{name} is {shown(value)}: it should be text; write it in quotes")
    if not value:
        raise PromptError(f"{name} is empty; give it a name")
    return _storable(value, name)


def _storable(value: str, name: str) -> str:
    if not is_storable(value):
        raise PromptError(f"{name} is {shown(value)}: it holds a character that cannot be stored; remove it")
    return value


def uri(value: Any, name: str) -> str:
    """The same of a path or URI, which may be a `pathlib.Path`."""
    return text(os.fspath(value) if isinstance(value, os.PathLike) else value, name)


def one_of(value: Any, known: Collection[str], name: str) -> None:
    """Raise PromptError for a word that is not among the known ones; says which of them may be meant."""
    if value not in known:
        raise PromptError(f"{name} is {shown(value)}: {suggestion(value, known)}")


def suggestion(value: object, known: Collection[str], more: Collection[str] = ()) -> str:
    """The known word that may be meant, or else the list of known words. ``more`` are known but never listed."""
    near = difflib.get_close_matches(value, [*known, *more], n=1, cutoff=0.5) if isinstance(value, str) else []
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def shown(value: object) -> str:
    """A value as error messages show it: at most 80 characters, without credentials."""
    plain = _plain(value)
    text = repr(redact_uri(plain)) if isinstance(plain, str) else redact(repr(plain))
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _numbers(value: Any) -> tuple[float, ...] | None:
    """The numbers of a list; None if it is not a list of numbers alone. Whole numbers stay whole."""
    given = _plain(value)
    if not isinstance(given, list | tuple):
        return None
    numbers = tuple(_plain(number) for number in given)
    return numbers if NUMBER_TYPES.issuperset(map(type, numbers)) else None


def _plain(value: Any) -> Any:
    """What numpy's arrays and scalars stand for."""
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def is_storable(value: str) -> bool:
    """Whether files and tables can hold a text: without NUL, and all of it Unicode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
