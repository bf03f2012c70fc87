"""An output that version 0.1.0 left behind is read, reported, compared and continued by this one."""

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samurai_batch import storage
from samurai_batch.ledger.status import read_status
from samurai_batch.masks import compact_masks, read_masks
from samurai_batch.operations.diff import diff_results
from samurai_batch.operations.reprocess import Choice, plan_reprocess, reprocess
from samurai_batch.report import write_report
from samurai_batch.runtime.run import run_job
from samurai_batch.storage import Identity
from tests.compatibility.fixture import OUTPUT, job, put_all, read_all, remove_all
from tests.runtime.fakes import NoProgress

pytestmark = pytest.mark.usefixtures("one_thread", "caches_of_its_own")

FINISHED = {"box": 40, "points": 40, "mask": 10}  # rows of the tracks of the video "clip"
LEFT = range(3, 16)  # frames of the interrupted track that nobody has followed yet: chunks 1 and 0 of its way back
UNFINISHED_ROWS = range(3, 41)


@pytest.fixture
def caches_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


@pytest.fixture(autouse=True)
def output() -> Iterator[str]:
    put_all()
    yield OUTPUT
    remove_all()


def rows_by_track(uri: str) -> dict[tuple[str, str], list[int]]:
    rows = read_masks(uri)
    return {
        (str(key[0]), str(key[1])): part["frame_index"].tolist()
        for key, part in rows.groupby(["video_id", "object_id"])
    }


def saved_rows(files: dict[str, bytes], leg: str = "") -> pd.DataFrame:
    """The rows of the interrupted track that were saved before the interruption, by frame."""
    parts = [
        pq.read_table(pa.BufferReader(data))
        for name, data in files.items()
        if name.startswith("out/_work/") and name.endswith(".parquet") and leg in name
    ]
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return frame.sort_values("frame_index", ignore_index=True)


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(segmentation=rows["segmentation"].map(lambda one: one and str(one["counts"])))


def test_its_tables_are_read(output: str) -> None:
    expected = {("clip", name): list(range(count)) for name, count in FINISHED.items()}
    assert rows_by_track(output) == expected | {("second", "forward"): list(range(41))}
    assert read_masks(output, columns=["motion_score"])["motion_score"].notna().sum() > 50


def test_its_ledger_is_read(output: str) -> None:
    status = read_status(storage, output)
    assert status.num_tracks == {"done": 4, "partial": 0, "failed": 1}
    assert status.newest_run is not None
    assert status.newest_run.status == "interrupted"


def test_an_interrupted_track_goes_on_from_its_saved_state_and_nothing_else_is_computed(output: str) -> None:
    before = read_all()
    summary = run_job(job(), progress=NoProgress())
    assert summary.status == "finished"
    totals = summary.totals
    assert (totals.tracks_skipped, totals.tracks_done, totals.tracks_failed) == (5, 5, 1)
    assert totals.stats.track_frames == totals.stats.frames_encoded == len(LEFT)
    after = read_all()
    standing = {name for name in before if name.startswith("out/masks/")}
    assert {name: after[name] for name in standing} == {name: before[name] for name in standing}

    rows = read_masks(output, videos=["second"], objects=["both"])
    assert rows["frame_index"].tolist() == list(UNFINISHED_ROWS)
    saved = saved_rows(before)
    kept = rows[rows["frame_index"].isin(saved["frame_index"])].reset_index(drop=True)
    assert len(saved) == len(UNFINISHED_ROWS) - len(LEFT)
    pd.testing.assert_frame_equal(comparable(kept)[list(saved.columns)], comparable(saved))


def test_a_new_reprocess_computes_only_what_failed(output: str) -> None:
    first = plan_reprocess(job())
    assert {one.track.track_id for one in first.decisions} == {("second", "both"), ("broken", "box")}
    reprocessed = reprocess(job(), Choice(), progress=NoProgress())
    assert reprocessed.summary.totals.stats.track_frames == len(LEFT)
    again = plan_reprocess(job())
    assert {one.track.track_id for one in again.decisions} == {("broken", "box")}
    assert not again.removed


