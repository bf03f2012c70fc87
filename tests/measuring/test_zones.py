import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.measuring import read_zones
from samurai_batch.measuring.zones import zones_from_geojson

SQUARE = [[[0, 0], [60, 0], [60, 120], [0, 120]]]


def feature(kind: str, coordinates: Any, name: Any = "a", **properties: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": {"name": name, **properties}, "geometry": geometry}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def test_polygons_are_zones_and_line_strings_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    closed = [[*SQUARE[0], SQUARE[0][0]]]
    path.write_text(
        json.dumps(
            collection(
                feature("Polygon", SQUARE),
                feature("MultiPolygon", [closed], "b", video_id="clip"),
                feature("LineString", [[0, 0], [5, 5]], "c", video_id=["clip", "other"]),
            )
        )
    )
    zones = read_zones(str(path))
    assert [zone.name for zone in zones.zones] == ["a", "b"]
    assert [one.name for one in zones.lines] == ["c"]
    assert zones.videos == {"clip", "other"}
    assert [zone.name for zone in zones.of_video("other").zones] == ["a"]


def test_the_border_is_inside_a_hole_is_not_and_no_point_is_outside() -> None:
    hole = [[10, 10], [20, 10], [20, 20], [10, 20]]
    (zone,) = zones_from_geojson(collection(feature("Polygon", [SQUARE[0], hole]))).zones
    points = np.array([(0, 0), (60, 50), (61, 50), (15, 15), (5, 5), (np.nan, np.nan)], np.float64)
    assert zone.contains(points).tolist() == [True, True, False, False, True, False]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "no FeatureCollection"),
        ({"type": "FeatureCollection", "features": []}, "no FeatureCollection"),
        (SQUARE, "no FeatureCollection"),
        (collection(3), 'feature 1: it is not an object of type "Feature"'),
        (collection(feature("Polygon", SQUARE, None)), "feature 1: it has no name"),
        (collection(feature("Polygon", SQUARE, " ")), r"feature 1 \( \): it has no name"),
        (collection(feature("Point", [1, 2])), r"feature 1 \(a\): its geometry is 'Point'"),
        (collection({**feature("Polygon", SQUARE), "geometry": None}), "its geometry is None"),
        (collection(feature("Polygon", SQUARE), feature("Polygon", SQUARE)), "2 features are called 'a'"),
        (collection(feature("Polygon", [[[0, 0], [9, 9], [9, 0], [0, 9]]])), "Self-intersection"),
        (collection(feature("Polygon", [[[0, 0], [9, 9]]])), "its coordinates make no Polygon"),
        (collection(feature("Polygon", [[[0, 0], [5, 0], [9, 0]]])), "its coordinates make no Polygon"),
        (collection(feature("LineString", [[1, 2]])), "its coordinates make no LineString"),
        (collection(feature("LineString", [[1, 2], [1, 2]])), "its coordinates make no LineString"),
        (collection(feature("Polygon", [[0, 0], [9, 0], [9, 9]])), "hold 0 in place of a point"),
        (collection(feature("Polygon", None)), "in place of a list of points"),
        (collection(feature("LineString", [[1, 2, 3], [4, 5, 6]])), r"hold \[1, 2, 3\] in place of a point"),
        (collection(feature("LineString", [[1, float("nan")], [4, 5]])), "in place of a point"),
        (collection(feature("LineString", [["1", 2], [4, 5]])), "in place of a point"),
        (collection(feature("Polygon", [[[0, 0], [1, 0], [1, 1]]])), "give pixels of the video, not shares"),
        (collection(feature("Polygon", SQUARE, video_id=[])), r"its video_id is \[\]"),
        (collection(feature("Polygon", SQUARE, video_id=7)), "its video_id is 7"),
    ],
)
def test_what_is_wrong_is_named_with_its_feature(value: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match=reason) as told:
        read_zones(str(path))
    assert str(path) in str(told.value)


def test_a_file_that_is_missing_or_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: the file of zones does not exist"):
        read_zones(str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    with pytest.raises(ConfigError, match=r"bad\.json: this is not JSON"):
        read_zones(str(tmp_path / "bad.json"))
