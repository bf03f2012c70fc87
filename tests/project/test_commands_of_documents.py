"""Every command line in a document is one of the program: its verb, its options, the fields that it sets."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from samurai_batch.cli import app
from samurai_batch.job import make_job
from tests.project.test_project_files import DOCUMENTS, ROOT, code_of

VERBS = get_command(app).commands  # type: ignore[attr-defined]


def commands_of(document: Path) -> list[list[str]]:
    """The words of each command, up to a comment, a pipe or a continuation; ``samurai-batch`` itself left out."""
    lines = code_of(document.read_text(encoding="utf-8").replace("\\\n", " "))
    found = [line.strip() for line in lines if line.strip().startswith("samurai-batch ")]
    return [shlex.split(re.split(r" \| | && |; ", line)[0], comments=True)[1:] for line in found]


WITH_COMMANDS = [document for document in DOCUMENTS if commands_of(document)]


def test_commands_are_found_in_many_documents() -> None:
    names = {document.relative_to(ROOT).as_posix() for document in WITH_COMMANDS}
    assert names >= {"README.md", "jobs/README.md", "cluster/README.md", "samurai_batch/exports/README.md"}


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_has_a_verb_and_options_of_the_program(document: Path) -> None:
    for words in commands_of(document):
        if words[0].startswith("-"):
            continue
        assert words[0] in VERBS, words
        known = {option for parameter in VERBS[words[0]].params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
        assert used <= known | {"--help"}, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_field_that_a_document_sets_is_one_of_a_job(document: Path) -> None:
    known = set(make_job({"prompts": "p", "output": "o"}).model_dump())
    for name in re.findall(r"--set ([a-z_]+)[.=]", "\n".join(code_of(document.read_text(encoding="utf-8")))):
        assert name in known, name
