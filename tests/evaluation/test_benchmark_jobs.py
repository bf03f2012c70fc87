from pathlib import Path

import pytest

from samurai_batch.evaluation import DATASETS
from samurai_batch.job import load_job

JOBS = Path(__file__).parents[2] / "jobs" / "benchmarks"


def test_there_is_a_job_for_every_benchmark() -> None:
    assert {path.stem for path in JOBS.glob("*.yaml")} == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_benchmarks_job_can_be_loaded_and_keeps_to_its_own_folder(name: str) -> None:
    job = load_job(str(JOBS / f"{name}.yaml"))
    assert (job.prompts, job.output) == (f"benchmarks/{name}/prompts.parquet", f"benchmarks/{name}/out")
    assert (job.model, job.mode) == ("sam2.1_hiera_large", "samurai")
