import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import samurai_batch
from samurai_batch import cli, storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import compact_masks, encode_mask
from samurai_batch.measuring import measure_tracks, write_measurements
from samurai_batch.rle import centroid
from tests.measuring.tracks import walk, write_places

PAGE = (Path(samurai_batch.__file__).parent / "measuring" / "README.md").read_text(encoding="utf-8")
ZONES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """In video ``clip`` one object walks through the gate and back, one stands in the door; ``other`` has a third."""
    monkeypatch.chdir(tmp_path)
    Path("zones.json").write_text(ZONES)
    write_places("out", "clip", "walker", [*walk(20, 100), *reversed(walk(20, 100))])
    write_places("out", "clip", "stander", [(10, 10)] * 40)
    write_places("out", "other", "1", [*[None] * 5, *walk(100, 140), *[None] * 20, (10, 10), (10, 10)])
    return "out"


def row(frame: pd.DataFrame, **keys: str) -> Any:
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_a_track_is_measured_in_pixels_and_in_units(output: str) -> None:
    tracks = measure_tracks(output, scale=0.5, unit="cm").tracks
    walker = row(tracks, object_id="walker")
    assert walker["path_px"] == pytest.approx(2 * 19 * 4)
    assert walker["path_cm"] == pytest.approx(walker["path_px"] / 2)
    assert walker["displacement_px"] == 0
    assert walker["mean_speed_px_s"] == pytest.approx(2 * 19 * 4 / 3.9)
    assert walker["max_speed_cm_s"] == pytest.approx(20)
    assert walker[["num_rows", "num_present", "entries", "exits"]].tolist() == [40, 40, 0, 0]
    assert walker["present_s"] == pytest.approx(4.0)
    assert row(tracks, object_id="stander")["path_px"] == 0


def test_a_misspelt_video_or_object_is_refused(output: str) -> None:
    for videos, objects in ((["clpi"], None), (None, ["nobody"])):
        with pytest.raises(ConfigError, match="the chosen videos and objects have no rows there; check their ids"):
            measure_tracks(output, videos=videos, objects=objects)


def test_presence_counts_entries_and_exits_of_the_picture(output: str) -> None:
    found = row(measure_tracks(output).tracks, video_id="other")
    assert found[["first_frame", "last_frame", "num_present", "entries", "exits"]].tolist() == [5, 36, 12, 2, 1]
    assert found["present_s"] == pytest.approx(1.2)
    bridged = row(measure_tracks(output, max_gap_s=60).tracks, video_id="other")
    assert bridged[["num_present", "entries", "exits"]].tolist() == [12, 1, 0]
    assert bridged["path_px"] > found["path_px"]


def test_zones_count_objects_visits_and_seconds(output: str) -> None:
    measured = measure_tracks(output, "zones.json")
    door = row(measured.zones, video_id="clip", zone="door")
    assert door[["num_objects", "visits", "entries", "exits", "max_at_once"]].tolist() == [2, 3, 1, 1, 2]
    visits = measured.visits[measured.visits["object_id"] == "walker"]
    # Its centre is 2 pixels to the right of the square's corner: inside up to corner 58.
    assert visits[["first_frame", "last_frame", "is_entry", "is_exit"]].to_numpy().tolist() == [
        [0, 9, False, True], [30, 39, True, False]
    ]  # fmt: skip
    assert visits["dwell_s"].tolist() == pytest.approx([1.0, 1.0])
    assert door["dwell_s"] == pytest.approx(6.0)
    assert door["longest_s"] == pytest.approx(4.0)
    assert row(measured.zones, video_id="other")["num_objects"] == 1


def test_lines_count_both_directions_in_their_videos(output: str) -> None:
    measured = measure_tracks(output, "zones.json")
    assert measured.lines.to_dict("records") == [
        {"video_id": "clip", "line": "gate", "num_objects": 1, "to_left": 1, "to_right": 1}
    ]
    assert measured.crossings["frame_index"].tolist() == [10, 30]
    assert measured.crossings["to_side"].tolist() == ["left", "right"]
    assert measured.crossings["y"].tolist() == [50, 50]


@pytest.mark.parametrize(("point", "y"), [("center", 50.0), ("bottom_center", 52.0), ("centroid", 50.0)])
def test_the_point_of_the_mask_is_chosen(point: str, y: float, output: str) -> None:
    measured = measure_tracks(output, "zones.json", point=point)  # type: ignore[arg-type]
    assert measured.crossings["y"].tolist() == [y, y]


masks = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32)).map(
    lambda size: np.random.default_rng(size[2]).random(size[:2]) < 0.5
)


@given(masks.filter(lambda mask: mask.any()))
def test_the_centroid_of_a_mask_is_the_mean_of_its_pixels(mask: NDArray[np.bool_]) -> None:
    rle = encode_mask(mask)
    assert rle is not None
    y, x = np.nonzero(mask)
    assert centroid(rle) == pytest.approx((x.mean() + 0.5, y.mean() + 0.5))


@pytest.mark.parametrize("keys", [(), ("video_id",)])
def test_compacted_tables_measure_the_same(keys: tuple[str, ...], output: str) -> None:
    compact_masks(output, partition_by=keys)
    one, other = measure_tracks(output, "zones.json"), measure_tracks("out/compact", "zones.json")
    for name in vars(one):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


