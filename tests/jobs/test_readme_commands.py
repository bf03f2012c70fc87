"""Every command in the README's table runs as it stands there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from samurai_batch.benchmark.clip import write_clip
from samurai_batch.cli import app
from samurai_batch.runtime.ray_cluster import connect, disconnect

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\|[^|]+\| `(samurai-batch [^`]+)` \|$", README, re.MULTILINE)
(PROMPTS,) = re.findall(r"```csv\n(.*?)```", README, re.DOTALL)
ELSEWHERE = {
    "bench": "tests/benchmark",
    "submit": "tests/cluster/test_local_cluster.py",
}
"""Verbs whose tests need a cluster, or a quiet machine; their options are checked here, their work there."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the README's commands name: a clip, a prompts table, a job, pictures."""
    write_clip(tmp_path / "clip.mp4", 8)
    (tmp_path / "prompts.csv").write_text(PROMPTS)
    prompts = 'video_id,video_uri,object_id,frame_index,kind,box_xyxy\nclip,clip.mp4,dog,0,box,"[20, 100, 80, 160]"\n'
    (tmp_path / "job.yaml").write_text("prompts: prompts.csv\noutput: out\nreplicas: 1\n")
    discover = "video_id,video_uri,object_id,frame_index,kind,text\nclip,clip.mp4,seen,0,discover,\n"
    (tmp_path / "discover.csv").write_text(discover)
    header, first = prompts.splitlines()
    carried = f"{header},from_video\n{first},\nsecond,clip.mp4,dog,0,from_video,,clip\n"
    (tmp_path / "carried.csv").write_text(carried)
    detections = 'video_id,frame_index,class,score,box_xyxy\nclip,0,thing,0.9,"[20, 100, 80, 160]"\n'
    (tmp_path / "detections.csv").write_text(detections)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "one.png")
    return tmp_path


def _words(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    assert program == "samurai-batch"
    return arguments


@pytest.fixture
def ray_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One Ray, which works in the folder, for all commands, which would start one each."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(folder)
    connect(None)
    yield
    disconnect()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_there", "one_thread")
def test_the_commands_of_the_table_run_one_after_the_other() -> None:
    commands = [command for command in COMMANDS if _words(command)[0] not in ELSEWHERE]
    assert len(commands) > 10
    before_diff = [_words(command)[0] for command in commands].index("diff")  # it wants a second output
    commands.insert(before_diff, "samurai-batch track clip.mp4 --box 20,100,80,160 -o other")
    for command in commands:
        done = CliRunner().invoke(app, _words(command))
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception!r}"


@pytest.mark.parametrize("verb", sorted(ELSEWHERE))
def test_the_options_of_the_other_commands_exist(verb: str) -> None:
    (command,) = (command for command in COMMANDS if shlex.split(command)[1] == verb)
    shown = CliRunner().invoke(app, [verb, "--help"], terminal_width=200).output
    assert all(option in shown for option in re.findall(r"--[a-z-]+", command))
    assert (ROOT / ELSEWHERE[verb]).exists()
