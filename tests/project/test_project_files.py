"""The files around the code agree with it and with each other: metadata, workflow, hooks, documents."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import samurai_batch

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
CONTRIBUTING = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(path for name in (".github", "cluster", "jobs", "samurai_batch") for path in (ROOT / name).rglob("*.md")),
    ]
)
MINOR_VERSIONS = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def read_yaml(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def without_code(markdown: str) -> str:
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE))


def code_of(markdown: str) -> list[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```", markdown, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", markdown)


def anchors(document: Path) -> set[str]:
    """The fragments that GitHub gives to a document's headings."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets(text: str) -> set[str]:
    return {
        word for found in re.findall(r"\bmake((?: +[a-z]+\b(?!=))+)", text.partition("#")[0]) for word in found.split()
    }


def phony_targets() -> set[str]:
    found = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def test_every_dependency_is_pinned_to_a_version_that_the_metadata_allows() -> None:
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]:
        requirement = Requirement(text)
        pin = PINS.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is missing in constraints.txt"
        assert requirement.specifier.contains(pin), f"constraints.txt pins {requirement.name}=={pin}, not {text}"


def test_the_lowest_python_of_the_classifiers_is_the_lowest_that_installs() -> None:
    assert PROJECT["requires-python"] == f">={MINOR_VERSIONS[0]}"


def test_the_license_is_an_expression_and_no_classifier() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert not [one for one in PROJECT["classifiers"] if one.startswith("License")]


def test_the_makefile_has_every_target_that_it_calls_phony() -> None:
    assert phony_targets() == set(re.findall(r"^([a-z]+):(?!=)", MAKEFILE, re.MULTILINE))


def test_continuous_integration_ends_with_the_first_thing_that_fails() -> None:
    lines = CI.splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-2:] == ["make test", "make dist"]


def test_the_workflow_runs_what_continuous_integration_runs_on_the_oldest_and_newest_python() -> None:
    [job] = read_yaml(GITHUB / "workflows" / "test.yml")["jobs"].values()
    assert job["steps"][-1]["run"] == "bash .ci/run"
    assert job["strategy"]["matrix"] == {"python": [MINOR_VERSIONS[0], MINOR_VERSIONS[-1]]}
    assert job["container"]["image"] == "python:${{ matrix.python }}-bookworm"


def test_the_workflow_may_only_read_and_starts_on_pushes_and_pull_requests() -> None:
    workflow = read_yaml(GITHUB / "workflows" / "test.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["on"].keys() >= {"push", "pull_request"}  # in quotes: YAML 1.1 reads the bare word as true


@pytest.mark.parametrize("workflow", sorted((GITHUB / "workflows").iterdir()), ids=lambda path: path.name)
def test_actions_are_pinned_to_commits_and_say_their_version(workflow: Path) -> None:
    uses = re.findall(r"uses: *(.+)", workflow.read_text(encoding="utf-8"))
    assert uses
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in uses), uses


def test_the_hooks_have_the_ruff_that_is_tested() -> None:
    repositories = {one["repo"]: one for one in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]}
    ruff = repositories["https://github.com/astral-sh/ruff-pre-commit"]
    assert ruff["rev"] == f"v{PINS[canonicalize_name('ruff')]}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    [mypy] = repositories["local"]["hooks"]
    assert mypy["entry"] == ".venv/bin/mypy"


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_an_issue_form_is_one_that_github_shows(form: str) -> None:
    content = read_yaml(GITHUB / "ISSUE_TEMPLATE" / f"{form}.yml")
    assert content.keys() >= {"name", "description", "body"}
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in content["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids)


def test_the_changelog_tells_of_this_version_and_of_what_is_to_come() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert samurai_batch.__version__ in headings


def test_every_make_target_that_a_document_names_exists() -> None:
    named = {document: set().union(*map(make_targets, code_of(document.read_text()))) for document in DOCUMENTS}
    assert {path.name: targets - phony_targets() for path, targets in named.items() if targets - phony_targets()} == {}
    assert named[GITHUB / "CONTRIBUTING.md"] >= {"setup", "check", "unit", "test", "simulate", "dist"}


def test_every_place_that_the_contributing_guide_names_exists() -> None:
    places = {place for place in code_of(CONTRIBUTING) if re.fullmatch(r"[\w./]+(?:\.py|/)", place)}
    assert {"tests/golden/", "planning/", "tests/test_layers.py"} <= places
    missing = [place for place in places if not ((ROOT / place).exists() or (ROOT / "samurai_batch" / place).exists())]
    assert missing == []


def test_every_version_on_disk_stands_in_the_file_that_the_contributing_guide_names() -> None:
    rows = re.findall(r"^\|[^|]*`([\w/]+\.py)` \| (`\w+`(?:, `\w+`)*) \|", CONTRIBUTING, re.MULTILINE)
    assert len(rows) == 4
    for place, names in rows:
        code = (ROOT / "samurai_batch" / place).read_text(encoding="utf-8")
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^{name} = ", code, re.MULTILINE), f"{place} has no {name}"


def test_every_invariant_names_a_test_that_holds_it() -> None:
    page = (ROOT / "samurai_batch" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| .+ \| `([\w/]+\.py)(?:::(\w+))?` \|$", page, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 14))
    for number, place, name in rows:
        code = (ROOT / "tests" / place).read_text(encoding="utf-8")
        assert f"\ndef {name or 'test_'}" in code, f"invariant {number}: {place} has no {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", target):
            continue
        place, _, fragment = target.partition("#")
        there = (document.parent / place).resolve() if place else document
        assert there.exists(), f"{target}: no such file"
        assert not fragment or fragment in anchors(there), f"{target}: no such heading"
