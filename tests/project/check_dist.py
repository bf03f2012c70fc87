"""``python -m tests.project.check_dist dist``: checks the sdist and the wheel that `make dist` has built.

The sdist must hold the files that git tracks, and the wheel those of the package, no more and no less. The wheel is
then installed into an empty environment; there, in an empty folder, the demo must run and `read_masks` must read its
tables. The output of a command is shown only if it fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

from samurai_batch.demo import OBJECT_IDS
from samurai_batch.synthetic.suites import demo_clip

ROOT = Path(__file__).parents[2]
NOT_IN_THE_SDIST = "jobs/nano_state/"  # as MANIFEST.in says
READ = """
import json
import samurai_batch
table = samurai_batch.read_masks("demo/out")
print(json.dumps([samurai_batch.__file__, table.groupby("object_id").size().to_dict()]))
"""


def repository_files(root: Path) -> set[str]:
    """The files that git tracks and that exist."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return {name for name in names.split("\0") if name and (root / name).is_file()}


def sdist_files(archive: Path) -> set[str]:
    """The files of an sdist, without those that setuptools generates."""
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    made = {name for name in names if name in {"PKG-INFO", "setup.cfg"} or ".egg-info/" in name}
    return names - made


def wheel_files(archive: Path) -> set[str]:
    """The files that a wheel installs, without its metadata."""
    with zipfile.ZipFile(archive) as opened:
        return {name for name in opened.namelist() if not name.partition("/")[0].endswith(".dist-info")}


def differences(archive: Path, found: set[str], wanted: set[str]) -> list[str]:
    """One sentence for each file that is missing from an archive or should not be in it."""
    lacks = [f"{archive.name} lacks {name}" for name in sorted(wanted - found)]
    return lacks + [f"{archive.name} should not hold {name}" for name in sorted(found - wanted)]


def contents_problems(dist: Path, files: set[str]) -> list[str]:
    """One sentence for each problem with the contents of the sdist and the wheel in ``dist``."""
    [sdist], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")
    in_sdist = {name for name in files if not name.startswith(NOT_IN_THE_SDIST)}
    in_wheel = {name for name in files if name.startswith("samurai_batch/")}
    return differences(sdist, sdist_files(sdist), in_sdist) + differences(wheel, wheel_files(wheel), in_wheel)


def output_of(command: Iterable[str | Path], folder: Path) -> str:
    """A command's standard output; if it fails, exits with all its output."""
    # PYTHONPATH may lead to this tree, which would then be imported instead of the installed package.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    run = subprocess.run(words, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{run.stdout}{run.stderr}\n{' '.join(words)}\nended with exit code {run.returncode}")
    return run.stdout


def install(requirements: list[str], folder: Path) -> Path:
    """Create an environment with these packages, pinned by constraints.txt; returns its `bin`."""
    venv.create(folder, symlinks=True, with_pip=False)
    programs = folder / "bin"
    # Compiling every module takes half of the time of an installation; those that are imported get compiled then.
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", "--no-compile"]
    output_of([*pip, "--constraint", str(ROOT / "constraints.txt"), *requirements], ROOT)
    return programs


def try_wheel(wheel: Path, folder: Path) -> None:
    """Run the demo from a wheel in ``folder``, and read its tables."""
    torch = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    programs = install([torch, str(wheel)], folder / "environment")
    empty = folder / "empty"
    empty.mkdir()
    output_of([programs / "samurai-batch", "demo", "--output", "demo"], empty)
    module, rows = json.loads(output_of([programs / "python", "-c", READ], empty))
    assert Path(module).is_relative_to(folder / "environment"), f"{module} is not the installed package"
    assert rows == dict.fromkeys(OBJECT_IDS, len(demo_clip().frames)), f"read_masks found {rows} rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("dist", type=Path, help="the folder with one sdist and one wheel")
    dist: Path = parser.parse_args().dist.resolve()
    if problems := contents_problems(dist, repository_files(ROOT)):
        raise SystemExit("\n".join(problems))
    [wheel] = dist.glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="samurai_batch-dist-") as folder:
        try_wheel(wheel, Path(folder).resolve())
    sys.stdout.write(f"{wheel.name} runs the demo, and read_masks reads it, in an empty environment\n")


if __name__ == "__main__":
    main()
