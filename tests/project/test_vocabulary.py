"""Names and messages use the field's words, not those that earlier versions made up.

`python -m tests.project.test_vocabulary [PATH ...]` lists every place that still has a replaced word.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("samurai_batch", "jobs", "cluster")

REPLACED_WORDS = {
    "follow": "propagate (masks through frames), track",
    "follows": "propagate, track",
    "followed": "propagated, tracked",
    "following": "propagating, tracking",
    "look": "detect",
    "looks": "detect",
    "looked": "detected",
    "looking": "detecting",
    "ask": "detect, request",
    "asks": "detect, request",
    "asked": "auto prompt, requested",
    "asking": "auto prompt, detecting",
    "book": "job state",
    "bookkeeper": "ledger writer",
    "recorder": "ledger writer",
    "tally": "run stats",
    "heart": "heartbeat",
    "misfit": "validation error",
    "apart": "subprocess, separate",
    "theirs": "baselines",
    "crew": "ddp",
    "behind": "background",
    "surroundings": "environment",
    "world": "environment, scene",
    "seat": "actor slot",
    "seats": "actor slots",
    "night": "reprocess plan",
    "tonight": "reprocess plan",
    "errand": "hook",
    "errands": "hooks",
    "spoil": "invalidate",
    "spoiled": "invalidated",
    "meanwhile": "on_progress",
    "obey": "apply",
    "nobody": "say what is missing",
    "somebody": "say who",
}
"""What replaces each word. Whole words of an identifier (`snake_case`, `CamelCase`) or of a text are compared."""

ALLOWED = {
    "world size",  # of a process group (torch.distributed)
    "world_size",
    "get_world_size",
    "fill_value_behind",
    "look_up",  # a key of fingerprints and mask tables on disk
    "follow_s",  # in run records of version 0.1.0
    "--follow",  # an option of `submit`, called as in `ray job logs`
    "`small world`",
    "`world`",
    "world/immovables",  # names of files of others
    "stamps-apart",  # a file of gathered pictures
}

STAGE_NAMES = {"small world", "world"}
"""Of training stages: saved states hold them."""

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words_of(text: str) -> set[str]:
    """The lower-case words of an identifier or a sentence."""
    for phrase in ALLOWED:
        text = text.replace(phrase, "")
    return {part.lower() for part in _PARTS.findall(text)}


def replaced_words(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, word and text of each identifier, and of each string that is no docstring, that has a replaced word."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstrings = {
        (node.value.lineno, node.value.col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    texts = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.lineno, node.col_offset) not in docstrings
        and node.value not in STAGE_NAMES
    ]
    names = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.NAME
    ]
    for line, text in (*names, *texts):
        for word in sorted(words_of(text) & REPLACED_WORDS.keys()):
            yield line, word, text


def python_files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def found_in(paths: list[Path]) -> list[str]:
    return [
        f"{path}:{line}: {word!r} ({REPLACED_WORDS[word]}) in {text[:100]!r}"
        for path in python_files(paths)
        for line, word, text in replaced_words(path)
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_identifier_or_message_has_a_replaced_word(folder: str) -> None:
    found = found_in([REPOSITORY / folder])
    assert not found, "\n".join(found)


def test_a_replaced_word_is_found_as_a_whole_word_only() -> None:
    assert words_of("_follow_chunk") == {"follow", "chunk"}
    assert words_of("LookOrder") == {"look", "order"}
    assert "follow" not in words_of("follower")


if __name__ == "__main__":
    paths = [Path(one) for one in sys.argv[1:]] or [REPOSITORY / name for name in FOLDERS]
    sys.stdout.writelines(f"{one}\n" for one in found_in(paths))
