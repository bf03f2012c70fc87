import threading
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.modeling.configs import NANO
from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.synthetic import generate_clip
from samurai_batch.training.augmentation import flip_and_recolour
from samurai_batch.training.batches import ClipBatches, _window
from samurai_batch.training.calibration import best_threshold, calibrate
from samurai_batch.training.initialization import initial_weights, scale_memory, warm_up_decoder
from samurai_batch.training.losses import LossWeights, feature_penalty, frame_loss, mask_iou, mask_loss
from samurai_batch.training.rollout import (
    MemorySampling,
    _corners,
    _remember,
    encode_batch,
    encode_frames,
    propagate,
    segment_every_frame,
)
from samurai_batch.training.schedule import Progress, RateSchedule, Stage, TrainingSettings, progress_at
from samurai_batch.training.state import (
    Point,
    TrainingState,
    compacted,
    curve_svg,
    export_weights,
    load_state,
    mean_average,
    save_state,
)
from samurai_batch.training.trainer import train
from tests.training.networks import BATCHES, SCENE, TINY

pytestmark = pytest.mark.usefixtures("one_thread")


def square(size: int = 16) -> torch.Tensor:
    target = torch.zeros(1, size, size)
    target[:, 4:10, 5:12] = 1
    return target


def test_the_right_mask_costs_almost_nothing_and_the_wrong_one_a_lot() -> None:
    target = square()
    logits = torch.stack([target * 40 - 20, 20 - target * 40], dim=1)
    right, wrong = mask_loss(logits, target, LossWeights())[0].tolist()
    assert right < 0.01
    assert wrong > 1.0
    assert mask_iou(logits, target)[0].tolist() == [1.0, 0.0]


def test_a_mask_over_a_distractor_costs_more_than_one_as_large_over_nothing() -> None:
    target = square()
    on_distractor, beside = torch.zeros_like(target), torch.zeros_like(target)
    on_distractor[:, 12:15, :7] = beside[:, :3, :7] = 1
    logits = torch.stack([(target + on_distractor) * 20 - 10, (target + beside) * 20 - 10], dim=1)
    without = mask_loss(logits, target, LossWeights(distractors=0.5))[0].tolist()
    assert without[0] == pytest.approx(without[1], rel=0.01)
    costs = mask_loss(logits, target, LossWeights(distractors=0.5), on_distractor)[0].tolist()
    assert costs[0] > costs[1] + 1
    hidden = mask_loss(logits, target, LossWeights(distractors=0.5), target)[0].tolist()
    assert hidden == pytest.approx(without)  # where the object itself shows, nothing is a distractor's


def candidates(target: torch.Tensor, object_score: float) -> Candidates:
    logits = (target * 40 - 20)[:, None].expand(-1, 4, -1, -1)
    return Candidates(
        logits=logits, ious=torch.ones(1, 4), tokens=torch.zeros(1, 4, 8), object_score=torch.full((1, 1), object_score)
    )


def test_an_absent_object_trains_the_object_score_alone() -> None:
    target, absent = square(), torch.zeros(1, dtype=torch.bool)
    loss = frame_loss(candidates(target, -20.0), torch.zeros_like(target), absent, False, LossWeights())
    assert loss.total.item() == pytest.approx(0.0, abs=1e-6)
    loss = frame_loss(candidates(target, 20.0), torch.zeros_like(target), absent, False, LossWeights())
    assert loss.total.item() == pytest.approx(20.0 * LossWeights().absent, abs=1e-3)


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


