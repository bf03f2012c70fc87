"""The threshold of the object score, and the sharpness of the single mask."""

from dataclasses import replace

import pytest
import torch

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.training.batches import ClipBatches
from samurai_batch.training.calibration import best_threshold, calibrate_object_score, sharpen_single_mask
from tests.training.networks import BATCHES, tiny_network

pytestmark = pytest.mark.usefixtures("one_thread")


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
    model = tiny_network()
    batch = ClipBatches(BATCHES, (7,))[0]
    masks = batch.masks.clone()
    masks[:, 2] = False
    head, token = model.sam_mask_decoder.pred_obj_score_head, torch.ones(1, 32)
    before = head(token).item()
    threshold = calibrate_object_score(model, [replace(batch, masks=masks)])
    assert head(token).item() == pytest.approx((before - threshold) * 3 - 0.5, abs=1e-5)


def test_a_sharpened_single_mask_is_the_same_mask_with_steeper_edges() -> None:
    model = tiny_network()
    features = model.encode_image(torch.rand(1, 3, model.image_size, model.image_size))
    corners, labels = torch.tensor([[[8.0, 8.0], [40.0, 40.0]]]), torch.tensor([[2, 3]])

    def decoded() -> Candidates:
        with torch.no_grad():
            return model.decode(model.without_memory(features), features.high_res, corners, labels)

    before = decoded()
    sharpen_single_mask(model)
    after = decoded()
    assert torch.equal(after.logits[:, 0] > 0, before.logits[:, 0] > 0)
    torch.testing.assert_close(after.logits[:, 0], 8 * before.logits[:, 0])
    for name in ("ious", "tokens", "object_score"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    assert torch.equal(after.logits[:, 1:], before.logits[:, 1:])
