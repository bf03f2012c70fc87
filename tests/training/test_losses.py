"""What wrong masks, scores and loud features cost."""

from dataclasses import replace

import pytest
import torch

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.sam2 import FrameFeatures
from samurai_batch.training.losses import LossWeights, feature_penalty, frame_loss, mask_iou, mask_loss

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


def test_the_masks_a_tracker_chooses_from_weigh_more_where_there_is_no_prompt() -> None:
    target, shown = square(), torch.ones(1, dtype=torch.bool)
    right = candidates(target, 20.0)
    wrong = replace(right, logits=torch.cat([right.logits[:, :1], -right.logits[:, 1:]], dim=1))

    def masks_cost(prompted: bool, multimask: float) -> float:
        return frame_loss(wrong, target, shown, prompted, LossWeights(multimask=multimask)).mask.item()

    assert masks_cost(prompted=False, multimask=2.0) == pytest.approx(2 * masks_cost(False, 1.0), rel=0.01)
    assert masks_cost(prompted=True, multimask=2.0) == masks_cost(True, 1.0)


def test_loud_features_cost_and_quiet_ones_do_not() -> None:
    quiet = FrameFeatures(torch.ones(1, 4, 2, 2), (torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)))
    loud = FrameFeatures(quiet.image * 3, quiet.high_res)
    assert feature_penalty(quiet).item() == 0.0
    assert feature_penalty(loud).item() == pytest.approx(8.0)