def test_propagating_through_a_clip_sends_gradients_to_every_part_but_the_unread_one() -> None:
    model = SAM2(TINY, 64).float()
    model.load_state_dict(initial_weights(TINY, 0))
    points_only = replace(BATCHES, prompt_chances=(1.0, 0.0, 0.0, 0.0))
    batch = ClipBatches(points_only, (3,))[0]
    generator = torch.Generator().manual_seed(0)
    results = propagate(
        model, batch, encode_batch(model, batch), MemorySampling(teacher_forcing=0.0, dropout=0.0), generator
    )
    assert len(results) == 3
    torch.stack([r.logits.sum() + r.ious.sum() + r.object_score.sum() for r in results]).sum().backward()
    without = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without <= {"no_mem_pos_enc", "mask_downsample", "sam_prompt_encoder"}
    assert model.maskmem_tpos_enc.grad is not None


def test_memory_of_a_predicted_prompted_frame_holds_a_mask_cut_at_zero() -> None:
    model, seen = SAM2(TINY, 64).float(), FrameFeatures(torch.zeros(1, 32, 4, 4), (torch.zeros(0), torch.zeros(0)))
    faint, strong = (
        Candidates(torch.full((1, 4, 16, 16), logit), torch.ones(1, 4), torch.zeros(1, 4, 32), torch.ones(1, 1))
        for logit in (0.1, 9.0)
    )
    cut = [_remember(model, seen, found, None, prompted=True).spatial for found in (faint, strong)]
    kept = [_remember(model, seen, found, None, prompted=False).spatial for found in (faint, strong)]
    assert torch.equal(*cut)
    assert not torch.equal(*kept)


STAGES = (
    Stage(name="a", minutes=1, batches=BATCHES),
    Stage(name="b", minutes=3, batches=BATCHES, teacher_forcing=(1.0, 0.5)),
)


def test_progress_names_the_stage_and_how_much_of_it_is_over() -> None:
    begin, later = progress_at(STAGES, 0.0), progress_at(STAGES, 2.5)
    assert begin is not None
    assert (begin.stage, begin.share) == (0, 0.0)
    assert later is not None
    assert (later.stage, later.stage_share, later.share) == (1, 0.5, 0.625)
    assert STAGES[1].teacher_forcing_at(later.stage_share) == 0.75
    assert progress_at(STAGES, 4.0) is None


@given(st.integers(0, 1000), st.floats(0, 1))
def test_the_rate_rises_then_falls_and_never_leaves_its_bounds(step: int, share: float) -> None:
    rates = RateSchedule(0, 0.0, TrainingSettings(warmup_steps=50, decay_from=0.5))
    assert 0 < rates.factor(STAGES[0], Progress(0, 0.0, share), step, 0.0) <= 1
    assert rates.factor(STAGES[0], Progress(0, 0.0, 1.0), 1000, 0.0) == pytest.approx(0.02)


def test_a_stage_of_constant_rate_keeps_it_until_it_is_told_to_cool_down() -> None:
    constant = Stage(name="s", minutes=100, batches=BATCHES, rate_factor=0.5, constant_rate=True)
    now = progress_at([constant], 90.0)
    assert now is not None
    resumed = RateSchedule(1000, 80.0, TrainingSettings(warmup_steps=40))
    assert [resumed.factor(constant, now, step, 90.0) for step in (1000, 1039, 5000)] == [0.5 / 40, 0.5, 0.5]
    assert resumed.cooled_down(99.0) == 0
    ending = RateSchedule(1000, 80.0, TrainingSettings(cooldown_minutes=10.0))
    assert [ending.factor(constant, now, 1000, minute) for minute in (80.0, 85.0, 90.0)] == pytest.approx(
        [0.5, 0.255, 0.01]
    )
    assert ending.cooled_down(90.0) == 1


def test_a_training_told_to_cool_down_ends_within_its_stage_of_constant_rate(tmp_path: Path) -> None:
    settings = TrainingSettings(prompt_warmup_steps=0, cooldown_minutes=0.02)
    state = train(
        TINY, [Stage(name="s", minutes=60, batches=BATCHES, constant_rate=True)], settings, tmp_path, threading.Event()
    )
    assert state.step > 0
    assert 0.02 * 60 <= state.elapsed_s < 60 * 60  # of CPU time; a step takes what it takes


