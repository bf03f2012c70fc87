"""The Python examples of the README and of the page on tables run as they stand there, and its tables are complete."""

import re
from pathlib import Path

import pytest

from samurai_batch import storage
from samurai_batch.benchmark.clip import write_clip
from samurai_batch.manifest.rows import COLUMNS
from samurai_batch.masks import MASK_SCHEMA, mask_table_uri, rows_to_table, table_to_bytes
from tests.masks.test_reading import rows

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "samurai_batch/masks/README.md")]
EXAMPLES = [code for page in PAGES for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]


def test_there_are_examples() -> None:
    text = "\n".join(EXAMPLES)
    assert all(name in text for name in ("samurai_batch.track(", "read_masks(", "duckdb.sql(", "pl.scan_parquet("))


def test_the_tables_of_the_page_name_every_column() -> None:
    prompts, output = PAGES[1].split("## Prompts")[1].split("## Exit codes")[0].split("## Output")
    assert first_cells(prompts) == set(COLUMNS)
    assert first_cells(output) == set(MASK_SCHEMA.names)


def first_cells(text: str) -> set[str]:
    r"""What stands in back quotes in the first column of a table; a \| does not end the column."""
    cells = re.findall(r"^\|(.+?[^\\\n])\| ", text, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", " ".join(cells)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2
@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mp4", 4)
    for object_id in ("1", "2"):
        data = table_to_bytes(rows_to_table(rows("clip", object_id)), {})
        storage.write_bytes(mask_table_uri(str(tmp_path / "out"), "clip", object_id), data)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {})  # noqa: S102
