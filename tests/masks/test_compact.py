import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from samurai_batch import cli, storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import MaskRow, compact_masks, encode_mask, mask_table_uri, read_masks
from samurai_batch.masks.table import rows_to_table, table_to_bytes

KEYS = ["video_id", "object_id", "frame_index"]


def write_track(output: str, video_id: str, object_id: str, num_frames: int = 5, score: float = 0.5) -> None:
    mask = np.eye(8, dtype=np.bool_)
    rows = [
        MaskRow(
            video_id=video_id,
            object_id=object_id,
            frame_index=index,
            timestamp_s=index / 25,
            height=8,
            width=8,
            segmentation=encode_mask(mask) if index else None,
            mask_score=score + index / 100,
            object_score=1.0,
            motion_score=None,
            mask_index=0,
            prompted=False,
        )
        for index in range(num_frames)
    ]
    storage.write_bytes(mask_table_uri(output, video_id, object_id), table_to_bytes(rows_to_table(rows), {}))


@pytest.fixture
def output(tmp_path: Path) -> str:
    output = str(tmp_path / "out")
    for video_id in ("b", "a b", "a", "_x"):
        for object_id in ("2", "10", "%"):
            write_track(output, video_id, object_id)
    return output


def check_compacted(output: str, folder: str) -> None:
    expected = read_masks(output).sort_values(KEYS, ignore_index=True)
    for read in (read_masks(storage.join(output, "compact")), read_masks(folder), pd.read_parquet(folder)):
        pd.testing.assert_frame_equal(read, expected)


def test_compacted_files_hold_every_row_once_sorted_by_video_object_and_frame(output: str) -> None:
    folder = compact_masks(output)
    assert storage.list_names(folder) == ["part-00001.parquet"]
    check_compacted(output, folder)


def test_files_are_cut_by_size_and_never_inside_a_track(output: str) -> None:
    one_track = pq.read_table(Path(output) / "masks/b/2.parquet").nbytes
    folder = compact_masks(output, file_bytes=int(2.5 * one_track))
    assert len(storage.list_names(folder)) == 6
    check_compacted(output, folder)


def test_filters_work_on_compacted_files_as_on_the_tracks_own(output: str) -> None:
    compact_masks(output)
    filters = {"videos": ["a", "b"], "objects": ["%"], "frames": range(1, 3), "min_score": 0.515}
    found = read_masks(storage.join(output, "compact"), **filters)  # type: ignore[arg-type]
    assert found[KEYS].to_numpy().tolist() == [["a", "%", 2], ["b", "%", 2]]
    pd.testing.assert_frame_equal(found, read_masks(output, **filters))  # type: ignore[arg-type]


def test_nothing_is_written_until_something_changes_and_the_generation_before_is_kept(output: str) -> None:
    first = compact_masks(output)
    part = Path(first) / "part-00001.parquet"
    written_at_ns = part.stat().st_mtime_ns
    assert compact_masks(output) == first
    assert part.stat().st_mtime_ns == written_at_ns
    write_track(output, "c", "1")
    second = compact_masks(output)
    write_track(output, "d", "1")
    third = compact_masks(output)
    assert len({first, second, third}) == 3
    assert [Path(folder).exists() for folder in (first, second, third)] == [False, True, True]
    check_compacted(output, third)


