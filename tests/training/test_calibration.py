"""The threshold of the object score, and the sharpness of the single mask."""

from dataclasses import replace

import pytest
import torch

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.training.batches import ClipBatches
from samurai_batch.training.calibration import ScoredObjects, calibrate_object_score, sharpen_single_mask
from tests.training.networks import BATCHES, tiny_network

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_best_threshold_parts_what_is_there_from_what_is_gone() -> None:
    scores, visible = torch.cat([torch.linspace(-9, -4, 50), torch.linspace(-3, 2, 500)]), torch.arange(550) >= 50
    ious = torch.full((550,), 0.7)
    assert -4.1 < ScoredObjects(scores, visible, ious).best_threshold() < -2.9
    with pytest.raises(ValueError, match="take more clips"):
        ScoredObjects(scores, torch.ones(550, dtype=torch.bool), ious).best_threshold()


@pytest.mark.parametrize(("iou", "is_there"), [(0.9, True), (0.1, False)])
def test_a_doubtful_object_is_there_if_its_mask_is_worth_more_than_having_none(iou: float, is_there: bool) -> None:
    gone, there = torch.linspace(-9, -4, 1000), torch.linspace(-1, 9, 1000)
    absent, visible = torch.linspace(-3.9, -1.1, 200), torch.linspace(-3.9, -1.1, 400)
    scores = torch.cat([gone, absent, visible, there])
    objects = ScoredObjects(scores, torch.arange(len(scores)) >= 1200, torch.full((len(scores),), iou))
    assert (objects.best_threshold() < -2.5) == is_there


def test_where_it_makes_hardly_a_difference_an_object_counts_as_there() -> None:
    """A threshold above the doubtful ones would be best, by less than can be measured."""
    scores = torch.cat([torch.linspace(-9, -4, 2000), torch.linspace(-3.9, -1.1, 60), torch.linspace(-1, 9, 2000)])
    objects = ScoredObjects(scores, torch.arange(4060) >= 2060, torch.full((4060,), 0.7))
    assert -4 < objects.best_threshold() < -2


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
