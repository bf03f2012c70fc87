"""The recipe of a job: what decides its masks, and what is refused before anything is read."""

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.planning.fingerprints import VideoIdentity, fingerprint
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.recipe import job_recipe
from samurai_batch.tasks import Track, Video

TRACK = Track(video=Video("v", "v.mp4"), object_id="1", prompts=(BoxPrompt(0, (0.0, 0.0, 9.0, 9.0)),))


def job(**fields: object) -> JobConfig:
    return make_job({"prompts": "prompts.csv", "output": "output", "device": "cpu", **fields})


def test_variants_of_a_network_with_the_same_weights_are_other_masks() -> None:
    """They have the same parameters, so one file loads into each of them."""
    names = ["efficienttam_ti", "efficienttam_ti_1", "efficienttam_ti_2", "efficienttam_ti_512x512"]
    recipes = [job_recipe(job(model=name, weights="ti.pt"), weights_digest="digest") for name in names]
    video = VideoIdentity("v.mp4", 1, "1")
    assert len({fingerprint(TRACK, video, recipe) for recipe in recipes}) == len(names)
    assert [recipe.image_size for recipe in recipes] == [1024, 1024, 1024, 512]


@pytest.mark.parametrize("task", ["track", "segment"])
def test_a_size_that_the_network_cannot_have_is_refused_before_weights_are_read(task: str) -> None:
    with pytest.raises(ConfigError, match="image_size 320 is not a positive multiple of 256, which edgetam needs"):
        job_recipe(job(model="edgetam", weights="edgetam.pt", image_size=320, task=task), weights_digest="")


def test_pooling_of_memories_is_refused_where_the_network_compresses_them() -> None:
    pooled = job(model="edgetam", weights="edgetam.pt", tracker={"pool_memories": True})
    with pytest.raises(ConfigError, match=r"tracker\.pool_memories: edgetam compresses memories itself"):
        job_recipe(pooled, weights_digest="")
