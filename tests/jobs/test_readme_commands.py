"""Every command in the README's table runs as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samurai_batch.benchmark.clip import write_clip

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\|[^|]+\| `(samurai-batch [^`]+)` \|$", README, re.MULTILINE)
ELSEWHERE = {
    "bench": "tests/benchmark",
    "submit": "tests/cluster/test_local_cluster.py",
}
"""Verbs whose tests need a cluster, or a quiet machine; their options are checked here, their work there."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the README's commands name: a clip, a prompts table, a job, pictures."""
    write_clip(tmp_path / "clip.mp4", 8)
    prompts = 'video_id,video_uri,object_id,frame_index,kind,box_xyxy\nclip,clip.mp4,dog,0,box,"[20, 100, 80, 160]"\n'
    (tmp_path / "prompts.csv").write_text(prompts)
    (tmp_path / "job.yaml").write_text("prompts: prompts.csv\noutput: out\nreplicas: 1\n")
    discover = "video_id,video_uri,object_id,frame_index,kind,text\nclip,clip.mp4,seen,0,discover,\n"
    (tmp_path / "discover.csv").write_text(discover)
    detections = 'video_id,frame_index,class,score,box_xyxy\nclip,0,thing,0.9,"[20, 100, 80, 160]"\n'
    (tmp_path / "detections.csv").write_text(detections)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "one.png")
    return tmp_path


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "samurai-batch"
    return subprocess.run(
        [sys.executable, "-m", "samurai_batch", *arguments], cwd=folder, capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
@pytest.mark.ray
def test_the_commands_of_the_table_run_one_after_the_other(folder: Path) -> None:
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        verb = shlex.split(command)[1]
        if verb in ELSEWHERE:
            continue
        if verb == "diff":  # wants a second output
            assert _run("samurai-batch track clip.mp4 --box 20,100,80,160 -o other", folder).returncode == 0
        done = _run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("verb", sorted(ELSEWHERE))
def test_the_options_of_the_other_commands_exist(verb: str, tmp_path: Path) -> None:
    (command,) = (command for command in COMMANDS if shlex.split(command)[1] == verb)
    shown = _run(f"samurai-batch {verb} --help", tmp_path).stdout
    assert all(option in shown for option in re.findall(r"--[a-z-]+", command))
    assert (Path(__file__).parents[2] / ELSEWHERE[verb]).exists()
