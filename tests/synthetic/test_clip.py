from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.synthetic import SUITES, Clip, SceneSettings, demo_clip, generate_clip
from samurai_batch.synthetic.scene import ROLES
from samurai_batch.synthetic.textures import FIELDS, colourise, random_palette, random_texture

SCENE = SceneSettings(clutter=(0, 2))


def small_clip(seed: int, scene: SceneSettings = SCENE, num_frames: int = 4) -> Clip:
    return generate_clip(seed, scene, num_frames, 48)


def test_a_clip_has_frames_and_one_mask_per_thing_and_frame() -> None:
    clip = small_clip(0)
    assert clip.frames.shape == (4, 48, 48, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.masks.shape == (4, len(clip.roles), 48, 48)
    assert clip.masks.dtype == np.bool_
    assert len(set(clip.object_ids)) == len(clip.roles)


def test_the_same_seed_gives_the_same_clip_and_another_seed_another() -> None:
    first, again, other = small_clip(3), small_clip(3), small_clip(4)
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.frames, other.frames)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_no_pixel_belongs_to_two_things_and_every_object_is_seen_on_the_first_frame(seed: int) -> None:
    clip = small_clip(seed, num_frames=2)
    assert clip.masks.sum(axis=1).max() <= 1
    assert clip.masks[0, : clip.num_objects].any(axis=(1, 2)).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_things_stand_in_the_order_of_their_roles(seed: int) -> None:
    ranks = [ROLES.index(role) for role in small_clip(seed, num_frames=1).roles]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0


def test_under_a_still_camera_only_things_and_their_soft_rims_change() -> None:
    scene = replace(SCENE, camera=0.0, lighting=0.0, noise=0.0, softness=0.0, motion_blur=0.0)
    for seed in range(5):
        clip = generate_clip(seed, scene, 2, 64)
        changed = (clip.frames[0] != clip.frames[1]).any(axis=2)
        beside = ~(clip.masks[0].any(axis=0) | clip.masks[1].any(axis=0))
        assert (changed & beside).sum() < 0.05 * beside.sum()


def test_an_object_that_leaves_has_empty_masks_while_it_is_gone() -> None:
    scene = replace(SCENE, leave=1.0, hiding=0.0, scale=(0.08, 0.12))
    for seed in range(4):
        areas = generate_clip(seed, scene, 12, 48).masks[:, 0].sum(axis=(1, 2))
        assert areas[0] > 0
        assert areas.min() == 0


def test_a_hidden_object_is_mostly_covered_half_way_and_there_at_the_start() -> None:
    scene = replace(SCENE, leave=0.0, hiding=1.0, objects=(1, 1), lookalikes=(0, 0))
    for seed in range(4):
        areas = generate_clip(seed, scene, 13, 48).masks[:, 0].sum(axis=(1, 2))
        assert areas[4:10].min() < 0.5 * areas[0]


def test_photographs_lend_their_texture_but_are_not_needed() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    with_photograph = generate_clip(2, SCENE, 1, 48, photographs=[photograph])
    assert not np.array_equal(with_photograph.frames, small_clip(2, num_frames=1).frames)


@pytest.mark.parametrize("name", ["mix", "distractors", "occlusion"])
def test_a_suite_gives_the_same_clips_on_every_call(name: str) -> None:
    suite = SUITES[name]
    clip = suite.clip(0)
    assert clip.frames.shape == (24, 256, 256, 3)
    np.testing.assert_array_equal(clip.frames[-1], suite.clip(0).frames[-1])


@pytest.mark.parametrize(
    ("name", "areas", "mean"),
    [
        ("mix", [6040, 0, 6853], 146.45),
        ("distractors", [7603, 6816, 5045], 147.35),
        ("occlusion", [954, 649, 2502], 133.7),
    ],
)
def test_a_clip_of_each_suite_is_what_it_always_was(name: str, areas: list[int], mean: float) -> None:
    clip = SUITES[name].clip(5)
    assert clip.masks[[0, 12, 23], 0].sum((1, 2)).tolist() == pytest.approx(areas, abs=4)
    assert clip.frames.mean() == pytest.approx(mean, abs=0.05)


def test_the_distractor_suite_has_distractors_and_the_occlusion_suite_occluders() -> None:
    assert "lookalike" in SUITES["distractors"].clip(0).roles
    assert "occluder" in SUITES["occlusion"].clip(0).roles


def test_the_demo_shows_two_similar_objects_that_are_all_but_hidden_in_turn() -> None:
    clip = demo_clip()
    assert clip.roles[:2] == ("object", "lookalike")
    areas = clip.masks[:, :2].sum(axis=(2, 3))
    assert (areas[0] > 0).all()
    assert (areas[-1] > 0).all()
    crossing, hiding = areas[:24], areas[24:]
    assert crossing[:, 1].min() < areas[0, 1] / 5
    assert hiding[:, 0].min() < areas[0, 0] / 20


@pytest.mark.parametrize("index", range(len(FIELDS)))
def test_every_pattern_stays_between_zero_and_one(index: int) -> None:
    rng = np.random.default_rng(index)
    pattern = FIELDS[index](rng, 40)
    assert pattern.shape == (40, 40)
    assert pattern.min() >= 0
    assert pattern.max() <= 1
    coloured = colourise(pattern, random_palette(rng))
    assert coloured.shape == (40, 40, 3)


def test_textures_are_colours_between_zero_and_one() -> None:
    for seed in range(10):
        texture = random_texture(np.random.default_rng(seed), 32)
        assert texture.shape == (32, 32, 3)
        assert texture.min() >= 0
        assert texture.max() <= 1
