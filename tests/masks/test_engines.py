"""The examples of ``samurai_batch/masks/archives.md`` run as they stand there: DuckDB, Polars, Daft, Ray Data."""

import re
from pathlib import Path

import pytest

import samurai_batch
from samurai_batch.masks import compact_masks
from tests.masks.test_compact import write_track

PAGE = Path(samurai_batch.__file__).parent / "masks" / "archives.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
IDS = ["007", "a b", "clip"]


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for video_id in IDS:
        for object_id in ("1", "dog"):
            write_track(str(tmp_path / "out"), video_id, object_id)
    monkeypatch.chdir(tmp_path)


def _run(code: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    return names


def _example(word: str) -> str:
    (code,) = (code for code in EXAMPLES if word in code)
    return str(code)


def test_there_is_an_example_of_each_engine() -> None:
    assert [sum(f"import {name}" in code for code in EXAMPLES) for name in ("duckdb", "polars", "daft", "ray")] == [
        1
    ] * 4


def test_batches_are_counted(in_folder: None) -> None:
    assert _run(_example("iter_masks("))["num_present"] == 6 * 4  # the first frame of each track is absent


def test_compacted_files_are_read(in_folder: None) -> None:
    assert len(_run(_example("read_masks("))["table"]) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_an_engine_reads_hive_folders_and_keeps_ids_as_text(engine: str, in_folder: None) -> None:
    names = _run(_example(f"import {engine}"))
    if engine == "duckdb":
        relation = names["duckdb"].sql(f"SELECT DISTINCT video_id FROM {names['tracks']} ORDER BY ALL")  # type: ignore[attr-defined] # noqa: S608
        assert relation.fetchall() == [(one,) for one in IDS]
    else:
        rows = names["rows"].select("video_id").unique().collect()  # type: ignore[attr-defined]
        assert sorted(rows["video_id"]) == IDS


@pytest.mark.slow
def test_daft_reads_compacted_files(in_folder: None) -> None:
    names = _run(_example("import daft"))
    found = names["present"].groupby("video_id").count("area").sort("video_id").to_pydict()  # type: ignore[attr-defined]
    assert found == {"video_id": IDS, "area": [8, 8, 8]}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.xdist_group("ray")
@pytest.mark.filterwarnings("ignore")  # of Ray Data's own dependencies
def test_ray_data_reads_compacted_files_and_hive_folders(in_folder: None) -> None:
    import ray
    from ray.data.datasource.partitioning import Partitioning, PartitionStyle

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        rows = _run(_example("import ray"))["rows"]
        assert rows.count() == 30  # type: ignore[attr-defined]
        by_path = Partitioning(PartitionStyle.HIVE, field_types={"video_id": str})
        parts = ray.data.read_parquet(compact_masks("out", partition_by=["video_id"]), partitioning=by_path)
        assert sorted(one["video_id"] for one in parts.groupby("video_id").count().take_all()) == IDS
    finally:
        ray.shutdown()
