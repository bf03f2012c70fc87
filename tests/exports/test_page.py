"""The page on other tools: its Python runs, and its tables name every format."""

import re
from pathlib import Path

import numpy as np
import pytest

import samurai_batch
from samurai_batch.exports import FORMATS
from samurai_batch.imports import FORMATS as IMPORTS
from tests.exports.made_masks import HEIGHT, WIDTH, write_output

PAGE = (Path(samurai_batch.__file__).parent / "exports" / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    square = np.zeros((HEIGHT, WIDTH), np.bool_)
    square[1:3, 1:4] = True
    write_output(str(tmp_path / "out"), "clip", {("7", 0): square})
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102


def first_cells(text: str) -> set[str]:
    cells = re.findall(r"^\|([^|]+)\|", text, re.MULTILINE)
    return set(re.findall(r"`([\w-]+)`", " ".join(cells))) - {"--format"}


def test_the_tables_name_every_format() -> None:
    out, taken = PAGE.split("## What is taken in")
    assert first_cells(out.split("## What each format holds")[1]) == set(FORMATS)
    assert first_cells(taken) == set(IMPORTS)
