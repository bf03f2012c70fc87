"""`iter_masks`, and what is read of large files: the bytes that a filter needs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import MASK_SCHEMA, compact_masks, iter_masks, read_masks
from tests.masks import archive
from tests.masks.counting_proxy import CountingProxy, counting_proxy
from tests.masks.test_compact import write_track
from tests.masks.test_reading import OBJECTS, VIDEOS, write_output


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_output(str(tmp_path_factory.mktemp("out")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
@given(
    videos=st.none() | st.lists(st.sampled_from([*VIDEOS, "other"]), max_size=3),
    objects=st.none() | st.lists(st.sampled_from([*OBJECTS, "other"]), max_size=3),
    frames=st.none() | st.lists(st.integers(-3, 12), max_size=3),
    columns=st.none() | st.lists(st.sampled_from(MASK_SCHEMA.names), unique=True, min_size=1),
    batch_rows=st.integers(1, 9),
)
def test_batches_hold_the_rows_of_read_masks_in_their_order(
    output: str,
    videos: list[str] | None,
    objects: list[str] | None,
    frames: list[int] | None,
    columns: list[str] | None,
    batch_rows: int,
) -> None:
    expected = read_masks(output, videos, objects, frames, columns)
    batches = list(iter_masks(output, videos, objects, frames, columns, batch_rows=batch_rows))
    assert all(0 < batch.num_rows <= batch_rows for batch in batches)
    assert all(batch.schema.names == list(expected.columns) for batch in batches)
    names = columns or MASK_SCHEMA.names
    table = pa.Table.from_batches(batches, MASK_SCHEMA.empty_table().select(names).schema)
    assert table.to_pydict() == pa.Table.from_pandas(expected, table.schema, preserve_index=False).to_pydict()


@pytest.mark.parametrize("arguments", [{"videos": "clip"}, {"columns": ["aera"]}, {"frames": 3}, {"batch_rows": 0}])
def test_a_wrong_argument_is_named_by_the_call(output: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        iter_masks(output, **arguments)  # type: ignore[arg-type]


def test_a_reader_may_stop_early_and_a_damaged_file_is_named(output: str, tmp_path: Path) -> None:
    first = next(iter_masks(output, batch_rows=3))
    assert first.num_rows == 3
    write_track(str(tmp_path), "v", "1")
    (tmp_path / "masks/v/2.parquet").write_bytes(b"not Parquet")
    batches = iter_masks(str(tmp_path))
    assert next(batches).num_rows == 5
    with pytest.raises(ConfigError, match="not all of it is mask tables"):
        list(batches)


def test_files_have_statistics_of_row_groups_and_an_index_of_pages(tmp_path: Path) -> None:
    for video_id in ("a", "b"):
        write_track(str(tmp_path), video_id, "1", num_frames=3000)
    (part,) = Path(compact_masks(str(tmp_path))).iterdir()
    for path in (part, tmp_path / "masks/a/1.parquet"):
        group = pq.ParquetFile(path).metadata.row_group(0)
        chunks = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
        assert all(chunk.has_offset_index for chunk in chunks.values())
        for name in ("video_id", "object_id", "frame_index"):
            assert chunks[name].statistics.has_min_max
            assert chunks[name].has_column_index


@pytest.fixture(scope="module")
def archive_on_s3(make_bucket: Callable[[], str]) -> str:
    uri = make_bucket()
    archive.write_archive(uri, num_videos=40)
    return storage.join(uri, "compact")


@pytest.fixture
def proxy(s3_endpoint: str, archive_on_s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingProxy]:
    with counting_proxy(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.mark.server
@pytest.mark.slow
def test_one_track_of_compacted_tables_on_s3_takes_the_bytes_of_its_row_group(
    proxy: CountingProxy, archive_on_s3: str
) -> None:
    rows = read_masks(archive_on_s3, videos=["video-00017"], objects=["object-4"])
    assert rows["frame_index"].tolist() == list(range(archive.NUM_FRAMES))
    whole = proxy.num_bytes
    assert len(proxy.answers) <= 9
    assert whole < 2 * 2**20, proxy.answers  # a row group, its footer, the pointer
    proxy.answers.clear()
    boxes = read_masks(archive_on_s3, videos=["video-00017"], objects=["object-4"], columns=["frame_index", "area"])
    assert len(boxes) == archive.NUM_FRAMES
    assert proxy.num_bytes < whole / 8
    proxy.answers.clear()
    assert read_masks(archive_on_s3, videos=["video-99"]).empty
    assert proxy.num_bytes < 4096  # no file can hold it


@pytest.mark.server
@pytest.mark.slow
def test_a_filter_by_frame_reads_the_row_groups_of_these_frames(s3_uri: str, s3_endpoint: str) -> None:
    write_track(s3_uri, "long", "1", num_frames=200_000)
    compact_masks(s3_uri)
    with counting_proxy(s3_endpoint) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        all_rows = len(read_masks(storage.join(s3_uri, "compact")))
        whole = proxy.num_bytes
        proxy.answers.clear()
        rows = read_masks(storage.join(s3_uri, "compact"), frames=range(150_000, 150_010))
    assert (all_rows, len(rows)) == (200_000, 10)
    assert proxy.num_bytes < whole / 4


MEMORY = """
import sys
from samurai_batch.masks import iter_masks
from samurai_batch.benchmark.memory import peak_bytes
rows = sum(batch.num_rows for batch in iter_masks(sys.argv[1]))
print(rows, peak_bytes() // 2**20)
"""


@pytest.mark.slow
def test_iterating_over_an_archive_takes_less_than_300_mib(tmp_path: Path) -> None:
    archive.write_archive(str(tmp_path), num_videos=250)
    num_rows, peak = _in_a_process(MEMORY, storage.join(str(tmp_path), "compact"))
    assert num_rows == 250_000
    assert peak < 300


def _in_a_process(code: str, argument: str) -> tuple[int, int]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code, argument], env=environment, check=True, capture_output=True, text=True, timeout=600
    )
    first, second = map(int, ran.stdout.split())
    return first, second
