"""Imports point down: what the layers are, and a walk over every import in the package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "samurai_batch"

LAYERS = {
    "redaction": 0,
    "errors": 0,
    "checks": 0,
    "schema": 0,
    "prompts": 0,
    "tasks": 0,
    "frame_sampling": 0,
    "geometry": 0,
    "plotting": 0,
    "rle": 0,
    "stats": 0,
    "storage": 0,
    "manifest": 0,
    "modeling": 1,
    "video": 1,
    "masks": 1,
    "planning": 1,
    "background": 0,
    "counting": 0,
    "synthetic": 1,
    "exports": 2,
    "imports": 2,
    "measuring": 2,
    "tracking": 2,
    "images": 2,
    "evaluation": 2,
    "rendering": 2,
    "job": 3,
    "ledger": 3,
    "pipeline": 3,
    "training": 3,
    "runtime": 4,
    "report": 5,
    "benchmark": 5,
    "operations": 5,
    "demo": 5,
    "one_video": 5,
    "cli": 6,
}
INDEPENDENT_LAYER = 1  # its packages do not import each other

ONLY_IN = {
    "ray": ["runtime/ray_*.py", "operations/job_api.py", "operations/ray_metrics.py"],
    "fsspec": ["storage/stores.py"],
    "s3fs": [],
    "av": ["video/*.py", "rendering/output.py", "rendering/alpha.py"],
    "decord": ["video/decord_decoder.py"],
    "torchcodec": ["video/torchcodec_decoder.py"],
    "pynvml": ["modeling/cuda_setup.py"],
    "torch": [
        "modeling/*.py",
        "tracking/*.py",
        "tracking/sentry/masks.py",
        "tracking/sentry/rescue.py",
        "images/*.py",
        "training/*.py",
        "pipeline.py",
        "runtime/*.py",
        "benchmark/*.py",
        "video/torchcodec_decoder.py",
    ],
}
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 350, 60
PLANNING_MAY_USE = {"checks", "errors", "frame_sampling", "tasks", "planning", "prompts", "redaction", "stats"}
NO_CLOCK_AND_NO_INPUT = {"time", "os", "io", "pathlib", "socket", "random", "threading", "subprocess", "tempfile"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, anywhere in it, and the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "samurai_batch":
                yield from ((f"samurai_batch.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def part_of(path: Path) -> str:
    """The top-level module or package of ours that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def ours(path: Path) -> Iterator[tuple[str, int]]:
    for module, line in imports(path):
        names = module.split(".")
        if names[0] == "samurai_batch" and len(names) > 1:
            yield names[1], line


def test_every_module_has_its_place_in_the_table() -> None:
    assert {part_of(path) for path in modules()} - {"__init__", "__main__"} <= LAYERS.keys()


def test_imports_point_down() -> None:
    wrong = []
    for path in modules():
        here = part_of(path)
        if here in ("__init__", "__main__"):
            continue
        for there, line in ours(path):
            is_down = LAYERS[there] < LAYERS[here]
            is_beside = LAYERS[there] == LAYERS[here] and LAYERS[here] != INDEPENDENT_LAYER
            if there != here and not is_down and not is_beside:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} (layer {LAYERS[here]}) imports {there}")
    assert not wrong, "\n".join(wrong)


def test_no_two_parts_import_each_other() -> None:
    edges = {(part_of(path), there) for path in modules() for there, _ in ours(path)}
    assert not {(a, b) for a, b in edges if a < b and (b, a) in edges and "__init__" not in (a, b)}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    allowed = {path for pattern in ONLY_IN[library] for path in PACKAGE.glob(pattern)}
    users = {path for path in modules() for module, _ in imports(path) if module.split(".")[0] == library}
    assert not {str(path.relative_to(PACKAGE)) for path in users - allowed}


def test_planning_is_the_standard_library_and_what_there_is_to_do() -> None:
    for path in sorted((PACKAGE / "planning").glob("*.py")):
        assert {there for there, _ in ours(path)} <= PLANNING_MAY_USE, path
        others = {module.split(".")[0] for module, _ in imports(path)} - {"samurai_batch"}
        assert others <= sys.stdlib_module_names - NO_CLOCK_AND_NO_INPUT, path


def test_only_the_command_line_prints() -> None:
    printing = {
        part_of(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing <= {"cli"}


def test_every_logger_is_one_that_lets_no_secret_out() -> None:
    bare = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("getLogger", "basicConfig")
    }
    # The second sets up and redacts the log of a process; the third sets levels of clients' loggers and writes nothing.
    assert bare == {"redaction.py", "cli/__init__.py", "storage/stores.py"}


def test_files_and_functions_stay_small() -> None:
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MAX_MODULE_LINES, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                num_lines = node.end_lineno - node.lineno + 1  # decorators are not counted
                assert num_lines <= MAX_FUNCTION_LINES, f"{path}: {node.name}"


@pytest.mark.parametrize("statement", ["import samurai_batch", "from samurai_batch import errors"])
def test_importing_the_package_is_cheap_and_changes_nothing(statement: str) -> None:
    code = (
        "import logging, os, sys; before = dict(os.environ);"
        f"{statement};"
        "assert dict(os.environ) == before; assert not logging.root.handlers;"
        "heavy = {'torch', 'ray', 'pandas', 'numpy', 'pyarrow', 'av', 'fsspec', 'pydantic', 'rich', 'typer'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)
    assert run.stdout.strip() == "[]"