def test_a_state_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    state = TrainingState.fresh({"a.weight": torch.randn(2, 3)})
    state.optimizer = {"adamw.0.exp_avg": torch.randn(4)}
    state.step, state.elapsed_s = 7, 3.5
    state.curve = [Point(7, 3, "a", {"loss": 1.0})]
    save_state(tmp_path, state)
    again = load_state(tmp_path)
    assert again is not None
    assert torch.equal(again.weights["a.weight"], state.weights["a.weight"])
    assert torch.equal(again.optimizer["adamw.0.exp_avg"], state.optimizer["adamw.0.exp_avg"])
    assert (again.step, again.elapsed_s, again.curve) == (7, 3.5, state.curve)
    assert load_state(tmp_path / "nothing") is None


def test_a_compacted_state_is_a_third_of_the_size_and_goes_on_from_its_average(tmp_path: Path) -> None:
    state = TrainingState.fresh({"a.weight": torch.randn(64, 64)})
    state.average = {"a.weight": torch.randn(64, 64)}
    state.optimizer = {"muon.0.momentum_buffer": torch.randn(64, 64)}
    save_state(tmp_path / "whole", state)
    save_state(tmp_path / "kept", compacted(state))
    sizes = [(tmp_path / name / "state.safetensors").stat().st_size for name in ("whole", "kept")]
    assert sizes[1] < 0.4 * sizes[0]
    again = load_state(tmp_path / "kept")
    assert again is not None
    torch.testing.assert_close(again.average["a.weight"], state.average["a.weight"], rtol=1e-3, atol=1e-3)
    assert torch.equal(again.weights["a.weight"], again.average["a.weight"])
    again.weights["a.weight"].zero_()
    assert again.average["a.weight"].any()
    assert again.optimizer["muon.0.momentum_buffer"].dtype == torch.float32


def test_exported_weights_load_as_the_packages_own_do(tmp_path: Path) -> None:
    state = TrainingState.fresh(initial_weights(NANO, 0))
    export_weights(state, tmp_path / "nano.safetensors")
    weights = load_weights("nano", str(tmp_path / "nano.safetensors"))
    assert weights.tensors.keys() == state.average.keys()
    assert (tmp_path / "nano.safetensors").stat().st_size < 12e6


def test_the_warm_up_teaches_the_decoder_what_a_prompt_is() -> None:
    before = initial_weights(TINY, 0)
    after = warm_up_decoder(TINY, before, seed=0, steps=2)
    assert before.keys() == after.keys()
    name = "sam_mask_decoder.mask_tokens.weight"
    assert not torch.equal(before[name], after[name])


def test_memory_keeps_its_size_however_long_the_features_have_grown() -> None:
    model = SAM2(TINY, 64).float()
    model.load_state_dict(initial_weights(TINY, 0))
    features = encode_frames(model, ClipBatches(BATCHES, (1,))[0].frames[0])
    grown = FrameFeatures(features.image * 50, features.high_res)
    with torch.no_grad():
        scale_memory(model, grown)
        mask = torch.zeros(3, 1, 64, 64)
        mask[..., 20:40, 10:50] = 1
        shown = torch.zeros(3, dtype=torch.bool)
        memory = model.encode_memory(grown.image, mask, shown)
        without = model.encode_memory(grown.image, torch.zeros_like(mask), shown)
    assert 0.3 < memory.std() < 2.0
    assert (memory - without).std() > 0.05


@pytest.mark.slow
def test_a_training_that_was_stopped_takes_up_where_it_was(tmp_path: Path) -> None:
    settings = TrainingSettings(prompt_warmup_steps=3, log_every_steps=1)
    stages = [Stage(name="still", minutes=0.02, batches=replace(BATCHES, frames=2, single_frames=True))]
    state = train(TINY, stages, settings, tmp_path, threading.Event())
    assert state.step > 0
    assert state.optimizer
    longer = [*stages, Stage(name="clips", minutes=state.elapsed_s / 60, batches=BATCHES, warms_up_memory=True)]
    later = train(TINY, longer, settings, tmp_path, threading.Event())
    assert later.step > state.step
    assert {point.stage for point in later.curve} == {"still", "clips"}


