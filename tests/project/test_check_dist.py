"""What `make dist` finds wrong with an sdist or a wheel, on small archives."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.project.check_dist import contents_problems, output_of

FILES = {"pyproject.toml", "samurai_batch/__init__.py", "samurai_batch/py.typed", "jobs/nano_state/curve.svg"}
IN_SDIST = ["pyproject.toml", "samurai_batch/__init__.py", "samurai_batch/py.typed"]
IN_WHEEL = ["samurai_batch/__init__.py", "samurai_batch/py.typed"]
MADE_IN_SDIST = ["PKG-INFO", "setup.cfg", "samurai_batch.egg-info/SOURCES.txt"]
MADE_IN_WHEEL = ["samurai_batch-1.dist-info/METADATA", "samurai_batch-1.dist-info/licenses/LICENSE"]


def make_dist(folder: Path, in_sdist: list[str], in_wheel: list[str]) -> Path:
    with tarfile.open(folder / "samurai_batch-1.tar.gz", "w:gz") as sdist:
        for name in [*in_sdist, *MADE_IN_SDIST]:
            sdist.addfile(tarfile.TarInfo(f"samurai_batch-1/{name}"), io.BytesIO())
    with zipfile.ZipFile(folder / "samurai_batch-1-py3-none-any.whl", "w") as wheel:
        for name in [*in_wheel, *MADE_IN_WHEEL]:
            wheel.writestr(name, b"")
    return folder


def test_archives_that_hold_the_repository_pass(tmp_path: Path) -> None:
    assert contents_problems(make_dist(tmp_path, IN_SDIST, IN_WHEEL), FILES) == []


def test_a_file_that_did_not_come_along_is_named(tmp_path: Path) -> None:
    problems = contents_problems(make_dist(tmp_path, IN_SDIST[1:], IN_WHEEL[:1]), FILES)
    assert problems == [
        "samurai_batch-1.tar.gz lacks pyproject.toml",
        "samurai_batch-1-py3-none-any.whl lacks samurai_batch/py.typed",
    ]


@pytest.mark.parametrize(
    "stray", ["samurai_batch/__pycache__/a.pyc", "samurai_batch/gone.py", "jobs/nano_state/curve.svg"]
)
def test_a_file_that_does_not_belong_is_named_in_either_archive(stray: str, tmp_path: Path) -> None:
    problems = contents_problems(make_dist(tmp_path, [*IN_SDIST, stray], [*IN_WHEEL, stray]), FILES)
    assert problems == [
        f"samurai_batch-1.tar.gz should not hold {stray}",
        f"samurai_batch-1-py3-none-any.whl should not hold {stray}",
    ]


def test_a_command_that_fails_ends_the_check_and_shows_what_it_said(tmp_path: Path) -> None:
    code = "import sys; print('found'); sys.exit('and lost')"
    with pytest.raises(SystemExit, match=r"found\nand lost\n\n.*\nended with exit code 1"):
        output_of([sys.executable, "-c", code], tmp_path)


def test_a_command_does_not_see_this_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert output_of([sys.executable, "-c", "import os; print('PYTHONPATH' in os.environ)"], tmp_path) == "False\n"
