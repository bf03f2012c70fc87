"""``python -m tests.lowest`` prints the lowest allowed version of every dependency in `pyproject.toml`."""

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"([a-z0-9-]+)(?:\[[a-z,]+\])?>=([0-9.]+)")


def lowest_versions(dependencies: list[str]) -> list[str]:
    """Every dependency pinned to its lower bound; refuses dependencies without one, or with other conditions."""
    found = [REQUIREMENT.fullmatch(one) for one in dependencies]
    assert all(found), f"write each as name>=version: {dependencies}"
    return [f"{one[1]}=={one[2]}" for one in found if one]


if __name__ == "__main__":
    pyproject = tomllib.loads(Path("pyproject.toml").read_text())
    sys.stdout.write("\n".join(lowest_versions(pyproject["project"]["dependencies"])) + "\n")