def test_a_training_told_to_stop_saves_its_state_and_returns(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    state = train(TINY, STAGES, TrainingSettings(prompt_warmup_steps=0), tmp_path, stop)
    assert state.step == 0
    assert load_state(tmp_path) is not None


def test_the_curve_becomes_a_picture_with_its_stages() -> None:
    points = [Point(step, step * 60, "a" if step < 3 else "b", {"box_iou": step / 9}) for step in range(1, 7)]
    texts = [text for text in ET.fromstring(curve_svg(points)).itertext() if text]  # noqa: S314
    assert {"a", "b", "box iou", "hours"} <= set(texts)
    assert "click iou" not in texts


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


def test_loud_features_cost_and_quiet_ones_do_not() -> None:
    quiet = FrameFeatures(torch.ones(1, 4, 2, 2), (torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)))
    loud = FrameFeatures(quiet.image * 3, quiet.high_res)
    assert feature_penalty(quiet).item() == 0.0
    assert feature_penalty(loud).item() == pytest.approx(8.0)


def test_every_object_is_segmented_on_every_frame_that_shows_it() -> None:
    model = SAM2(TINY, 64).float()
    model.load_state_dict(initial_weights(TINY, 0))
    batch = ClipBatches(BATCHES, (6,))[0]
    masks = batch.masks.clone()
    masks[:, 1] = False
    masks[0, 2] = False
    masks[0, 2, 10:30, 20:25] = True
    features = encode_batch(model, batch)
    candidates, truth = segment_every_frame(
        model, replace(batch, masks=masks), features, 0.004, torch.Generator().manual_seed(0)
    )
    shown = masks.flatten(2).float().mean(2) >= 0.004
    assert len(candidates.logits) == len(truth) == int(shown.sum())
    assert not shown[:, 1].any()
    assert _corners(masks[:1, 2]).tolist() == [[[20.0, 10.0], [25.0, 30.0]]]


def test_the_mean_of_states_is_that_of_their_average_weights() -> None:
    states = [TrainingState(weights={}, average={"w": torch.full((2,), value)}) for value in (1.0, 4.0)]
    assert mean_average(states)["w"].tolist() == [2.5, 2.5]


def test_the_best_threshold_parts_what_is_there_from_what_is_gone() -> None:
    scores = torch.cat([torch.linspace(-9, -4, 50), torch.linspace(-3, 2, 500)])
    threshold = best_threshold(scores, torch.arange(550) >= 50)
    assert -4.1 < threshold < -2.9
    with pytest.raises(ValueError, match="take more clips"):
        best_threshold(scores, torch.ones(550, dtype=torch.bool))


def test_where_scores_hardly_tell_an_object_counts_as_there() -> None:
    gone, there = torch.linspace(-9, -4, 1000), torch.linspace(-1, 9, 1000)
    doubtful = torch.linspace(-3.9, -1.1, 15)
    scores = torch.cat([gone, doubtful, doubtful, there])
    visible = torch.arange(len(scores)) >= 1015
    assert -4.2 < best_threshold(scores, visible) < -3.8


def test_calibrating_moves_the_best_threshold_between_the_trackers_two() -> None:
    model = SAM2(TINY, 64).float()
    model.load_state_dict(initial_weights(TINY, 0))
    batch = ClipBatches(BATCHES, (7,))[0]
    masks = batch.masks.clone()
    masks[:, 2] = False
    head, token = model.sam_mask_decoder.pred_obj_score_head, torch.ones(1, 32)
    before = head(token).item()
    threshold = calibrate(model, [replace(batch, masks=masks)])
    assert head(token).item() == pytest.approx((before - threshold) * 3 - 0.5, abs=1e-5)
