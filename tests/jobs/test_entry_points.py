import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from samurai_batch.job import load_job

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "verb"), [("track", "run"), ("reprocess", "reprocess")])
def test_an_entry_point_is_the_verb_with_its_options_and_exit_codes(tmp_path: Path, name: str, verb: str) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("prompts: p.csv\noutput: out\nchunk_frames: none\n")
    run = [sys.executable, str(JOBS / f"{name}.py"), str(job), "--set", "image_size=65"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert f"{job}:3: chunk_frames is 'none'" in done.stderr
    assert "command line: image_size is 65" in done.stderr
    same = [sys.executable, "-m", "samurai_batch", verb, *run[2:]]
    assert subprocess.run(same, capture_output=True, text=True, timeout=600).stderr == done.stderr


def test_the_example_is_a_job() -> None:
    config = load_job(str(JOBS / "nightly.yaml"))
    assert config.num_gpus_per_replica == 1
    assert "YOUR_BUCKET" in config.output


def test_the_job_file_of_the_readme_is_a_job(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(# job.yaml.*?)```", (JOBS / "README.md").read_text(), re.DOTALL)
    (tmp_path / "job.yaml").write_text(text)
    assert load_job(str(tmp_path / "job.yaml")).frame_step == 2


def test_the_readme_names_every_entry_point() -> None:
    text = (JOBS / "README.md").read_text()
    assert all(path.name in text for path in JOBS.glob("*.py"))


def test_a_job_file_is_plain_yaml() -> None:
    for path in JOBS.rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict), path


@pytest.mark.slow
def test_the_checks_of_a_gpu_can_be_rehearsed_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(JOBS / "gpu_checks.py"), "--rehearse", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=JOBS.parent)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "gpu_checks.json").read_text())
    text = (JOBS / "gpu_checks.py").read_text()
    sections = set(re.findall(r'^    "(\w+)": (?:proofs|measurements)', text, re.MULTILINE))
    assert sections == set(re.findall(r"^    (\w+)  +\S", text.partition("import")[0], re.MULTILINE))  # of its help
    assert {row["section"] for row in rows} == sections
    assert not [row for row in rows if row["check"] == "failed"]
    assert (tmp_path / "gpu_checks.md").read_text() == done.stdout
