"""`measure_tracks`: the measurements of all tracks of an output, one video at a time, as tables."""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from samurai_batch import storage
from samurai_batch.checks import shown
from samurai_batch.counting import counted
from samurai_batch.errors import ConfigError
from samurai_batch.masks import iter_masks
from samurai_batch.measuring import rows
from samurai_batch.measuring.paths import Path, make_path
from samurai_batch.measuring.rows import Row, Scale
from samurai_batch.measuring.zones import Zones, read_zones
from samurai_batch.rle import centroid, rle_from_coco

Point = Literal["center", "bottom_center", "centroid"]
MAX_GAP_S = 1.0

_COLUMNS = ["video_id", "object_id", "frame_index", "timestamp_s", "bbox_x", "bbox_y", "bbox_w", "bbox_h"]


@dataclass(frozen=True)
class Measurements:
    """``tracks`` has a row for each track; the others are empty without zones.

    ``visits``: a row for each stay of an object in a zone; ``zones``: for each video and zone; ``crossings``: for each
    crossing of a line; ``lines``: for each video and line. The README beside this file describes the columns.
    """

    tracks: pd.DataFrame
    visits: pd.DataFrame
    zones: pd.DataFrame
    crossings: pd.DataFrame
    lines: pd.DataFrame


def measure_tracks(
    uri: str,
    zones: str | Zones | None = None,
    *,
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    point: Point = "center",
    scale: float | None = None,
    unit: str = "m",
    max_gap_s: float = MAX_GAP_S,
) -> Measurements:
    """Measure the tracks of an output, or of another ``uri`` that `read_masks` takes.

    ``zones`` is a file for `read_zones`. ``point`` of a mask stands for the object: the centre of its box, the middle
    of the box's lower edge, or the mean of the mask's pixels. With ``scale``, in ``unit`` for each pixel, lengths and
    speeds are there in that unit too. An absence of at most ``max_gap_s`` seconds is bridged by a straight line.
    Raises ConfigError if an argument is wrong, a zone is for a video that is not there, or nothing of ``videos`` and
    ``objects`` is, and the errors of `read_masks`. Memory holds the boxes of one video.
    """
    _check(point, max_gap_s)
    in_units = _checked_scale(scale, unit)
    found = read_zones(zones) if isinstance(zones, str) else zones or Zones()
    tables: dict[str, list[Row]] = defaultdict(list)
    seen: set[str] = set()
    found_paths = _paths_by_video(uri, videos, objects, point, max_gap_s)
    for video_id, paths in counted(found_paths, "videos measured"):
        if video_id in seen:
            raise ConfigError(
                f"{storage.redact_uri(uri)}: the rows of a video are not together; give the output folder"
            )
        seen.add(video_id)
        for name, more in rows.rows_of_video(video_id, paths, found.of_video(video_id), in_units).items():
            tables[name] += more
    if not seen and (videos is not None or objects is not None):
        raise ConfigError(
            f"{storage.redact_uri(uri)}: the chosen videos and objects have no rows there; check their ids"
        )
    unknown = sorted(found.videos - seen)
    if unknown and videos is None and objects is None:
        raise ConfigError(f"zones are for video {shown(unknown[0])}, which has no rows here; correct its video_id")
    schemas = rows.schemas(in_units)
    frames = {name: pa.Table.from_pylist(tables[name], schemas[name]).to_pandas() for name in schemas}
    return Measurements(**frames)


def write_measurements(measured: Measurements, folder: str) -> list[str]:
    """Write each table as ``<name>.parquet`` and ``<name>.csv``; returns their URIs. Null is empty in CSV."""
    written = []
    for name in (field.name for field in fields(measured)):
        frame: pd.DataFrame = getattr(measured, name)
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.Table.from_pandas(frame, rows.schema_of(name, frame.columns.tolist()), preserve_index=False), sink
        )
        text = frame.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        for suffix, data in (("parquet", sink.getvalue().to_pybytes()), ("csv", text.encode())):
            written.append(storage.join(folder, f"{name}.{suffix}"))
            storage.write_bytes(written[-1], data)
    return written


def _check(point: str, max_gap_s: float) -> None:
    if point not in get_args(Point):
        raise ConfigError(f"point is {shown(point)}: it should be {', '.join(get_args(Point))}")
    if not _is_number(max_gap_s) or max_gap_s < 0:
        raise ConfigError(f"max_gap_s is {shown(max_gap_s)}: it should be a number of seconds, 0 or more")


def _checked_scale(scale: float | None, unit: str) -> Scale | None:
    if scale is None:
        return None
    if not _is_number(scale) or scale <= 0:
        raise ConfigError(f"scale is {shown(scale)}: it should be the length of a pixel, a number above 0")
    if not isinstance(unit, str) or not re.fullmatch(r"[a-z][a-z0-9]*", unit) or unit == "px":
        raise ConfigError(f"unit is {shown(unit)}: it should be small letters, such as m, cm or um, and not px")
    return Scale(float(scale), unit)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _paths_by_video(
    uri: str, videos: Iterable[str] | None, objects: Iterable[str] | None, point: Point, max_gap_s: float
) -> Iterator[tuple[str, dict[str, Path]]]:
    """The tracks of one video after the other, by object id."""
    columns = [*_COLUMNS, "segmentation"] if point == "centroid" else _COLUMNS
    current: str | None = None
    parts: list[pd.DataFrame] = []
    for batch in iter_masks(uri, videos, objects, columns=columns):
        for video_id, part in _with_points(batch, point).groupby("video_id", sort=False):
            if video_id != current and current is not None:
                yield current, _paths(parts, max_gap_s)
                parts = []
            current = str(video_id)
            parts.append(part)
    if current is not None:
        yield current, _paths(parts, max_gap_s)


def _paths(parts: list[pd.DataFrame], max_gap_s: float) -> dict[str, Path]:
    paths = {}
    for object_id, part in pd.concat(parts).groupby("object_id"):
        track = part.sort_values("frame_index")
        frames, times_s = track["frame_index"].to_numpy(np.int64), track["timestamp_s"].to_numpy(np.float64)
        paths[str(object_id)] = make_path(frames, times_s, track[["x", "y"]].to_numpy(np.float64), max_gap_s)
    return paths


def _with_points(batch: pa.RecordBatch, point: Point) -> pd.DataFrame:
    """The keys of the rows, with the point ``x``, ``y`` of each mask; NaN if the object is absent."""
    columns = {name: _numbers(batch, f"bbox_{name}") for name in ("x", "y", "w", "h")}
    frame: pd.DataFrame = batch.select(_COLUMNS[:4]).to_pandas()
    if point == "centroid":
        masks = batch["segmentation"].to_pylist()
        points = [(math.nan, math.nan) if mask is None else centroid(rle_from_coco(mask)) for mask in masks]
        return frame.assign(x=[x for x, _ in points], y=[y for _, y in points])
    height = columns["h"] if point == "bottom_center" else columns["h"] / 2
    return frame.assign(x=columns["x"] + columns["w"] / 2, y=columns["y"] + height)


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = batch[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers
