"""Constants are computed once, and again when what they are made of changes."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.kernels import plain_kernels
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from tests.deterministic import SMALL, deterministic_frames, normalised, seeded_model
from tests.tracking.scripts import Script, box, features, play


class Doubled(nn.Module):
    """Twice a parameter, and how often that was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.constants = Constants()
        self.computed = 0

    def value(self, variant: int = 2) -> Tensor:
        def compute() -> Tensor:
            self.computed += 1
            return self.weight * variant

        return self.constants.get("value", compute, self.weight, variant=variant)


@torch.no_grad()
def test_a_constant_is_computed_once() -> None:
    module = Doubled()
    assert module.value() is module.value()
    with torch.inference_mode():
        module.value()
    assert module.computed == 1


CHANGES: dict[str, Callable[[Doubled], object]] = {
    "in place": lambda module: module.weight.mul_(3),
    "another parameter": lambda module: setattr(module, "weight", nn.Parameter(torch.full((3,), 3.0))),
    "loaded": lambda module: module.load_state_dict({"weight": torch.full((3,), 3.0)}),
    "loaded by assignment": lambda module: module.load_state_dict({"weight": torch.full((3,), 3.0)}, assign=True),
    "an optimizer's step": lambda module: _step(module),
}


def _step(module: Doubled) -> None:
    module.weight.grad = torch.full((3,), -2.0)
    torch.optim.SGD(module.parameters(), lr=1.0).step()


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_it_is_computed_again_after_a_change_of_the_weights(change: str) -> None:
    module = Doubled()
    module.value()
    CHANGES[change](module)
    assert module.value().tolist() == [6.0] * 3


@torch.no_grad()
def test_it_has_the_dtype_that_the_module_is_converted_to() -> None:
    module = Doubled()
    module.value()
    assert module.double().value().dtype is torch.float64


@torch.no_grad()
def test_another_variant_takes_the_place_of_the_one_before() -> None:
    module = Doubled()
    assert [module.value(variant).tolist()[0] for variant in (2, 5, 2)] == [2.0, 5.0, 2.0]
    assert module.computed == 3


def test_with_gradients_nothing_is_kept() -> None:
    module = Doubled()
    with torch.inference_mode():
        module.value()
    module.value().sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad.tolist() == [2.0] * 3


@torch.no_grad()
def test_a_copy_of_a_module_begins_with_no_constants() -> None:
    module = Doubled()
    with torch.inference_mode():
        module.value()
    other = copy.deepcopy(module)
    other.weight.mul_(2)
    assert (other.value().tolist(), module.value().tolist()) == ([4.0] * 3, [2.0] * 3)
    assert len(pickle.dumps(module.constants)) == len(pickle.dumps(Constants()))


def test_a_network_that_has_been_trained_further_forgets_the_constants_of_before() -> None:
    """Every parameter of which a constant is made: the new network is as one that never computed before."""
    model = seeded_model(SMALL, 64, object_offset=1.0)
    video = features(model)
    scripts = (Script({0: box(12, 16, 35, 38)}), Script({0: box(4, 4, 50, 60)}))
    play(Tracker(model, TrackerSettings()), scripts, video[:4])
    other = seeded_model(SMALL, 64, seed=1, object_offset=1.0)
    model.load_state_dict(other.state_dict())
    frames = [normalised(frame) for frame in deterministic_frames(4, 64)]
    results = []
    for network in (model, other):
        tracker = Tracker(network, TrackerSettings())
        results.append(play(tracker, scripts, [tracker.encode(frame) for frame in frames]))
    for ours, expected in zip(*results, strict=True):
        assert all(torch.equal(ours[index].low_res_logits, expected[index].low_res_logits) for index in range(4))


def test_what_plain_kernels_computed_is_not_used_by_others() -> None:
    module = Doubled()
    with torch.inference_mode():
        module.value()
        with plain_kernels():
            module.value()
    assert module.computed == 2
