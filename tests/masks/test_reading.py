import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pycocotools.mask as coco
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import (
    MASK_SCHEMA,
    MaskRow,
    decode_mask,
    encode_mask,
    mask_table_uri,
    read_masks,
    rows_to_table,
    table_to_bytes,
)
from samurai_batch.prompts import Rle

VIDEOS = ["plain", "a=b", "masks", ".hidden", "_private", "with/slash %41 é", "clip.parquet"]
OBJECTS = ["1", "_2", "k=3"]
NUM_FRAMES = 8


def rows(video_id: str, object_id: str, num_frames: int = NUM_FRAMES) -> list[MaskRow]:
    mask = np.zeros((5, 7), np.bool_)
    mask[1:4, 2:6] = True
    return [
        MaskRow(
            video_id=video_id,
            object_id=object_id,
            frame_index=index,
            timestamp_s=index / 10,
            height=5,
            width=7,
            segmentation=encode_mask(mask) if index % 3 else None,
            mask_score=0.5,
            object_score=1.0,
            motion_score=0.25 if index else None,
            mask_index=0,
            prompted=index == 0,
        )
        for index in range(num_frames)
    ]


def write_output(output: str) -> str:
    """An output folder of every awkward id, each video with one track of no rows, and what is not data."""
    for number, video_id in enumerate(VIDEOS):
        for object_id in OBJECTS:
            table = rows_to_table(rows(video_id, object_id))
            data = table_to_bytes(table, {"run_id": str(number)})
            storage.write_bytes(mask_table_uri(output, video_id, object_id), data)
        empty = table_to_bytes(rows_to_table([]), {"run_id": "other", "model": "tiny"})
        storage.write_bytes(mask_table_uri(output, video_id, "0 empty"), empty)
    storage.write_bytes(storage.join(output, "_ledger", "a.json"), b"{}")
    storage.write_bytes(storage.join(output, "_work", "abc", "forward-0.parquet"), b"half a part")
    return output


@pytest.fixture(scope="module")
def local_output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_output(str(tmp_path_factory.mktemp("run=3") / "_out [1]"))


