"""The tracker's steps on a device that is not the host: PyTorch's "meta", whose tensors have shapes but no values.

PyTorch refuses to mix such tensors with the host's, and whatever would make the host wait for their values. So a step
that passes here does neither on a GPU, but for the waits that it is allowed, and whose values it is handed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from samurai_batch.modeling import pixels
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.tracking import proposals, proposing, tracker
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.trackers import Mode
from tests.deterministic import SMALL
from tests.tracking.scripts import Script, box, features, make_tracker, steps

DEVICE = torch.device("meta")


class Traffic:
    """What goes between host and device."""

    def __init__(self) -> None:
        self.waits = 0
        self.uploads = 0

    def wait_for(self, numbers: Tensor, before_wait: Callable[[], None]) -> list[float]:
        assert numbers.device == DEVICE
        self.waits += 1
        return [0.75] * len(numbers)

    def upload(self, tensor: Tensor, device: torch.device) -> Tensor:
        assert tensor.device.type == "cpu"
        assert device == DEVICE
        self.uploads += 1
        return torch.empty_like(tensor, device=device)


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    seen = Traffic()
    monkeypatch.setattr(proposals, "wait_for", seen.wait_for)
    for module in (pixels, proposals, proposing, tracker):
        monkeypatch.setattr(module, "upload", seen.upload)
    return seen


def prompts() -> list[FramePrompt]:
    """One click, a box, a mask."""
    mask = torch.empty(64, 64)
    return [
        FramePrompt(torch.empty(1, 2), torch.empty(1, dtype=torch.int32)),
        FramePrompt(torch.empty(2, 2), torch.empty(2, dtype=torch.int32)),
        FramePrompt(mask=mask),
    ]


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("is_21", [True, False])
def test_a_step_waits_for_the_device_once_however_many_tracks_and_prompts(
    traffic: Traffic, mode: Mode, is_21: bool
) -> None:
    model = SAM2(replace(SMALL, is_21=is_21), 64).in_dtype(torch.bfloat16).to(DEVICE).eval()
    follower = Tracker(model, TrackerSettings(mode=mode))
    inputs = [TrackInput(TrackState(num_frames=30), prompt) for prompt in prompts()]
    for index in range(20):
        if index == 7:  # a late prompt, and with it all kinds of step in one
            inputs += [TrackInput(TrackState(num_frames=30), prompt) for prompt in prompts()]
        image = torch.empty(1, 3, 64, 64, device=DEVICE, dtype=torch.bfloat16)
        results = follower.step(follower.encode(image), inputs)
        assert traffic.waits == index + 1
        assert {result.low_res_logits.device for result in results} == {DEVICE}
        inputs = [TrackInput(item.state) for item in inputs]
    held = [m.spatial for item in inputs for m in item.state.bank.recent]
    assert {tensor.device for tensor in held} == {DEVICE}


def test_a_frame_goes_to_the_device_by_one_upload(traffic: Traffic) -> None:
    frame = torch.zeros(48, 80, 3, dtype=torch.uint8)
    image = pixels.normalise(pixels._resize(pixels.upload(frame, DEVICE).permute(2, 0, 1)[None], 64), torch.bfloat16)
    assert (image.shape, image.dtype, image.device) == ((1, 3, 64, 64), torch.bfloat16, DEVICE)
    assert (traffic.uploads, traffic.waits) == (1, 0)


@pytest.mark.parametrize("num_tracks", [1, 3])
def test_shapes_are_those_of_every_frame_from_the_sixteenth_on(num_tracks: int) -> None:
    """What a captured graph rests on; checked on the CPU, where memories have values to be selected by."""
    follower, shapes = make_tracker(TrackerSettings(mode="sam2")), []
    attend = follower.operations.attend_to_memory

    def watched(*arguments: Any) -> Tensor:
        shapes.append([argument.shape for argument in arguments if isinstance(argument, Tensor)])
        return attend(*arguments)

    follower.operations = replace(follower.operations, attend_to_memory=watched)
    video = features(follower.model)
    list(steps(follower, [Script({0: box(4.0 + n, 4, 40, 50)}) for n in range(num_tracks)], video))
    assert len(shapes) == len(video) - 1
    assert all(shape == shapes[15] for shape in shapes[15:])
