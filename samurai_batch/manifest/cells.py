"""One cell of a prompts table into one value. A wrong one raises ValueError: what is wrong, and how to mend it."""

import functools
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.checks import (
    MAX_FRAME_INDEX,
    NUMBER_TYPES,
    are_points_in_units,
    is_box_in_units,
    is_storable,
)
from samurai_batch.errors import StorageError
from samurai_batch.redaction import holds_secret
from samurai_batch.rle import encode_mask, rle_from_coco, run_lengths
from samurai_batch.tasks import Box, Rle

MAX_NAME_BYTES = 255 - len(".parquet")
_NUM_READS_AT_ONCE = 16
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)


def is_blank(cell: object) -> bool:
    """Whether a cell says nothing: null, NaN, an empty text or an empty list."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, float | np.floating | Decimal):
        return math.isnan(cell)
    return isinstance(cell, Sized) and len(cell) == 0


def check_text(cell: object) -> str:
    """A text that can be stored and is more than blanks."""
    if not isinstance(cell, str):
        raise ValueError(f"is of type {type(cell).__name__}, not text; write it in quotes, as text")
    if not cell.strip():
        raise ValueError("is blank; give it a name")
    if not is_storable(cell):
        raise ValueError("holds a character that cannot be stored; remove it")
    return cell


def check_id(cell: object) -> str:
    """A text that can also name a file."""
    text = check_text(cell)
    if "://" in text and holds_secret(text):
        raise ValueError("is a URI with a password or a signature, and ids stand in every table; give it a name")
    if len(storage.quote_id(text)) > MAX_NAME_BYTES:
        raise ValueError(f"is too long to name a file (URL-quoted, {MAX_NAME_BYTES} bytes); shorten it")
    return text


def whole_number(cell: object) -> int:
    """A frame index, also where the file format made a float or a text of it."""
    number = _as_whole(cell)
    if number is None:
        raise ValueError("is not a whole number; give the index of a frame, the first being 0")
    if number < 0:
        raise ValueError("is negative; frames count from 0")
    if number > MAX_FRAME_INDEX:
        raise ValueError(f"is greater than {MAX_FRAME_INDEX}; give the index of a frame")
    return number


def box(cell: object) -> Box:
    """A box in pixels, as the corners x1, y1, x2, y2."""
    numbers = _numbers(_decoded(cell))
    if numbers is None or len(numbers) != 4:
        commas = ", with points in decimals, not commas" if numbers is not None and len(numbers) == 8 else ""
        raise ValueError(f"is not four numbers; write the corners as [x1, y1, x2, y2]{commas}")
    x1, y1, x2, y2 = numbers
    if not all(map(math.isfinite, numbers)):
        raise ValueError("holds NaN or infinity; write the corners as [x1, y1, x2, y2]")
    if x2 <= x1 or y2 <= y1:
        raise ValueError("x2 must be greater than x1, and y2 than y1; write the corners, not the width and height")
    if x2 <= 0 or y2 <= 0:
        raise ValueError("lies wholly outside the picture; pixels count from 0 at its top left")
    if is_box_in_units((x1, y1, x2, y2)):
        raise ValueError("is smaller than 2 pixels, with no number above 1; give it in pixels of the original video")
    return x1, y1, x2, y2


def points(cell: object) -> tuple[tuple[float, float], ...]:
    """Clicks in pixels, as x and y of each."""
    decoded = _decoded(cell)
    pairs = [_numbers(_decoded(pair)) for pair in decoded] if isinstance(decoded, list | tuple) else []
    checked = [(pair[0], pair[1]) for pair in pairs if pair is not None and len(pair) == 2]
    if not pairs or len(checked) != len(pairs):
        raise ValueError("is not a list of points; write [[x, y], ...]")
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in checked):
        raise ValueError("holds NaN or infinity; write [[x, y], ...]")
    if any(x < 0 or y < 0 for x, y in checked):
        raise ValueError("holds a point outside the picture; pixels count from 0 at its top left")
    if are_points_in_units(checked):
        raise ValueError("lies within the first pixel; give it in pixels of the original video")
    return tuple(checked)


def labels(cell: object) -> tuple[int, ...]:
    """What each click says: 1 on the object, 0 beside it."""
    numbers = _numbers(_decoded(cell))
    if numbers is None or any(number not in (0, 1) for number in numbers):
        raise ValueError("is not a list of labels; write 1 for a point on the object, 0 for one beside it")
    return tuple(int(number) for number in numbers)


def mask_or_uri(cell: object) -> Rle | str:
    """A COCO RLE, given as a dict or as JSON text; or else the URI of a PNG, not yet read."""
    decoded = _decoded(cell) if isinstance(cell, str) and cell.lstrip().startswith(("{", '"')) else cell
    if isinstance(decoded, str):
        return check_text(decoded)
    if not isinstance(decoded, Mapping):
        raise ValueError("is neither a COCO RLE nor the URI of a PNG; give one of them")
    try:
        rle = rle_from_coco(decoded)
    except ValueError as error:
        raise ValueError(f"{error}; encode the mask with pycocotools") from error
    if not any(run_lengths(rle.counts)[1::2]):
        raise ValueError("the mask is empty; mark at least one pixel")
    return rle


def read_masks_of_pngs(uris: Iterable[str]) -> dict[str, Rle | ValueError]:
    """Each PNG as a mask, or what is wrong with it; several are read at once."""
    distinct = list(dict.fromkeys(uris))
    if not distinct:
        return {}
    with ThreadPoolExecutor(_NUM_READS_AT_ONCE) as pool:
        return dict(zip(distinct, pool.map(functools.partial(_attempt, png_mask), distinct), strict=True))


def png_mask(uri: object) -> Rle:
    """The mask in a PNG: the object is where the picture (or its palette index) is neither 0 nor transparent."""
    try:
        data = storage.read_bytes(check_text(uri))
    except FileNotFoundError as error:
        raise ValueError("there is no such PNG; give the URI of one, or a COCO RLE") from error
    except StorageError as error:
        raise ValueError(f"reading the PNG failed: {error}") from error
    rle = encode_mask(_png_pixels(data))
    if rle is None:
        raise ValueError("the mask is empty: all its pixels are 0; mark at least one")
    return rle


def _png_pixels(data: bytes) -> NDArray[np.bool_]:
    """(H, W) bool: where the object is."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels: NDArray[Any] = np.asarray(image)
            has_alpha = image.mode in ("LA", "RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError("is not a PNG that can be read; save the mask as PNG again") from error
    channels = pixels.reshape(*pixels.shape[:2], -1)
    colours = channels[..., :-1] if has_alpha else channels
    is_visible = channels[..., -1] != 0 if has_alpha else True
    return np.asarray((colours != 0).any(axis=2) & is_visible, np.bool_)


def _attempt(read: Callable[[str], Rle], uri: str) -> Rle | ValueError:
    try:
        return read(uri)
    except ValueError as error:
        return error


def _decoded(cell: object) -> object:
    """JSON text as what it stands for, arrays as lists."""
    if isinstance(cell, str):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError("is not JSON text; write lists as in [1, 2]") from error
    return cell.tolist() if isinstance(cell, np.ndarray) else cell


def _numbers(values: object) -> tuple[float, ...] | None:
    """The numbers in a list as floats; None if it is not a list of numbers alone."""
    if not isinstance(values, list | tuple):
        return None
    if not NUMBER_TYPES.issuperset(map(type, values)):
        values = [_plain(value) for value in values]
        if not NUMBER_TYPES.issuperset(map(type, values)):
            return None
    try:
        return tuple(map(float, values))
    except OverflowError:
        return None


def _plain(number: object) -> object:
    """A number of numpy's, or of a column of decimals, as Python's own."""
    if isinstance(number, Decimal):
        return float(number)
    return number.item() if isinstance(number, np.generic) else number


def _as_whole(cell: object) -> int | None:
    if isinstance(cell, Decimal):
        return int(cell) if cell.is_finite() and cell == int(cell) else None
    if isinstance(cell, str):
        cell = float(cell) if _WHOLE_NUMBER.fullmatch(cell.strip()) else None
    if isinstance(cell, float | np.floating):
        return int(cell) if cell.is_integer() else None
    return int(cell) if isinstance(cell, int | np.integer) and not isinstance(cell, bool) else None