def test_it_is_compared_with_what_this_version_makes_of_it(output: str) -> None:
    run_job(job(), progress=NoProgress())
    found = diff_results(output, output)
    assert len(found.tracks) == 5
    assert all(one.num_differing == 0 for one in found.tracks)


def test_it_is_reported(output: str) -> None:
    run_job(job(), progress=NoProgress())
    page = storage.read_bytes(write_report(output)).decode()
    assert "not a readable video" in page
    assert "<img" in page


PREDICTED = [f"predicted_{axis}" for axis in "xywh"]
OLD_AND_NEW_ROWS = sum(FINISHED.values()) + 41 + len(UNFINISHED_ROWS)


@pytest.fixture
def mixed(output: str, tmp_path: Path) -> str:
    """On disk: the old tables, and that of the track which was finished by this version."""
    run_job(job(), progress=NoProgress())
    for name, data in read_all().items():
        if name.startswith("out/masks/"):
            storage.write_bytes(str(tmp_path / name), data)
    return str(tmp_path / "out")


def test_predictions_are_null_in_rows_that_were_made_before(mixed: str) -> None:
    rows = read_masks(mixed)
    assert len(rows) == OLD_AND_NEW_ROWS
    known = rows[rows["predicted_x"].notna()]
    assert set(known["object_id"]) == {"both"}
    assert set(known["frame_index"]) == set(LEFT)
    assert known[PREDICTED].notna().all(axis=None)
    pd.testing.assert_frame_equal(read_masks(mixed, columns=PREDICTED), rows[PREDICTED])
    pd.testing.assert_frame_equal(
        read_masks(mixed, videos=["clip"], frames=range(3), columns=["predicted_h", "area"]),
        rows[(rows["video_id"] == "clip") & (rows["frame_index"] < 3)][["predicted_h", "area"]].reset_index(drop=True),
    )


def test_pandas_reads_old_and_new_tables_together(mixed: str) -> None:
    assert len(pd.read_parquet(f"{mixed}/masks")) == OLD_AND_NEW_ROWS


def test_duckdb_and_polars_read_old_and_new_tables_together_when_told_so(mixed: str) -> None:
    import duckdb
    import polars

    union = f"SELECT count(*), count(predicted_x) FROM read_parquet('{mixed}/masks/*/*.parquet', union_by_name = true)"  # noqa: S608
    assert duckdb.connect().sql(union).fetchall() == [(OLD_AND_NEW_ROWS, len(LEFT))]
    newest_first = [f"{mixed}/masks/second/both.parquet", *map(str, sorted(Path(mixed).glob("masks/clip/*")))]
    frame = polars.scan_parquet(newest_first, missing_columns="insert").collect()
    assert frame["predicted_x"].count() == len(LEFT)


def test_compacted_tables_are_all_of_this_version(mixed: str) -> None:
    folder = compact_masks(mixed)
    rows = pd.read_parquet(folder)
    assert len(rows) == OLD_AND_NEW_ROWS
    assert rows["predicted_x"].notna().sum() == len(LEFT)
    pd.testing.assert_frame_equal(read_masks(folder), rows)


def test_a_file_on_disk_is_known_by_its_size_and_its_moment(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"12345")
    assert storage.identity(str(path)) == Identity(5, str(path.stat().st_mtime_ns))


def test_the_tables_are_of_the_first_schema() -> None:
    tables = [data for name, data in read_all().items() if name.endswith(".parquet")]
    assert len(tables) == 9
    for data in tables:
        metadata = pq.read_metadata(io.BytesIO(data))
        assert metadata.metadata[b"samurai_batch.schema_version"] == b"1"
        assert metadata.num_columns == 18  # 17, one of which has two parts
