"""Clips of a batch: their seeds, frames, prompts and augmentation."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from samurai_batch.synthetic import generate_clip
from samurai_batch.training.augmentation import flip_and_recolour
from samurai_batch.training.batches import ClipBatches, _window
from tests.training.networks import BATCHES, SCENE

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_same_seed_gives_the_same_batch() -> None:
    first, again = ClipBatches(BATCHES, (1,))[5], ClipBatches(BATCHES, (1,))[5]
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.points, again.points)
    assert first.kind == again.kind


def test_an_irregular_clip_has_any_frames_of_its_scene_in_their_order() -> None:
    settings = replace(BATCHES, irregular=True, frames=4)
    windows = [_window(np.random.default_rng(seed), settings) for seed in range(50)]
    assert all(list(window) == sorted(set(window)) and len(window) == 4 for window in windows)
    assert all(0 <= index < settings.scene_frames for window in windows for index in window)
    assert any(after - before > 3 for window in windows for before, after in pairwise(window))
    assert ClipBatches(settings, (1,))[0].frames.shape[:2] == (1, 4)


@pytest.mark.parametrize("kind", range(4))
def test_prompts_of_every_kind_lie_on_the_frame(kind: int) -> None:
    chances = [0.0, 0.0, 0.0, 0.0]
    chances[kind] = 1.0
    a, b, c, d = chances
    batch = ClipBatches(replace(BATCHES, prompt_chances=(a, b, c, d)), (2,))[0]
    assert len(batch.points) == len(batch.masks) == len(batch.owner) == len(batch.labels)
    assert (batch.points >= 0).all()
    assert (batch.points <= BATCHES.size).all()
    assert batch.masks[:, 0].flatten(1).any(1).all()


def test_clips_are_repeated_with_another_augmentation() -> None:
    batches = ClipBatches(replace(BATCHES, repeats=2), (4,))
    for index in range(40):
        batches[index]
    assert len(batches._cache) <= 2 * 8  # what no later batch can draw is forgotten
    fresh = ClipBatches(replace(BATCHES, repeats=2), (4,))
    assert torch.equal(fresh[39].frames, batches[39].frames)


def test_workers_have_clips_of_their_own() -> None:
    settings = replace(BATCHES, repeats=2, clips=2)
    batches = ClipBatches(settings, (4,), num_workers=3)
    for index in range(1, 60, 3):
        batches[index]
    assert {number % 3 for number in batches._cache} == {1}
    assert len(batches._cache) <= 2 * 2 * 8
    again = ClipBatches(settings, (4,), num_workers=3)
    assert torch.equal(again[58].frames, batches[58].frames)


def test_a_thing_that_shows_in_splinters_is_not_prompted() -> None:
    settings = replace(BATCHES, min_share=0.01, min_fill=0.3)
    batch = ClipBatches(settings, (5,))[0]
    for mask in batch.masks[:, 0]:
        box = int(mask.any(0).sum()) * int(mask.any(1).sum())
        assert int(mask.sum()) >= 0.3 * box
        assert int(mask.sum()) >= 0.01 * 64 * 64


def test_a_flipped_and_recoloured_clip_shows_the_same_areas() -> None:
    clip = generate_clip(3, SCENE, 2, 64)
    other = flip_and_recolour(np.random.default_rng(0), clip)
    assert other.masks.sum((2, 3)).tolist() == clip.masks.sum((2, 3)).tolist()
    assert other.frames.shape == clip.frames.shape