@pytest.fixture(
    scope="module",
    params=["local", "file", "memory", pytest.param("s3", marks=pytest.mark.server)],
)
def output(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "s3":
        make_bucket: Callable[[], str] = request.getfixturevalue("make_bucket")
        return write_output(f"{make_bucket()}/out")
    if request.param == "memory":
        return write_output("memory://test-reading/out")
    folder = tmp_path_factory.mktemp("run=3") / "_out"
    return write_output(f"file://{folder}" if request.param == "file" else str(folder))


def for_pandas(uri: str) -> str:
    """pandas percent-decodes S3 and file URIs (and no path), so the names of quoted ids are quoted once more."""
    return uri.replace("%", "%25") if uri.startswith(("s3://", "file://")) else uri


def check_all(frame: pd.DataFrame, videos: list[str]) -> None:
    """Every row of these videos is there once, each track in order, in the columns of the schema alone."""
    assert list(frame.columns) == MASK_SCHEMA.names
    tracks = {key: group.frame_index.tolist() for key, group in frame.groupby(["video_id", "object_id"])}
    assert tracks == {(video, obj): list(range(NUM_FRAMES)) for video in videos for obj in OBJECTS}


def test_the_whole_output_its_masks_folder_one_video_and_one_file_can_be_read(output: str) -> None:
    masks = storage.join(output, "masks")
    check_all(read_masks(output), VIDEOS)
    check_all(read_masks(output + "/"), VIDEOS)
    check_all(read_masks(masks), VIDEOS)
    for video in VIDEOS:
        check_all(read_masks(storage.join(masks, storage.quote_id(video))), [video])
    assert len(read_masks(mask_table_uri(output, "masks", "1"))) == NUM_FRAMES


def test_bare_pandas_reads_what_read_masks_reads(output: str) -> None:
    uri = storage.join(output, "masks")
    whole = pd.read_parquet(uri)
    check_all(whole, VIDEOS)
    ordered = whole.sort_values(["video_id", "object_id", "frame_index"], ignore_index=True)
    mine = read_masks(output).sort_values(["video_id", "object_id", "frame_index"], ignore_index=True)
    pd.testing.assert_frame_equal(ordered, mine)
    for video in VIDEOS:
        check_all(pd.read_parquet(for_pandas(storage.join(uri, storage.quote_id(video)))), [video])
    assert len(pd.read_parquet(for_pandas(mask_table_uri(output, "_private", "k=3")))) == NUM_FRAMES


def test_bare_pandas_pushes_filters_and_columns_down(output: str) -> None:
    frame = pd.read_parquet(
        storage.join(output, "masks"),
        columns=["video_id", "frame_index"],
        filters=[("video_id", "==", "a=b"), ("frame_index", "<", 2)],
    )
    assert frame.to_numpy().tolist() == [["a=b", 0], ["a=b", 1]] * len(OBJECTS)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2
def test_a_rows_segmentation_goes_into_pycocotools_as_it_is(output: str) -> None:
    frame = pd.read_parquet(mask_table_uri(output, "plain", "1"))
    assert frame.segmentation[0] is None
    segmentation = frame.segmentation[1]
    decoded = coco.decode(segmentation)
    height, width = (int(side) for side in segmentation["size"])
    np.testing.assert_array_equal(decoded, decode_mask(Rle(height, width, segmentation["counts"])))
    assert decoded.sum() == frame.area[1] == 12
    assert coco.decode(frame.segmentation[1:3].tolist()).shape == (5, 7, 2)


def test_an_empty_track_has_the_same_columns_and_types(local_output: str) -> None:
    empty = pd.read_parquet(mask_table_uri(local_output, "a=b", "0 empty"))
    assert len(empty) == 0
    empty = empty.astype({"shot": "float64"})  # whole numbers of which some are null, as pandas has them
    pd.testing.assert_series_equal(empty.dtypes, read_masks(local_output).dtypes)
    nothing = read_masks(local_output, videos=["no such video"])
    assert len(nothing) == 0
    pd.testing.assert_series_equal(nothing.dtypes, empty.dtypes)


def test_filters_keep_matching_rows(output: str) -> None:
    frame = read_masks(output, videos=["masks", "_private"], objects=["_2", "unknown"], frames=[0, 5, 99])
    assert frame[["video_id", "object_id", "frame_index"]].to_numpy().tolist() == [
        ["_private", "_2", 0],
        ["_private", "_2", 5],
        ["masks", "_2", 0],
        ["masks", "_2", 5],
    ]
    assert read_masks(output, frames=range(2, 4), columns=["area", "video_id"]).columns.tolist() == [
        "area",
        "video_id",
    ]
    in_video = storage.join(output, "masks", storage.quote_id("a=b"))
    assert read_masks(in_video, videos=["masks"]).empty
    assert read_masks(in_video, videos=["a=b"], objects=["1"], frames=[3]).frame_index.tolist() == [3]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40, deadline=None
)
@given(
    videos=st.none() | st.lists(st.sampled_from([*VIDEOS, "other"]), max_size=3),
    objects=st.none() | st.lists(st.sampled_from([*OBJECTS, "other"]), max_size=3),
    frames=st.none()
    | st.lists(st.integers(-3, 2**40), max_size=3)
    | st.builds(range, st.integers(-2, 9), st.integers(-2, 12), st.sampled_from([1, 2, -1, -3])),
    columns=st.none() | st.lists(st.sampled_from(MASK_SCHEMA.names), unique=True, min_size=1),
)
def test_filtered_reading_equals_filtering_what_was_read(
    local_output: str,
    videos: list[str] | None,
    objects: list[str] | None,
    frames: list[int] | None,
    columns: list[str] | None,
) -> None:
    expected = read_masks(local_output)
    for name, wanted in (("video_id", videos), ("object_id", objects), ("frame_index", frames)):
        if wanted is not None:
            expected = expected[expected[name].isin(list(wanted))]
    expected = expected[columns if columns is not None else list(expected.columns)].reset_index(drop=True)
    got = read_masks(local_output, videos=videos, objects=objects, frames=frames, columns=columns)
    pd.testing.assert_frame_equal(got, expected)


def test_files_that_the_filters_exclude_are_not_opened(tmp_path: Path) -> None:
    output = str(tmp_path)
    data = table_to_bytes(rows_to_table(rows("v", "1")), {})
    storage.write_bytes(mask_table_uri(output, "v", "1"), data)
    storage.write_bytes(mask_table_uri(output, "v", "2"), b"not Parquet")
    storage.write_bytes(mask_table_uri(output, "w", "1"), b"not Parquet")
    assert len(read_masks(output, videos=["v"], objects=["1"])) == NUM_FRAMES
    with pytest.raises(ConfigError, match="not all of it is mask tables"):
        read_masks(output, videos=["v"])


def test_frames_are_skipped_by_whole_row_groups(tmp_path: Path) -> None:
    data = table_to_bytes(rows_to_table(rows("v", "1", num_frames=10_000)), {})
    path = tmp_path / "1.parquet"
    path.write_bytes(data)
    metadata = pq.ParquetFile(path).metadata
    frame_index = MASK_SCHEMA.names.index("frame_index")
    bounds = [metadata.row_group(i).column(frame_index).statistics for i in range(metadata.num_row_groups)]
    assert [(bound.min, bound.max) for bound in bounds] == [(0, 4095), (4096, 8191), (8192, 9999)]