def test_readers_see_the_old_generation_until_the_new_one_is_complete(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact_masks(output)
    before = read_masks(storage.join(output, "compact"))
    write_track(output, "c", "1")
    write = storage.write_bytes
    seen = []

    def read_then_write(uri: str, data: bytes) -> None:
        seen.append(read_masks(storage.join(output, "compact")))
        write(uri, data)

    monkeypatch.setattr(storage, "write_bytes", read_then_write)
    compact_masks(output, file_bytes=1)
    assert len(seen) == 13 + 1  # a file for each track, and the pointer
    for found in seen:
        pd.testing.assert_frame_equal(found, before)
    assert len(read_masks(storage.join(output, "compact"))) == len(before) + 5


def test_what_an_interrupted_run_left_is_removed_first(output: str) -> None:
    folder = compact_masks(output)
    storage.delete(storage.join(output, "compact", "_current.json"))
    storage.write_bytes(storage.join(folder, "part-00009.parquet"), b"half")
    assert compact_masks(output) == folder
    check_compacted(output, folder)


def test_an_output_without_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no track is finished there"):
        compact_masks(str(tmp_path))


@pytest.mark.parametrize("keys", [["video_id"], ["object_id"], ["object_id", "video_id"]])
def test_hive_folders_hold_the_same_rows_without_the_columns_in_their_path(keys: list[str], output: str) -> None:
    folder = compact_masks(output, partition_by=keys)
    expected = read_masks(output).sort_values([*keys, *KEYS], ignore_index=True)
    for uri in (storage.join(output, "compact"), folder):
        pd.testing.assert_frame_equal(read_masks(uri).sort_values([*keys, *KEYS], ignore_index=True), expected)
    files = sorted(Path(folder).rglob("*.parquet"))
    assert len(files) == expected.groupby(keys).ngroups
    for file in files:
        assert set(KEYS) - set(pq.ParquetFile(file).schema_arrow.names) == set(keys)
        assert [part.partition("=")[0] for part in file.relative_to(folder).parts[:-1]] == keys
        one = read_masks(str(file))
        assert one.groupby(keys).ngroups == 1
        assert len(one) == len(read_masks(str(file.parent)))


@pytest.mark.parametrize("keys", [["video_id"], ["object_id"], ["video_id", "object_id"]])
def test_filters_select_hive_folders(keys: list[str], output: str) -> None:
    folder = compact_masks(output, partition_by=keys)
    filters = {"videos": ["a", "_x"], "objects": ["%", "2"], "frames": [1, 4]}
    expected = read_masks(output, **filters).sort_values(KEYS, ignore_index=True)  # type: ignore[arg-type]
    for uri in (storage.join(output, "compact"), folder):
        found = read_masks(uri, **filters).sort_values(KEYS, ignore_index=True)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(found, expected)


def test_the_command_line_partitions(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compact", output, "--partition-by", "video_id", "--partition-by", "object_id"]
    monkeypatch.setattr("sys.argv", ["samurai-batch", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    folder = Path(capsys.readouterr().out.strip().removeprefix("compacted tables: "))
    assert (folder / "video_id=a%20b/object_id=%25").is_dir()


def test_the_layout_is_part_of_the_generation(output: str) -> None:
    plain = compact_masks(output)
    hive = compact_masks(output, partition_by=["video_id"])
    assert plain != hive
    assert compact_masks(output, partition_by=["video_id"]) == hive
    assert compact_masks(output) == plain


@pytest.mark.parametrize(
    ("keys", "reason"), [(["area"], "partition_by is 'area': .* video_id or object_id"), (["video_id"] * 2, "twice")]
)
def test_a_wrong_partition_is_named(keys: list[str], reason: str, output: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        compact_masks(output, partition_by=keys)


def test_objects_of_a_generation_are_found_by_its_folder_too(output: str) -> None:
    folder = compact_masks(output)
    assert read_masks(folder, videos=["a"], objects=["%"])[KEYS].to_numpy().tolist() == [
        ["a", "%", i] for i in range(5)
    ]


def test_a_pointer_of_version_0_1_0_is_read(output: str) -> None:
    folder = compact_masks(output)
    storage.write_bytes(
        storage.join(output, "compact", "_current.json"),
        json.dumps({"generation": Path(folder).name, "num_tracks": 12}).encode(),
    )
    check_compacted(output, folder)
    assert len(read_masks(storage.join(output, "compact"), videos=["a"], objects=["2"])) == 5


def test_a_damaged_pointer_is_named_and_written_anew(output: str) -> None:
    compact_masks(output)
    storage.write_bytes(storage.join(output, "compact", "_current.json"), b"{")
    with pytest.raises(ConfigError, match=r"_current\.json is damaged; compact again"):
        read_masks(storage.join(output, "compact"))
    check_compacted(output, compact_masks(output))
    assert len(storage.list_names(storage.join(output, "compact"))) == 2


@pytest.mark.server
def test_compacting_works_on_s3(s3_uri: str) -> None:
    for object_id in ("1", "2"):
        write_track(s3_uri, "v", object_id)
    folder = compact_masks(s3_uri)
    check_compacted(s3_uri, folder)
