"""Zones and lines, read from a GeoJSON FeatureCollection in pixels of the video."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from samurai_batch import storage
from samurai_batch.checks import is_plain_box, shown
from samurai_batch.errors import ConfigError

_REMEDY = (
    'give {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "door"}, '
    '"geometry": {"type": "Polygon", "coordinates": [[[x, y], ...]]}}]}'
)


@dataclass(frozen=True, eq=False)
class Zone:
    """An area of the picture. ``videos`` are the ids of the videos that it is for; None: all."""

    name: str
    area: BaseGeometry
    videos: frozenset[str] | None = None

    def contains(self, points_xy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the (N, 2) points in pixels are inside or on the border; (N,) bool. NaN is outside."""
        inside: NDArray[np.bool_] = shapely.intersects_xy(self.area, points_xy[:, 0], points_xy[:, 1])
        return inside


@dataclass(frozen=True, eq=False)
class Line:
    """A line through (N, 2) ``points_xy`` in pixels, N >= 2, for the videos with these ids (None: all)."""

    name: str
    points_xy: NDArray[np.float64]
    videos: frozenset[str] | None = None


@dataclass(frozen=True, eq=False)
class Zones:
    """All zones and lines of a file."""

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()

    def of_video(self, video_id: str) -> "Zones":
        """Those that are for a video."""
        return Zones(
            tuple(one for one in self.zones if one.videos is None or video_id in one.videos),
            tuple(one for one in self.lines if one.videos is None or video_id in one.videos),
        )

    @property
    def videos(self) -> frozenset[str]:
        """The ids of videos that are named."""
        named = [one.videos for one in self.zones] + [one.videos for one in self.lines]
        return frozenset(video_id for videos in named for video_id in videos or ())


def read_zones(uri: str) -> Zones:
    """The zones (Polygon, MultiPolygon) and lines (LineString) of a GeoJSON file.

    Coordinates are x, y in pixels of the video, y down. Each feature has the property ``name``, and may have
    ``video_id``, a text or a list of texts. Raises ConfigError with the feature and what is wrong with it.
    """
    where = storage.redact_uri(uri)
    try:
        value = json.loads(storage.read_bytes(uri))
    except FileNotFoundError as error:
        raise ConfigError(f"{where}: the file of zones does not exist") from error
    except ValueError as error:
        raise ConfigError(f"{where}: this is not JSON ({error}); {_REMEDY}") from error
    return zones_from_geojson(value, where)


def zones_from_geojson(value: object, where: str = "zones") -> Zones:
    """As `read_zones`, from a parsed value; messages begin with ``where``."""
    features = value.get("features") if isinstance(value, Mapping) else None
    is_collection = isinstance(value, Mapping) and value.get("type") == "FeatureCollection"
    if not is_collection or not isinstance(features, list) or not features:
        raise ConfigError(f"{where}: this is no FeatureCollection with features; {_REMEDY}")
    found = []
    for number, feature in enumerate(features, start=1):
        try:
            found.append(_parsed(feature))
        except ValueError as error:
            raise ConfigError(f"{where}: feature {number}{_called(feature)}: {error}") from error
    name, count = Counter(one.name for one in found).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{where}: {count} features are called {name!r}; give each a name of its own")
    return Zones(
        tuple(one for one in found if isinstance(one, Zone)), tuple(one for one in found if isinstance(one, Line))
    )


def _called(feature: Any) -> str:
    properties = feature.get("properties") if isinstance(feature, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return f" ({name})" if isinstance(name, str) else ""


def _parsed(feature: Any) -> Zone | Line:
    """Raises ValueError with what is wrong."""
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        raise ValueError('it is not an object of type "Feature"')
    properties, geometry = feature.get("properties"), feature.get("geometry")
    name = properties.get("name") if isinstance(properties, Mapping) else None
    if not isinstance(name, str) or not name.strip():
        raise ValueError('it has no name; add "properties": {"name": ...}')
    assert isinstance(properties, Mapping)
    videos = _videos(properties.get("video_id"))
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in ("Polygon", "MultiPolygon", "LineString"):
        raise ValueError(f"its geometry is {shown(kind)}: zones are Polygon or MultiPolygon, lines are LineString")
    assert isinstance(geometry, Mapping)
    shape = _shape(geometry)
    if kind == "LineString":
        return Line(name, np.asarray(shape.coords, np.float64), videos)
    shapely.prepare(shape)
    return Zone(name, shape, videos)


def _videos(value: object) -> frozenset[str] | None:
    ids = [value] if isinstance(value, str) else value
    if ids is None:
        return None
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) and one for one in ids):
        raise ValueError(f"its video_id is {shown(value)}: it should be the id of a video, or a list of ids")
    return frozenset(ids)


def _shape(geometry: Mapping[str, Any]) -> BaseGeometry:
    coordinates = geometry.get("coordinates")
    _check_points(coordinates, {"LineString": 1, "Polygon": 2, "MultiPolygon": 3}[geometry["type"]])
    try:
        shape: BaseGeometry = shapely.geometry.shape(geometry)
    except (ValueError, TypeError, shapely.errors.ShapelyError) as error:
        raise ValueError(f"its coordinates make no {geometry['type']}: {error}") from error
    if shape.is_empty or not (shape.is_valid if geometry["type"] != "LineString" else shape.length > 0):
        raise ValueError(f"its coordinates make no {geometry['type']}: {explain_validity(shape)}")
    x1, y1, x2, y2 = shape.bounds
    if is_plain_box((x1, y1, x2, y2)) and min(x1, y1) >= 0 and max(x2, y2) <= 1:
        raise ValueError("its coordinates are all between 0 and 1; give pixels of the video, not shares of its size")
    return shape


def _check_points(value: object, depth: int) -> None:
    """Check nested lists of [x, y]: pixels, two finite numbers each."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"its coordinates hold {shown(value)} in place of a list of points [x, y]")
    for one in value:
        if depth > 1:
            _check_points(one, depth - 1)
        elif not (isinstance(one, list) and len(one) == 2 and all(_is_finite(number) for number in one)):
            raise ValueError(f"its coordinates hold {shown(one)} in place of a point [x, y], two finite numbers")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(float(value)))
