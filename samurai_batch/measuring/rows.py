"""The rows of the measurement tables: a pure function of one video's paths and zones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from samurai_batch.measuring.crossings import crossings_of
from samurai_batch.measuring.paths import Path, motion_of, stays_of
from samurai_batch.measuring.zones import Line, Zone, Zones

Row = dict[str, Any]
Paths = Mapping[str, Path]

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TYPES: dict[str, dict[str, pa.DataType]] = {
    "tracks": {
        "video_id": _TEXT, "object_id": _TEXT, "num_rows": _WHOLE, "num_present": _WHOLE,
        "first_frame": _WHOLE, "last_frame": _WHOLE, "first_s": _REAL, "last_s": _REAL, "present_s": _REAL,
        "entries": _WHOLE, "exits": _WHOLE, "path_px": _REAL, "displacement_px": _REAL,
        "mean_speed_px_s": _REAL, "max_speed_px_s": _REAL,
    },
    "visits": {
        "video_id": _TEXT, "object_id": _TEXT, "zone": _TEXT, "first_frame": _WHOLE, "last_frame": _WHOLE,
        "first_s": _REAL, "last_s": _REAL, "dwell_s": _REAL, "is_entry": _FLAG, "is_exit": _FLAG,
    },
    "zones": {
        "video_id": _TEXT, "zone": _TEXT, "num_objects": _WHOLE, "visits": _WHOLE, "entries": _WHOLE, "exits": _WHOLE,
        "dwell_s": _REAL, "longest_s": _REAL, "max_at_once": _WHOLE,
    },
    "crossings": {
        "video_id": _TEXT, "object_id": _TEXT, "line": _TEXT, "frame_index": _WHOLE, "timestamp_s": _REAL,
        "to_side": _TEXT, "x": _REAL, "y": _REAL,
    },
    "lines": {"video_id": _TEXT, "line": _TEXT, "num_objects": _WHOLE, "to_left": _WHOLE, "to_right": _WHOLE},
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """The length of a pixel in a unit of length."""

    units_per_px: float
    unit: str

    def named(self, name: str) -> str:
        """The name of a column in this unit: ``path_px`` becomes ``path_m``, ``mean_speed_px_s`` ``mean_speed_m_s``."""
        return name.replace("_px", f"_{self.unit}")


def schemas(scale: Scale | None) -> dict[str, pa.Schema]:
    """The schema of each table."""
    in_units = [scale.named(name) for name in _TYPES["tracks"] if "_px" in name] if scale else []
    return {name: schema_of(name, [*types, *(in_units if name == "tracks" else [])]) for name, types in _TYPES.items()}


def schema_of(table: str, columns: Sequence[str]) -> pa.Schema:
    """The schema of a table with these columns; those in a unit of length are numbers."""
    return pa.schema([(name, _TYPES[table].get(name, _REAL)) for name in columns])


def rows_of_video(video_id: str, paths: Paths, zones: Zones, scale: Scale | None) -> dict[str, list[Row]]:
    """The rows of one video in each table."""
    visits = [row for zone in zones.zones for row in _visits(video_id, zone, paths)]
    crossings = [row for line in zones.lines for row in _crossings(video_id, line, paths)]
    return {
        "tracks": [_track(video_id, object_id, path, scale) for object_id, path in paths.items()],
        "visits": visits,
        "zones": [_zone(video_id, one.name, [row for row in visits if row["zone"] == one.name]) for one in zones.zones],
        "crossings": crossings,
        "lines": [
            _line(video_id, one.name, [row for row in crossings if row["line"] == one.name]) for one in zones.lines
        ],
    }


def _track(video_id: str, object_id: str, path: Path, scale: Scale | None) -> Row:
    stays = stays_of(path, path.is_known)
    motion = vars(motion_of(path))
    in_units = {
        scale.named(name): None if value is None else value * scale.units_per_px
        for name, value in motion.items()
        if scale
    }
    frames, times_s = path.frames[path.present], path.times_s[path.present]
    return {
        "video_id": video_id,
        "object_id": object_id,
        "num_rows": len(path.frames),
        "num_present": len(frames),
        "first_frame": int(frames[0]) if len(frames) else None,
        "last_frame": int(frames[-1]) if len(frames) else None,
        "first_s": float(times_s[0]) if len(frames) else None,
        "last_s": float(times_s[-1]) if len(frames) else None,
        "present_s": float(path.duration_s[path.present].sum()),
        "entries": sum(one.entered for one in stays),
        "exits": sum(one.left for one in stays),
        **motion,
        **in_units,
    }


def _visits(video_id: str, zone: Zone, paths: Paths) -> list[Row]:
    return [
        {
            "video_id": video_id,
            "object_id": object_id,
            "zone": zone.name,
            "first_frame": int(path.frames[stay.first]),
            "last_frame": int(path.frames[stay.last]),
            "first_s": float(path.times_s[stay.first]),
            "last_s": float(path.times_s[stay.last]),
            "dwell_s": float(path.duration_s[stay.first : stay.last + 1].sum()),
            "is_entry": stay.entered,
            "is_exit": stay.left,
        }
        for object_id, path in paths.items()
        for stay in stays_of(path, zone.contains(path.points_xy))
    ]


def _zone(video_id: str, zone: str, visits: Sequence[Row]) -> Row:
    return {
        "video_id": video_id,
        "zone": zone,
        "num_objects": len({one["object_id"] for one in visits}),
        "visits": len(visits),
        "entries": sum(one["is_entry"] for one in visits),
        "exits": sum(one["is_exit"] for one in visits),
        "dwell_s": sum(one["dwell_s"] for one in visits),
        "longest_s": max((one["dwell_s"] for one in visits), default=0.0),
        "max_at_once": _max_at_once(visits),
    }


def _max_at_once(visits: Sequence[Row]) -> int:
    """The largest number of objects on one frame."""
    changes = [(one["first_frame"], 1) for one in visits] + [(one["last_frame"] + 1, -1) for one in visits]
    count = largest = 0
    for _, change in sorted(changes):  # those who leave come before those who arrive on the same frame
        count += change
        largest = max(largest, count)
    return largest


def _crossings(video_id: str, line: Line, paths: Paths) -> list[Row]:
    return [
        {
            "video_id": video_id,
            "object_id": object_id,
            "line": line.name,
            "frame_index": int(path.frames[one.row]),
            "timestamp_s": float(path.times_s[one.row]),
            "to_side": one.to_side,
            "x": one.x,
            "y": one.y,
        }
        for object_id, path in paths.items()
        for one in crossings_of(path, line.points_xy)
    ]


def _line(video_id: str, line: str, crossings: Sequence[Row]) -> Row:
    sides = [one["to_side"] for one in crossings]
    return {
        "video_id": video_id,
        "line": line,
        "num_objects": len({one["object_id"] for one in crossings}),
        "to_left": sides.count("left"),
        "to_right": sides.count("right"),
    }
