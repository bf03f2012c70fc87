from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.scene import SceneSettings
from samurai_batch.training.augmentation import add_camera_effects
from samurai_batch.training.bank import (
    BankAssets,
    PictureFile,
    StoredBank,
    draw,
    photograph_view,
    picture_part,
    store,
    thin_parts,
)
from samurai_batch.training.batches import ClipBatches
from tests.training.networks import BATCHES, SCENE
from tests.training.pictures import TinyBank, bar, checks, disc


def test_pictures_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    pictures = [disc(30, (1, 2, 3)), bar(20, 60), disc(21, (9, 8, 7))]
    assert store(tmp_path / "things-a.npy", pictures) == 3
    again = PictureFile(tmp_path / "things-a.npy")
    assert len(again) == 3
    assert all(np.array_equal(*pair) for pair in zip(again, pictures, strict=True))
    assert np.array_equal(again[-1], pictures[-1])
    assert [picture.shape for picture in again[1:]] == [(20, 60, 4), (21, 21, 4)]


def test_a_bank_is_all_files_of_its_folder(tmp_path: Path) -> None:
    store(tmp_path / "things-a.npy", [bar(20, 60)])
    with pytest.raises(FileNotFoundError, match="has no surfaces-"):
        StoredBank.open(tmp_path)
    store(tmp_path / "surfaces-b.npy", [checks(40, 50)])
    store(tmp_path / "surfaces-c.npy", [checks(60, 50), checks(70, 50)])
    bank = StoredBank.open(tmp_path)
    assert [len(group) for group in bank.things] == [1]
    assert [len(group) for group in bank.surfaces] == [1, 2]


def test_every_picture_is_drawn_and_a_large_group_does_not_drown_a_small_one() -> None:
    small, large = [bar(20, 60)], [disc(10, (index, 0, 0)) for index in range(64)]
    rng = np.random.default_rng(0)
    drawn = [draw(rng, [small, large]).shape for _ in range(500)]
    assert 50 < drawn.count((20, 60, 4)) < 150  # one in five
    bank = TinyBank()
    assert {draw(rng, bank.things).shape for _ in range(100)} == {(40, 40, 4), (24, 24, 4), (20, 60, 4)}


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


def bank_clip(seed: int) -> Clip:
    assets = BankAssets.of(np.random.default_rng(seed), TinyBank())
    assets = replace(assets, picture_share=1.0, thin_share=0.0, background_share=1.0)
    scene = SceneSettings(objects=(1, 1), lookalikes=(1, 1), clutter=(0, 0), others=(0, 0))
    return generate_clip(seed, scene, 4, 64, assets.surfaces, assets=assets)


def test_a_bank_clip_shows_the_banks_things_and_has_the_distractor_of_each() -> None:
    clip = bank_clip(3)
    assert clip.roles[:2] == ("object", "lookalike")
    assert clip.masks[0, 0].any()
    assert np.array_equal(clip.frames, bank_clip(3).frames)


def test_camera_effects_keep_the_size_of_a_clip_and_masks_stay_on_their_pixels() -> None:
    frames = np.zeros((4, 64, 64, 3), dtype=np.uint8)
    masks = np.zeros((4, 1, 64, 64), dtype=np.bool_)
    masks[:, :, 20:44, 10:50] = True
    frames[masks[:, 0]] = 255
    clip = Clip(frames, masks, ("object-0",), ("object",))
    rng = np.random.default_rng(0)
    for _ in range(60):
        seen = add_camera_effects(rng, clip)
        assert seen.frames.shape == frames.shape
        assert seen.masks.shape == masks.shape
        assert seen.frames.dtype == np.uint8
        bright = seen.frames.mean(3)
        if seen.masks.any() and not seen.masks.all():
            assert bright[seen.masks[:, 0]].mean() > 2 * bright[~seen.masks[:, 0]].mean()


def test_batches_of_a_bank_come_again_by_their_seed_and_know_the_objects_distractors() -> None:
    settings = replace(BATCHES, bank=TinyBank(), bank_share=1.0, scene=replace(SCENE, lookalikes=(1, 1)), clips=2)
    first, again = ClipBatches(settings, (1,))[3], ClipBatches(settings, (1,))[3]
    assert torch.equal(first.frames, again.frames)
    assert first.distractors.shape == first.masks.shape
    assert first.distractors.any()
    assert not (first.distractors & first.masks).any()
    plain = ClipBatches(replace(settings, bank=None), (1,))[3]
    assert not torch.equal(first.frames, plain.frames)