def test_an_output_without_a_finished_track_gives_an_empty_frame(tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/_ledger/a.json", b"{}")
    assert read_masks(str(tmp_path)).columns.tolist() == MASK_SCHEMA.names
    (tmp_path / "masks").mkdir()
    assert read_masks(str(tmp_path)).empty
    assert read_masks(str(tmp_path / "masks")).empty


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"videos": "clip"}, "videos is 'clip', a text: give a list"),
        ({"objects": "1"}, "objects is '1', a text: give a list"),
        ({"objects": [1]}, "objects holds 1: an id is a text"),
        ({"frames": 3}, "frames is 3: give a range, or a list"),
        ({"frames": "3"}, "frames is '3': give a range, or a list"),
        ({"frames": [1.5]}, "frames holds 1.5: a frame index is a whole number"),
        ({"min_score": "high"}, "min_score is 'high': it should be a number"),
        ({"min_score": float("nan")}, "min_score is nan: it should be a number"),
        ({"columns": "area"}, "columns is 'area', a text: give a list"),
        ({"columns": ["aera"]}, "'aera'.* are not in a mask table; it has video_id"),
    ],
)
def test_a_wrong_argument_is_named(local_output: str, arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_masks(local_output, **arguments)  # type: ignore[arg-type]


def test_an_output_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-output: nothing is there"):
        read_masks(f"{tmp_path}/no-such-output")


def test_a_folder_of_other_things_is_named_and_an_empty_answer_is_none(tmp_path: Path, local_output: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "photos"):
        with pytest.raises(ConfigError, match="no mask tables are below it; give the output folder"):
            read_masks(str(folder))
    with pytest.raises(ConfigError, match="no mask tables are below it"):
        read_masks(str(tmp_path), videos=["a"], objects=["1"])
    copied = tmp_path / "copied"
    shutil.copytree(f"{local_output}/masks", copied)
    assert read_masks(str(copied), videos=["unknown"]).empty


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"segmentation": ["a"], "a": [1]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="not all of it is mask tables"):
        read_masks(str(tmp_path))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match=r"not all of it is mask tables.*x\.parquet has other columns"):
        read_masks(str(tmp_path), columns=["motion_score"])


@pytest.mark.skipif(importlib.util.find_spec("duckdb") is None, reason="duckdb is not installed")
def test_duckdb_reads_the_whole_output_and_one_video(tmp_path: Path) -> None:
    import duckdb

    write_output(str(tmp_path))
    connection = duckdb.connect()
    for pattern, num_videos in (("*/*.parquet", len(VIDEOS)), ("a%3Db/*.parquet", 1)):
        relation = connection.sql(f"select * from read_parquet('{tmp_path}/masks/{pattern}')")  # noqa: S608
        assert relation.columns == MASK_SCHEMA.names
        query = "select count(*), sum(area), count(segmentation.counts) from relation"
        num_tracks = num_videos * len(OBJECTS)
        assert connection.sql(query).fetchall() == [(num_tracks * 8, num_tracks * 60, num_tracks * 5)]


@pytest.mark.skipif(importlib.util.find_spec("polars") is None, reason="polars is not installed")
def test_polars_reads_the_whole_output_and_one_video(local_output: str, tmp_path: Path) -> None:
    import polars

    output = write_output(str(tmp_path))  # a folder without glob characters in its name
    for folder, num_videos in (("masks", len(VIDEOS)), ("masks/a%3Db", 1)):
        frame = polars.read_parquet(f"{output}/{folder}")
        assert frame.columns == MASK_SCHEMA.names
        assert frame.height == num_videos * len(OBJECTS) * NUM_FRAMES
        assert frame["segmentation"].struct.field("counts").drop_nulls().len() == frame.height * 5 // 8


@pytest.mark.parametrize("is_absolute", [True, False])
def test_duckdb_reads_the_files_values_also_below_folders_named_like_partitions(
    is_absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "video_id=zzz" / "height=999"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    data = table_to_bytes(rows_to_table(rows("clip", "1")), {})
    storage.write_bytes(mask_table_uri("out", "clip", "1"), data)
    files = f"{folder if is_absolute else '.'}/out/masks/*/*.parquet"
    query = f"SELECT DISTINCT video_id, height FROM read_parquet('{files}', hive_partitioning=false)"  # noqa: S608
    found = duckdb.sql(query)
    assert found is not None
    assert found.fetchall() == [("clip", rows("clip", "1")[0].height)]
