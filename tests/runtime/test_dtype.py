"""The dtype that `auto` stands for, and that everything which a run leaves names it."""

from typing import Any

import pytest

from samurai_batch.job import JobConfig, make_job
from samurai_batch.runtime import recipe
from samurai_batch.runtime.recipe import job_recipe, resolved_dtype, with_resolved_dtype
from tests.gpu.fake_gpu import FakeGpu


def job(**fields: Any) -> JobConfig:
    return make_job({"prompts": "prompts.csv", "output": "output", "model": "nano", **fields})


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "_may_have_gpu", lambda: False)


def test_auto_is_the_default_and_is_float32_without_a_gpu(no_gpu: None) -> None:
    assert job().dtype == "auto"
    assert resolved_dtype(job()) == resolved_dtype(job(device="cpu")) == "float32"


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((12, 0), "bfloat16")]
)
def test_on_a_gpu_auto_depends_on_its_compute_capability(capability: tuple[int, int], dtype: str) -> None:
    with FakeGpu(capability=capability):
        assert resolved_dtype(job()) == resolved_dtype(job(device="cuda")) == dtype
        assert resolved_dtype(job(device="cpu")) == "float32"


def test_a_head_without_a_gpu_takes_bfloat16_for_a_job_on_cuda(no_gpu: None) -> None:
    assert resolved_dtype(job(device="cuda")) == "bfloat16"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_a_dtype_that_is_set_is_used_everywhere(dtype: str) -> None:
    with FakeGpu():
        assert resolved_dtype(job(dtype=dtype)) == dtype


def test_the_recipe_and_the_job_of_the_replicas_name_the_dtype_that_is_used() -> None:
    """So that the fingerprint of a track is that of its masks, and equal to that of a job that names the dtype."""
    with FakeGpu():
        auto, named = job(), job(dtype="bfloat16")
        assert with_resolved_dtype(auto).dtype == "bfloat16"
        assert job_recipe(auto, "digest") == job_recipe(named, "digest")
    on_cpu = job_recipe(job(device="cpu"), "digest")
    assert on_cpu == job_recipe(job(dtype="float32"), "digest")
