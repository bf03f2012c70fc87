"""Variants of a job: from options or a list in its file, each with a name and an output of its own."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.job.variants import load_variants

SHARED = {"prompts": "p.csv", "output": "out"}


def refuse(
    path: str | None = None,
    *,
    overrides: dict[str, str] | None = None,
    modes: Sequence[str] = (),
    models: Sequence[str] = (),
    weights: Sequence[str] = (),
) -> str:
    with pytest.raises(ConfigError) as refusal:
        load_variants(path, SHARED if overrides is None else overrides, modes=modes, models=models, weights=weights)
    return str(refusal.value)


def job_file(folder: Path, text: str) -> str:
    (folder / "job.yaml").write_text("prompts: p.csv\noutput: out\n" + text)
    return str(folder / "job.yaml")


def test_every_mode_runs_with_every_model() -> None:
    jobs = load_variants(None, SHARED, modes=["samurai", "sam2"], models=["nano", "edgetam"], weights=["untrained:0"])
    assert list(jobs) == ["nano-samurai", "nano-sam2", "edgetam-samurai", "edgetam-sam2"]
    job = jobs["edgetam-sam2"]
    assert (job.model, job.mode, job.weights, job.output) == ("edgetam", "sam2", "untrained:0", "out/edgetam-sam2")


def test_every_mode_runs_with_and_without_a_rescue() -> None:
    jobs = load_variants(None, SHARED, modes=["dam4sam", "sam2"], rescues=["none", "sentry"])
    assert list(jobs) == ["dam4sam-none", "dam4sam-sentry", "sam2-none", "sam2-sentry"]
    assert jobs["sam2-sentry"].tracker_settings.rescue == "sentry"
    with pytest.raises(ConfigError, match="rescue is given, but mode sam2long decides a mask frames later"):
        load_variants(None, SHARED, modes=["sam2", "sam2long"], rescues=["sentry"])


def test_names_have_only_what_differs() -> None:
    assert list(load_variants(None, SHARED, modes=["samurai", "sam2"])) == ["samurai", "sam2"]
    assert list(load_variants(None, SHARED, modes=["sam2"], models=["nano", "edgetam"])) == ["nano", "edgetam"]


def test_weights_belong_to_the_models_in_their_order() -> None:
    jobs = load_variants(None, SHARED, models=["nano", "edgetam"], weights=["a.pt", "b.pt"])
    assert [job.weights for job in jobs.values()] == ["a.pt", "b.pt"]
    assert "--weights is given 2 times and --model 3 times" in refuse(
        models=["nano", "edgetam", "sam2_hiera_tiny"], weights=["a.pt", "b.pt"]
    )


def test_a_job_file_lists_variants_of_any_field(tmp_path: Path) -> None:
    text = (
        "tracker: {fill_hole_area: 0}\nvariants:\n- {mode: sam2}\n- {name: strict, tracker: {kf_score_weight: 0.4}}\n"
    )
    jobs = load_variants(job_file(tmp_path, text), {"replicas": "2"})
    assert list(jobs) == ["sam2", "strict"]
    assert all(job.replicas == 2 and job.tracker.fill_hole_area == 0 for job in jobs.values())
    assert jobs["strict"].tracker.kf_score_weight == 0.4
    assert jobs["strict"].output == "out/strict"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: 3\n", "3: variants should be a list of fields"),
        ("variants: [sam2, samurai]\n", "variants should be a list of fields"),
        ("variants: [{mode: sam2}]\n", "there is nothing to compare"),
        ("variants: [{mode: sam2}, {output: x}]\n", "variant 2 sets output, which all variants have in common"),
        ("variants: [{mode: sam2}, {mode: sam2}]\n", "variants variant-1 and variant-2 are the same job"),
        ("variants: [{name: a}, {name: a, mode: sam2}]\n", "two variants are named a"),
        ("variants: [{name: ../x}, {mode: sam2}]\n", "cannot be named '../x'"),
        ("variants: [{mode: sam2}, {mode: sam3}]\n", "variant 2: mode is 'sam3'"),
        ("variants: [{mode: sam2}, {moed: samurai}]\n", "did you mean mode?"),
    ],
)
def test_a_mistake_in_a_list_of_variants_is_said_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    found = refuse(job_file(tmp_path, text), overrides={})
    assert message in found
    assert "\n" not in found


def test_the_example_among_the_jobs_is_one() -> None:
    jobs = load_variants(str(Path(__file__).parents[1] / "jobs" / "compare.yaml"), {})
    assert list(jobs) == ["samurai", "sam2", "edgetam", "strict-memory"]
    assert jobs["edgetam"].output == "s3://bucket/comparison/edgetam"


def test_one_variant_is_nothing_to_compare() -> None:
    assert "are the same job" in refuse(modes=["sam2", "sam2"])
    for modes in ([], ["sam2"]):
        assert "give --mode, --rescue or --model at least twice" in refuse(modes=modes)


def test_options_do_not_mix_with_a_list_in_the_file(tmp_path: Path) -> None:
    path = job_file(tmp_path, "variants: [{mode: sam2}, {mode: samurai}]\n")
    assert "has variants already; leave out --mode" in refuse(path, overrides={}, modes=["sam2"])


def test_a_benchmarks_prompts_are_taken_where_the_job_names_none() -> None:
    jobs = load_variants(None, {"output": "out"}, modes=["samurai", "sam2"], default_prompts="prompts.parquet")
    assert {job.prompts for job in jobs.values()} == {"out/prompts.parquet"}
    jobs = load_variants(None, SHARED, modes=["samurai", "sam2"], default_prompts="prompts.parquet")
    assert {job.prompts for job in jobs.values()} == {"p.csv"}
    assert "prompts is missing" in refuse(overrides={"output": "out"}, modes=["samurai", "sam2"])
