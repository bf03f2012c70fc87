"""The page on other tools: its Python runs, its tables name every format, its commands are those of the program."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer

import samurai_batch
from samurai_batch.cli import app
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


def test_every_command_of_the_page_has_these_options() -> None:
    commands = typer.main.get_command(app)
    lines = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    written = [shlex.split(line, comments=True) for line in lines]
    used = [words for words in written if words]
    assert {words[1] for words in used} == {"export", "prompts", "reprocess", "history", "diff"}
    for words in used:
        assert words[0] == "samurai-batch"
        command = commands.commands[words[1]]  # type: ignore[attr-defined]
        command.make_context(words[1], words[2:], resilient_parsing=True)
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known