def test_rows_of_a_video_that_are_not_together_are_refused(output: str) -> None:
    write_places("out", "other", "stander", [(1, 1)])
    compact_masks(output, partition_by=["object_id"])
    with pytest.raises(ConfigError, match="the rows of a video are not together; give the output folder"):
        measure_tracks("out/compact")


def test_tables_are_written_as_parquet_and_csv_and_hold_the_same(output: str) -> None:
    measured = measure_tracks(output, "zones.json", scale=1)
    written = write_measurements(measured, "measured")
    assert len(written) == 10
    for name, frame in vars(measured).items():
        pd.testing.assert_frame_equal(pd.read_parquet(f"measured/{name}.parquet"), frame)
        read = pd.read_csv(f"measured/{name}.csv", dtype={"object_id": str})
        pd.testing.assert_frame_equal(read, frame, check_dtype=False)


def test_an_output_without_rows_gives_empty_tables_with_their_columns(tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/_ledger/a.json", b"{}")
    measured = measure_tracks(str(tmp_path))
    assert len(measured.tracks) == 0
    assert "path_px" in measured.tracks
    assert len(write_measurements(measured, str(tmp_path / "measured"))) == 10


def test_a_track_that_is_never_present_has_no_times(tmp_path: Path) -> None:
    write_places(str(tmp_path), "v", "1", [None, None])
    found = row(measure_tracks(str(tmp_path)).tracks)
    assert found[["num_present", "present_s", "path_px", "entries"]].tolist() == [0, 0, 0, 0]
    assert pd.isna(found["first_frame"])
    assert pd.isna(found["mean_speed_px_s"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"point": "top"}, "point is 'top': it should be center, bottom_center, centroid"),
        ({"max_gap_s": -1}, "max_gap_s is -1"),
        ({"max_gap_s": float("nan")}, "max_gap_s is nan"),
        ({"scale": 0}, "scale is 0"),
        ({"scale": float("inf")}, "scale is inf"),
        ({"scale": 1, "unit": "m/s"}, "unit is 'm/s'"),
        ({"scale": 1, "unit": "px"}, "unit is 'px'"),
        ({"videos": "clip"}, "videos is 'clip', a text"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], reason: str, output: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        measure_tracks(output, **arguments)  # type: ignore[arg-type]


def test_a_zone_of_a_video_that_is_not_there_is_named_unless_videos_are_selected(output: str) -> None:
    value = json.loads(ZONES)
    value["features"][1]["properties"]["video_id"] = "clpi"
    Path("zones.json").write_text(json.dumps(value))
    with pytest.raises(ConfigError, match="zones are for video 'clpi', which has no rows here"):
        measure_tracks(output, "zones.json")
    assert len(measure_tracks(output, "zones.json", videos=["clip"]).zones) == 1


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["samurai-batch", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run


def test_the_command_of_the_page_writes_the_tables(
    output: str, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = re.findall(r"```bash\nsamurai-batch (.*)\n```", PAGE)
    assert call(*command.split()) == 0
    assert capsys.readouterr().out == "3 tracks, 4 visits, 2 crossings: measured\n"
    assert "path_m" in pd.read_csv("measured/tracks.csv")
    assert call("measure", "out", "-o", "measured", "--point", "top") == 2
    assert "point is 'top'" in capsys.readouterr().err


def test_the_python_of_the_page_runs(output: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    assert Path("measured/lines.parquet").exists()


def test_the_columns_on_the_page_are_those_of_the_tables(output: str) -> None:
    for name, frame in vars(measure_tracks(output, scale=1)).items():
        (line,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
        assert set(frame.columns) - {"video_id", "object_id"} == set(re.findall(r"`(\w+)`", line)) - {name}


def test_the_queries_of_the_page_give_the_same_numbers(output: str) -> None:
    measured = measure_tracks(output, "zones.json")
    write_measurements(measured, "measured")
    mean_dwell, by_minute, paths, dwell, crossings = (duckdb.connect().execute(query).df() for query in QUERIES)
    assert mean_dwell["objects"].tolist() == [measured.visits["object_id"].nunique()]
    assert mean_dwell["mean_dwell_s"].tolist() == pytest.approx([measured.visits["dwell_s"].mean()])
    assert by_minute[["to_left", "to_right"]].to_numpy().tolist() == [[1, 1]]
    tracks = measured.tracks.sort_values(["video_id", "object_id"])
    assert paths["path_px"].tolist() == pytest.approx(tracks["path_px"].tolist())
    assert paths["mean_speed_px_s"].tolist() == pytest.approx(tracks["mean_speed_px_s"].tolist())
    in_door = measured.visits.groupby(["video_id", "object_id"])["dwell_s"].sum()
    # SQL has no duration for a track's last row, which here is in the door for every track.
    assert dwell["dwell_s"].tolist() == pytest.approx([seconds - 0.1 for seconds in in_door])
    assert crossings["frame_index"].tolist() == measured.crossings["frame_index"].tolist()
    assert crossings["to_side"].tolist() == measured.crossings["to_side"].tolist()
