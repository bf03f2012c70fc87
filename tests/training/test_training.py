"""Propagation with gradients, and the loop: how it starts, stops, goes on and ends."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.training import trainer
from samurai_batch.training.batches import Batch, ClipBatches
from samurai_batch.training.initialization import initial_weights, scale_memory, warm_up_decoder
from samurai_batch.training.rollout import (
    MemorySampling,
    _corners,
    _remember,
    encode_batch,
    encode_frames,
    propagate,
    segment_every_frame,
)
from samurai_batch.training.schedule import Stage, TrainingSettings
from samurai_batch.training.state import (
    load_state,
)
from samurai_batch.training.trainer import ClipLoss, train
from tests.training.networks import BATCHES, STAGES, TINY, tiny_network

pytestmark = pytest.mark.usefixtures("one_thread")


def test_propagating_through_a_clip_sends_gradients_to_every_part_but_the_unread_one() -> None:
    model = tiny_network()
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


def test_a_training_told_to_cool_down_ends_within_its_stage_of_constant_rate(tmp_path: Path) -> None:
    settings = TrainingSettings(prompt_warmup_steps=0, cooldown_minutes=0.02)
    state = train(
        TINY, [Stage(name="s", minutes=60, batches=BATCHES, constant_rate=True)], settings, tmp_path, threading.Event()
    )
    assert state.step > 0
    assert 0.02 * 60 <= state.elapsed_s < 60 * 60  # of CPU time; a step takes what it takes


def test_a_stage_with_pictures_takes_steps_on_clips_and_on_single_frames_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    stop = threading.Event()

    class Watched(ClipLoss):
        def forward(self, batch: Batch, stage: Stage, *rest: Any) -> tuple[Tensor, dict[str, Tensor]]:
            seen.append((batch.frames.shape[1], stage.loss_weights.object_score))
            if len(seen) == 4:
                stop.set()
            return super().forward(batch, stage, *rest)

    monkeypatch.setattr(trainer, "ClipLoss", Watched)
    stage = Stage(name="s", minutes=60, batches=BATCHES, pictures=replace(BATCHES, frames=1, single_frames=True))
    state = train(TINY, [stage], TrainingSettings(prompt_warmup_steps=0), tmp_path, stop)
    assert state.step == 4
    assert seen == [(3, 1.0), (1, 0.0), (3, 1.0), (1, 0.0)]


def test_the_warm_up_teaches_the_decoder_what_a_prompt_is() -> None:
    before = initial_weights(TINY, 0)
    after = warm_up_decoder(TINY, before, seed=0, steps=2)
    assert before.keys() == after.keys()
    name = "sam_mask_decoder.mask_tokens.weight"
    assert not torch.equal(before[name], after[name])


def test_memory_keeps_its_size_however_long_the_features_have_grown() -> None:
    model = tiny_network()
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


def test_every_object_is_segmented_on_every_frame_that_shows_it() -> None:
    model = tiny_network()
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
