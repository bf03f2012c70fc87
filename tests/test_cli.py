"""What the command line says to mistakes: one clear line, an exit code, never a traceback."""

import inspect
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import samurai_batch
from samurai_batch import cli
from tests.operations.test_diff import square, write_table

PROMISED = {
    *("track", "plan", "run", "submit", "status", "reprocess", "export", "render", "report", "evaluate", "compare"),
    *("measure", "models", "doctor"),
}
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["samurai-batch", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_verbs_of_the_design_are_there() -> None:
    assert set(cli.COMMANDS) >= PROMISED


def test_every_verb_that_the_readme_names_is_one() -> None:
    named = set(re.findall(r"`samurai-batch ([a-z]+)|^samurai-batch ([a-z]+)", README, re.MULTILINE))
    assert {one or other for one, other in named} <= set(cli.COMMANDS)


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_every_verb_explains_itself_with_an_example_of_its_own_options(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, verb, "--help") == 0
    text = capsys.readouterr().out
    assert "Usage: samurai-batch" in text
    assert not re.search(r"^  -.*(<list|range>)", text, re.MULTILINE), "options say what to write, not Python types"
    command = get_command(cli.app).commands[verb]  # type: ignore[attr-defined]
    (example,) = re.findall(r"Example: samurai-batch ([^\0]+?)\s*$", inspect.cleandoc(command.help or ""))
    words = shlex.split(example)
    assert words[0] == verb
    command.make_context(verb, words[1:], resilient_parsing=True)


def test_the_list_of_verbs_is_complete_and_no_line_of_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert tuple(line.split()[0] for line in listed) == cli.COMMANDS
    assert not [line for line in listed if line.endswith("...")]


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"samurai-batch {samurai_batch.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "prompts is missing; add it"),
        (["run", "--prompts", "p.csv", "-o", "out", "--image-size", "100"], "image_size is 100"),
        (["run", "--prompts", "p.csv", "-o", "out", "--set", "replica=3"], "did you mean replicas?"),
        (["run", "--prompts", "p.csv", "-o", "out", "--set", "replicas"], "write field=value"),
        (["doctor", "--model", "sam3"], "model 'sam3' is not known"),
        (["doctor", "no-such-job.yaml"], "there is no such file"),
        (["run", "no-such-job.yaml"], "there is no such file"),
        (["run", "--prompts", "p.csv", "-o", "out", "--model", "sam3"], "model 'sam3' is not known"),
        (["track", "clip.mp4", "-o", "out"], "no prompt is given; add --box"),
        (["track", "clpi.mp4", "--box", "1,2,3,4", "-o", "out"], "video clpi.mp4 does not exist; check its path"),
        (["track", "clip.mp4", "--box", "1,2,3,4", "-o", "clip.mp4"], "clip.mp4 is a file, and a folder is needed"),
        (["demo", "-o", "clip.mp4"], "clip.mp4 is a file, and a folder is needed"),
        (["report", "out", "--to", "prompts.csv"], "would be written to prompts.csv; end its name in .html"),
        (["track", "clip.mp4", "-o", "out", "--box", "1,2,3"], "it has 3 number(s); write x1,y1,x2,y2"),
        (["track", "clip.mp4", "-o", "out", "--box", "5,5,1,9"], "x2 should be greater than x1"),
        (["export", "out", "-o", "files", "--format", "avi"], "format 'avi' is not known; use one of coco"),
        (["prompts", "--dataset", "davis99", "--root", ".", "-o", "p.csv"], "dataset 'davis99' is not known"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_diff_names_the_result_that_alone_has_a_track_and_cuts_a_long_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for object_id in ("both", *map(str, range(12))):
        write_table(tmp_path / "a", "v", object_id, [square(0)])
    write_table(tmp_path / "b", "v", "both", [square(0)])
    assert call(monkeypatch, "diff", "a", "b") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["v / both: mean IoU 1.0000, 0 of 1 frames differ", "v / 0: only in a"]
    assert lines[11:] == ["... and 2 more only in a; --json lists all"]


def test_a_long_list_of_bad_rows_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = ["video_id,video_uri,object_id,frame_index,kind,box_xyxy"]
    rows += [f'v,v.mp4,o{number},0,box,"[9, 0, 1, 1]"' for number in range(80)]
    (tmp_path / "prompts.csv").write_text("\n".join(rows))
    assert call(monkeypatch, "plan", "--prompts", str(tmp_path / "prompts.csv"), "-o", str(tmp_path / "out")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == cli.MAX_PROBLEMS_SHOWN + 2
    assert lines[-1].strip() == "... and 30 more"


def test_all_models_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "models") == 0
    printed = capsys.readouterr().out
    listed = {cells[0]: cells[1:] for line in printed.splitlines() if (cells := line.split())}
    assert listed["nano"] == ["videos", "5.5", "M", "256", "in", "the", "package"]
    assert listed["sam2.1_hiera_large"] == ["videos", "224.4", "M", "1024", "sam2.1_hiera_large.pt"]
    assert listed["sam_vit_h"][0] == "pictures"
    assert listed["efficienttam_s_512x512"] == ["videos", "34.1", "M", "512", "efficienttam_s_512x512.pt"]
    assert listed["edgetam"] == ["videos", "13.9", "M", "1024", "edgetam.pt"]
    assert "efficienttam…: github.com/yformer/EfficientTAM, Apache-2.0" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_the_fields_of_a_job_are_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "fields") == 0
    everything = capsys.readouterr().out
    assert "prompts (required)  Prompts table" in everything
    assert "tracker.stable_frames_threshold (default: 15)  Number of consecutive frames" in everything
    assert call(monkeypatch, "fields", "everything", "replicas") == 0
    chosen = capsys.readouterr().out
    assert "everything.points_per_side (default: 32)" in chosen
    assert "replicas (default: None)" in chosen
    assert "tracker" not in chosen
    assert call(monkeypatch, "fields", "replica") == 2
    assert "replica is not a field of a job; did you mean replicas?" in capsys.readouterr().err
