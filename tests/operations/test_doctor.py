"""`samurai-batch doctor`: this machine, the output, the weights; `tests/runtime/test_ray_nodes.py` has a cluster."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from samurai_batch import storage
from samurai_batch.cli import app
from samurai_batch.job import make_job
from samurai_batch.operations import doctor as doctor_module
from samurai_batch.operations.doctor import check_room, check_weights
from samurai_batch.operations.output_checks import check_marker, marked_output
from samurai_batch.runtime import ray_cluster


def doctor(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_this_machine_can_run_the_embedded_model_on_its_cpu(tmp_path: Path) -> None:
    code, told = doctor("--output", str(tmp_path), "--set", "device=cpu")
    assert code == 0
    assert told.startswith("this machine:\n  ok       python ")
    assert f"ok       output     {tmp_path}: reads, writes, conditional writes" in told
    assert "ok       weights    nano: shipped with the package, SHA-256 " in told
    assert not list(tmp_path.iterdir())


def test_what_would_fail_is_told_with_its_remedy_and_exit_code_1() -> None:
    code, told = doctor("--model", "sam2.1_hiera_large", "--set", "device=cpu")
    assert code == 1
    assert "problem  weights    sam2.1_hiera_large: the weights of sam2.1_hiera_large do not ship" in told
    assert "output" not in told


def test_a_job_file_is_checked_with_its_output(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("prompts: p.csv\noutput: /proc/nowhere\ndevice: cpu\n")
    code, told = doctor(str(job))
    assert code == 1
    assert "problem  output     " in told
    assert doctor(str(job), "--output", str(tmp_path / "out"))[0] == 0


def test_the_output_of_a_bucket_is_written_read_and_created_on_condition(s3_uri: str) -> None:
    with marked_output(f"{s3_uri}/out", in_one_process=False) as (check, marker):
        assert (check.level, check.result) == ("ok", f"{s3_uri}/out: reads, writes, conditional writes")
        assert check_marker(marker).level == "ok"
    assert storage.list_names(f"{s3_uri}/out") == []


def test_a_bucket_that_does_not_exist_is_a_problem(s3_uri: str) -> None:
    with marked_output("s3://no-such-bucket/out", in_one_process=False) as (check, _):
        assert check.level == "problem"
        assert "the bucket s3://no-such-bucket does not exist" in check.result


def test_a_store_without_conditional_writes_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(storage, "has_conditional_writes", lambda uri: False)
    with marked_output(str(tmp_path), in_one_process=False) as (check, _):
        assert check.level == "warning"
        assert check.result.endswith("no conditional writes; start one run at a time on it")


def test_a_folder_that_nodes_do_not_share_is_a_problem(tmp_path: Path) -> None:
    with marked_output(str(tmp_path), in_one_process=False) as (_, marker):
        assert check_marker(marker).result == f"{tmp_path}: reads, writes"
    assert check_marker(marker).level == "problem"
    assert "is another folder here than on the machine that starts the job; use one" in check_marker(marker).result


def test_weights_are_named_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job({"prompts": "p", "output": "o", "weights": "https://me:secret@host.invalid/w.pt?token=secret"})
    monkeypatch.setattr(doctor_module, "weights_digest", lambda model, weights: "0123456789ab" + "f" * 52)
    check = check_weights(job)
    assert check.level == "ok"
    assert "host.invalid/w.pt" in check.result
    assert "secret" not in check.result


@pytest.mark.parametrize(
    ("num_replicas", "has_autoscaler", "level", "result"),
    [
        (3, False, "ok", "room for 3 of 1 GPUs"),
        (0, True, "ok", "no node has room for 1 GPUs; the autoscaler adds one when a job starts"),
        (0, False, "problem", "no node has room for 1 GPUs; request less, or add such a node"),
        (0, None, "problem", "no node has room for 1 GPUs; request less, or add such a node"),
    ],
)
def test_a_cluster_without_room_is_a_problem_unless_it_grows(
    monkeypatch: pytest.MonkeyPatch, num_replicas: int, has_autoscaler: bool | None, level: str, result: str
) -> None:
    monkeypatch.setattr(ray_cluster, "has_autoscaler", lambda: has_autoscaler)
    check = check_room(num_replicas, "1 GPUs")
    assert (check.level, check.result) == (level, result)
