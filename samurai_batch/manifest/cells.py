"""Parse one cell of a prompts table. A wrong one raises ValueError with what it should be."""

import functools
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import checks, storage
from samurai_batch.errors import StorageError
from samurai_batch.prompts import Box, Rle
from samurai_batch.redaction import holds_secret
from samurai_batch.rle import encode_mask, rle_from_coco, run_lengths

Value = TypeVar("Value")

MAX_NAME_BYTES = 255 - len(".parquet")
_NUM_READS_AT_ONCE = 16
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)


def is_blank(cell: object) -> bool:
    """Whether a cell is empty: null, NaN, an empty text or an empty list."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, float | np.floating | Decimal):
        return math.isnan(cell)
    return isinstance(cell, Sized) and len(cell) == 0


def identifier(cell: object) -> str:
    """A video_id or object_id: a text that can also name a file."""
    text = checks.text(cell)
    if "://" in text and holds_secret(text):
        raise ValueError("it is a URI with a password or a signature, and ids are written to every table; use a name")
    if len(storage.quote_id(text)) > MAX_NAME_BYTES:
        raise ValueError(f"it is too long to name a file (URL-quoted, at most {MAX_NAME_BYTES} bytes); shorten it")
    return text


def video_uri(cell: object) -> str:
    """The URI of a video; of several files in their order, given as a list or as JSON, the URIs in one text."""
    if isinstance(cell, str) and cell.lstrip().startswith("[") and cell.rstrip().endswith('"]'):
        cell = _decoded(cell)
    if isinstance(cell, str) and cell.startswith("['") and cell.endswith("']"):
        raise ValueError("it is a list as Python prints it; write it as JSON, with double quotes")
    return checks.uri(cell.tolist() if isinstance(cell, np.ndarray) else cell)


def frame_index(cell: object) -> int:
    """A frame index, also if the file format made it a float or a text."""
    number = _as_whole(cell)
    return checks.frame_index(cell if number is None else number)


def any_box(cell: object) -> Box:
    """Four corners x1, y1, x2, y2, in any unit."""
    x1, y1, x2, y2 = map(float, checks.box(_decoded(cell)))
    return x1, y1, x2, y2


def box(cell: object) -> Box:
    """A box in pixels, as the corners x1, y1, x2, y2."""
    x1, y1, x2, y2 = any_box(cell)
    if x2 <= 0 or y2 <= 0:
        raise ValueError("it is outside the picture; pixels count from 0 at the top left")
    if checks.is_box_in_units((x1, y1, x2, y2)):
        raise ValueError("it is smaller than 2 pixels, with no number above 1; give it in pixels of the original video")
    return x1, y1, x2, y2


def points(cell: object) -> tuple[tuple[float, float], ...]:
    """Points in pixels, as x and y of each."""
    decoded = _decoded(cell)
    pairs = [_decoded(pair) for pair in decoded] if isinstance(decoded, list | tuple) else decoded
    found = tuple((float(x), float(y)) for x, y in checks.points(pairs))
    if any(x < 0 or y < 0 for x, y in found):
        raise ValueError("one point is outside the picture; pixels count from 0 at the top left")
    if checks.are_points_in_units(found):
        raise ValueError("all points are within the first pixel; give them in pixels of the original video")
    return found


def labels(cell: object) -> tuple[int, ...]:
    """The label of each point: 1 on the object, 0 beside it."""
    decoded = _decoded(cell)
    has_bools = isinstance(decoded, list | tuple) and any(isinstance(label, bool) for label in decoded)
    return checks.labels(None if has_bools else decoded)


def class_names(cell: object) -> tuple[str, ...]:
    """Names of classes, separated by commas."""
    names = tuple(name.strip() for name in checks.text(cell).split(","))
    if not all(names):
        raise ValueError("one name is empty; write names separated by commas, as in car, person")
    return names


def mask_or_uri(cell: object) -> Rle | str:
    """The mask of a COCO RLE, which is a dict or JSON text; or the URI of a PNG, which is not read yet."""
    decoded = _decoded(cell) if isinstance(cell, str) and cell.lstrip().startswith(("{", '"')) else cell
    if isinstance(decoded, str):
        return checks.text(decoded)
    if not isinstance(decoded, Mapping):
        raise ValueError("it should be a COCO RLE or the URI of a PNG")
    try:
        rle = rle_from_coco(decoded)
    except ValueError as error:
        raise ValueError(f"{error}; encode the mask with pycocotools") from error
    if not any(run_lengths(rle.counts)[1::2]):
        raise ValueError("the mask is empty; mark at least one pixel")
    return rle


def attempt(parse: Callable[[object], Value], cell: object) -> Value | ValueError:
    """The parsed cell, or what is wrong with it."""
    try:
        return parse(cell)
    except ValueError as error:
        return error


def read_masks_of_pngs(uris: Iterable[str]) -> dict[str, Rle | ValueError]:
    """The mask in each PNG, or what is wrong with it; several PNGs are read at once."""
    distinct = list(dict.fromkeys(uris))
    with ThreadPoolExecutor(_NUM_READS_AT_ONCE) as pool:
        return dict(zip(distinct, pool.map(functools.partial(attempt, png_mask), distinct), strict=True))


def png_mask(uri: object) -> Rle:
    """The mask in a PNG: the object is where the picture (or its palette index) is neither 0 nor transparent."""
    try:
        data = storage.read_bytes(checks.text(uri))
    except FileNotFoundError as error:
        raise ValueError("there is no such PNG; give the URI of one, or a COCO RLE") from error
    except StorageError as error:
        raise ValueError(f"reading the PNG failed: {error}") from error
    rle = encode_mask(_png_pixels(data))
    if rle is None:
        raise ValueError("the mask is empty: all its pixels are 0; mark at least one")
    return rle


def _png_pixels(data: bytes) -> NDArray[np.bool_]:
    """(H, W) bool: True on the object."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels: NDArray[Any] = np.asarray(image)
            has_alpha = image.mode in ("LA", "RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError("it cannot be read as PNG; save the mask as PNG again") from error
    channels = pixels.reshape(*pixels.shape[:2], -1)
    colours = channels[..., :-1] if has_alpha else channels
    is_visible = channels[..., -1] != 0 if has_alpha else True
    return np.asarray((colours != 0).any(axis=2) & is_visible, np.bool_)


def _decoded(cell: object) -> object:
    """JSON text as the value it holds, arrays as lists."""
    if isinstance(cell, str):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError("it is not JSON; write lists as in [1, 2], and texts in double quotes") from error
    return checks.plain(cell)


def _as_whole(cell: object) -> int | None:
    if isinstance(cell, Decimal):
        return int(cell) if cell.is_finite() and cell == int(cell) else None
    if isinstance(cell, str):
        cell = float(cell) if _WHOLE_NUMBER.fullmatch(cell.strip()) else None
    if isinstance(cell, float | np.floating):
        return int(cell) if cell.is_integer() else None
    return int(cell) if isinstance(cell, int | np.integer) and not isinstance(cell, bool) else None
