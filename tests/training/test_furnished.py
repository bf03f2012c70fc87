from dataclasses import replace

import numpy as np
import pytest
import torch

from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.settings import SceneSettings
from samurai_batch.training.batches import ClipBatches
from samurai_batch.training.film import filmed
from samurai_batch.training.furnished import Furnishing, photograph_view, picture_part, thin_parts
from samurai_batch.training.held_out import held_out_suites
from tests.training.networks import BATCHES, SCENE
from tests.training.pictures import TinyBank, bar, checks, disc


def test_a_picture_becomes_a_part_of_its_shape_its_colour_and_its_proportions() -> None:
    part = picture_part(disc(40, (250, 20, 20)), 64)
    inside = part.sprite[..., 3] > 0
    assert inside.mean() == pytest.approx(np.pi / 4 * (60 / 64) ** 2, abs=0.03)
    assert np.allclose(part.sprite[..., :3], np.array([250, 20, 20]) / 255, atol=0.03)  # beyond the edge too
    assert part.sprite[32, 32, 3] == pytest.approx(0.9, abs=0.05)  # the distance to the edge, in its coordinates
    assert not inside[[0, -1]].any()
    assert list(picture_part(bar(20, 60), 64).half_size) == pytest.approx([1.0, 1 / 3])


def test_a_picture_of_nothing_is_still_a_part() -> None:
    part = picture_part(np.zeros((30, 30, 4), dtype=np.uint8), 32)
    assert (part.sprite[..., 3] > 0).sum() == 1


def test_a_view_of_a_photograph_is_a_square_of_its_colours() -> None:
    rng = np.random.default_rng(0)
    view = photograph_view(rng, checks(100, 160), 48)
    assert view.shape == (48, 48, 3)
    assert 0 <= view.min() < 0.1
    assert 0.7 < view.max() <= 200 / 255 + 1e-6


def test_thin_parts_cover_little_of_their_reach() -> None:
    parts = thin_parts(np.random.default_rng(1), 40, [checks(64, 64)])
    assert 2 <= len(parts) < 8
    assert all((part.sprite[..., 3] > 0).mean() < 0.4 for part in parts)


def furnished_clip(seed: int) -> Clip:
    furnishing = replace(Furnishing.of(np.random.default_rng(seed), TinyBank()), pictures=1.0, thin=0.0, grounds=1.0)
    scene = SceneSettings(objects=(1, 1), lookalikes=(1, 1), clutter=(0, 0), others=(0, 0))
    return generate_clip(seed, scene, 4, 64, furnishing.surfaces, supplies=furnishing)


def test_a_furnished_clip_shows_the_banks_things_and_has_the_look_alike_of_each() -> None:
    clip = furnished_clip(3)
    assert clip.roles[:2] == ("object", "lookalike")
    assert clip.masks[0, 0].any()
    assert np.array_equal(clip.frames, furnished_clip(3).frames)


def test_a_filmed_clip_keeps_its_size_and_masks_stay_on_their_pixels() -> None:
    frames = np.zeros((4, 64, 64, 3), dtype=np.uint8)
    masks = np.zeros((4, 1, 64, 64), dtype=np.bool_)
    masks[:, :, 20:44, 10:50] = True
    frames[masks[:, 0]] = 255
    clip = Clip(frames, masks, ("object-0",), ("object",))
    rng = np.random.default_rng(0)
    for _ in range(60):
        seen = filmed(rng, clip)
        assert seen.frames.shape == frames.shape
        assert seen.masks.shape == masks.shape
        assert seen.frames.dtype == np.uint8
        bright = seen.frames.mean(3)
        if seen.masks.any() and not seen.masks.all():
            assert bright[seen.masks[:, 0]].mean() > 2 * bright[~seen.masks[:, 0]].mean()


def test_batches_of_a_bank_come_again_by_their_seed_and_know_the_objects_distractors() -> None:
    settings = replace(BATCHES, bank=TinyBank(), furnished=1.0, scene=replace(SCENE, lookalikes=(1, 1)), clips=2)
    first, again = ClipBatches(settings, (1,))[3], ClipBatches(settings, (1,))[3]
    assert torch.equal(first.frames, again.frames)
    assert first.distractors.shape == first.masks.shape
    assert first.distractors.any()
    assert not (first.distractors & first.masks).any()
    plain = ClipBatches(replace(settings, bank=None), (1,))[3]
    assert not torch.equal(first.frames, plain.frames)


def test_held_out_clips_show_their_object_and_are_the_same_on_every_call() -> None:
    suites = held_out_suites(TinyBank())
    assert list(suites) == ["pictures", "generated"]
    for suite in suites.values():
        clip = suite.clip(1)
        assert clip.frames.shape == (24, 256, 256, 3)
        assert clip.masks[0, 0].mean() >= 0.004
        assert np.array_equal(clip.frames[5], suite.clip(1).frames[5])
