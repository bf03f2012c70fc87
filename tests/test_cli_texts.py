"""What the command line prints of paths, ids and errors: as they are, whatever signs they hold, and no secret."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from samurai_batch import cli, storage
from samurai_batch.cli import printing
from samurai_batch.ledger.schema import Totals, TrackEntry, VideoLedger
from samurai_batch.ledger.store import write_run, write_video_ledger
from samurai_batch.operations.history import Change, RunChanges, write_changes
from samurai_batch.redaction import redact
from samurai_batch.runtime.progress import ProgressBar, RunProgress
from tests.runtime.records import run_record

NASTY = [
    "[cam1]",
    "[/a]",
    "[/]",
    ":car:",
    "[bold]x[/bold]",
    "[link=file:///x]y",
    "\\[x]",
    "a\tb",
    "[@click=a]",
    "100%",
    "'\"<&>",
]
pieces = st.sampled_from([*NASTY, "[", "]", ":", "a", "é", "🚗", " ", "/", "#0", "-"])
nasty = st.sampled_from(NASTY) | st.lists(pieces, min_size=1, max_size=6).map("".join)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["samurai-batch", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@given(nasty)
def test_a_text_is_printed_as_it_is(text: str) -> None:
    for is_terminal in (False, True):
        console = printing.PlainConsole()
        console.file, console._force_terminal = io.StringIO(), is_terminal
        console.print(f"{text} / {text}: mean IoU 0.5")
        console.print(text, end="")
        assert console.file.getvalue() == redact(f"{text} / {text}: mean IoU 0.5\n") + redact(text)


@given(nasty.filter(lambda text: "\t" not in text))
def test_a_cell_of_a_table_is_printed_as_it_is(text: str) -> None:
    console = printing.PlainConsole()
    console.file, console.width = io.StringIO(), 200
    table = Table(f"head {text}")
    table.add_row(text)
    console.print(table)
    assert f"head {text}" in console.file.getvalue()
    assert console.file.getvalue().count(text) >= 2


def test_a_progress_bar_takes_nothing_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr("samurai_batch.runtime.progress.describe", lambda snapshot: "[/a] :car:")
    with ProgressBar(console) as bar:
        bar.show(RunProgress(totals=Totals(tracks=1, seconds=1.0), track_frames_left=1))
    assert "[/a] :car:" in console.file.getvalue()  # type: ignore[attr-defined]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(video_id=nasty.filter(str.strip), object_id=nasty.filter(str.strip))
def test_every_verb_of_the_ledger_prints_ids_as_they_are(
    video_id: str, object_id: str, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path_factory.mktemp("[cam1] :car:") / "[out]")
    record = run_record("20261122T010000.000Z-0123abcd", status="finished")
    entry = TrackEntry(
        fingerprint=None, status="failed", rows=0, seconds=0.0, attempts=1, weights_digest="d", run_id=record.run_id,
        error=f"[/a] of {video_id}",
    )  # fmt: skip
    write_video_ledger(storage, output, VideoLedger(video_id=video_id, video_uri="v.mp4", tracks={object_id: entry}))
    write_run(storage, output, record)
    change = Change(video_id=video_id, object_id=object_id, reason="new", status="failed")
    write_changes(output, RunChanges(run_id=record.run_id, changes=(change,)))
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        for arguments in (["status", output, "--details"], ["history", output]):
            assert call(patch, *arguments) == 0
            assert redact(f"{video_id} / {object_id}: ") in capsys.readouterr().out
        assert call(patch, "status", output, "--json") == 0
        [problem] = json.loads(capsys.readouterr().out)["problems"]
        assert (problem["video_id"], problem["object_id"]) == (video_id, object_id)
        assert call(patch, "diff", output, output) == 2
        assert f"error: {output}: there are no mask tables" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", ["track", "run", "plan", "segment", "submit", "reprocess", "report", "compact", "export", "measure"]
)
@pytest.mark.parametrize("name", ["[cam1]", "[/a]", ":car:"])
def test_every_verb_names_what_is_not_there_as_it_is(
    verb: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    more = {
        "track": ["--box", name, "-o", "o"], "run": [], "submit": ["--address", f"http://127.0.0.1:1/{name}"],
        "segment": ["-o", "o"],
        "plan": ["--set", f"{name}=1"], "export": ["-o", "o", "--format", "coco"], "measure": ["-o", "o"],
    }.get(verb, [])  # fmt: skip
    assert call(monkeypatch, verb, f"{name}.yaml", *more) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["track", "{0}", "{0}", "--box", "1,2,3,4"],
        ["status"],
        ["status", "{0}"],
        ["history", "{0}"],
        ["run", "{0}"],
        ["plan", "--prompts", "{0}", "-o", "{0}"],
        ["--option={0}"],
        ["{0}"],
        ["render", "{0}"],
        ["bench", "--threads", "{0}"],
        ["diff", "{0}", "{0}", "--json"],
    ],
)
def test_wrong_usage_shows_no_secret_and_is_exit_code_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = "memory://user:hunter2@host/clip.mp4?X-Amz-Signature=hunter2"
    assert call(monkeypatch, *(argument.format(uri) for argument in arguments)) == 2
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err
    assert "rror" in printed.err


def test_a_crash_shows_its_traceback_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object, **__: object) -> None:
        try:
            raise FileNotFoundError(2, "no", "https://u:hunter2@h/x?sig=hunter2")
        except OSError as error:
            raise ZeroDivisionError("https://u:hunter2@h/x") from error

    monkeypatch.setattr("samurai_batch.ledger.status.check_has_ledger", crash)
    assert call(monkeypatch, "status", "out") == 1
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: https://***@h/x" in printed
    assert "direct cause" in printed
    assert "hunter2" not in printed


@pytest.mark.parametrize("output", ["nowhere", "memory://no-such-bucket/out", "empty"])
@pytest.mark.parametrize("verb", [["status"], ["status", "--json"], ["history"]])
def test_an_output_without_a_job_is_refused(
    output: str, verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert call(monkeypatch, verb[0], output, *verb[1:]) == 2
    assert f"error: {output}: no job has begun there; give the output folder of a job" in capsys.readouterr().err


def test_who_watches_before_the_job_begins_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def a_job_begins(seconds: float) -> None:
        video = VideoLedger(video_id="clip", video_uri="clip.mp4")
        write_video_ledger(storage, str(tmp_path / "out"), video)

    monkeypatch.setattr("samurai_batch.cli.operating.time.sleep", a_job_begins)
    monkeypatch.setattr("samurai_batch.operations.watching.has_ended", lambda *_: True)
    assert call(monkeypatch, "status", str(tmp_path / "out"), "--watch") == 0
    printed = capsys.readouterr()
    assert "no job has begun there" in printed.err
    assert "waiting for a job to begin" in printed.err
    assert "1 videos" in printed.out


def test_a_warning_that_was_made_an_error_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(*_: object) -> None:
        raise DeprecationWarning("old")

    monkeypatch.setattr("samurai_batch.ledger.status.check_has_ledger", warn)
    assert call(monkeypatch, "status", "out") == 2
    said = capsys.readouterr().err
    assert "a library warns (DeprecationWarning: old); unset PYTHONWARNINGS" in said
    assert "Traceback" not in said


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["track", "café.mp4", "--box", "1,2,30,40", "-o", "o"], ["status", "café"]])
def test_a_locale_without_utf8_is_named_with_the_remedy(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "samurai_batch", *arguments]
    ran = subprocess.run(command, env=os.environ | ASCII, cwd=tmp_path, capture_output=True, timeout=600)
    assert ran.returncode == 2
    assert b"PYTHONUTF8=1" in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.slow
def test_a_path_in_a_table_that_a_locale_cannot_encode_is_named_with_the_remedy(tmp_path: Path) -> None:
    rows = 'video_id,video_uri,object_id,frame_index,kind,box_xyxy\nv,café.mp4,o,0,box,"[1,2,30,40]"\n'
    (tmp_path / "p.csv").write_text(rows, encoding="utf-8")
    command = [sys.executable, "-m", "samurai_batch", "plan", "--prompts", "p.csv", "-o", "o", "--model", "nano"]
    ran = subprocess.run(command, env=os.environ | ASCII, cwd=tmp_path, capture_output=True, timeout=600)
    assert ran.returncode == 2, ran.stderr
    assert b"PYTHONUTF8=1" in ran.stderr
    assert b"Traceback" not in ran.stderr
