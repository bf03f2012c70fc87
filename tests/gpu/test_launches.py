"""Launches of a frame of the released models at their full size, by shapes alone, with all memories there.

What they cost on a GPU is not measured here: at 5 to 8 µs each, 500 launches take 2.5 to 4 ms of the host's time.
"""

from dataclasses import replace

import pytest
import torch

from samurai_batch.benchmark.costs import FULL_MEMORY
from samurai_batch.modeling.checkpoints import _Undrawn
from samurai_batch.modeling.configs import MAX_OBJ_PTRS, MODELS
from samurai_batch.modeling.cuda_graphs import CALLS_BEFORE_CAPTURE, with_cuda_graphs
from samurai_batch.modeling.gpu import attention_backend
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tracking.memory_bank import TrackedFrame
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from tests.gpu.checks import assert_waits_once_a_step
from tests.gpu.fake_gpu import FakeGpu
from tests.tracking.scripts import box

# Launches to encode a frame, to step 1 track, and to step 8 tracks.
BOUNDS = {
    "nano": (120, 285, 310),
    "sam2.1_hiera_tiny": (190, 340, 360),
    "sam2.1_hiera_base_plus": (375, 340, 360),
    "sam2.1_hiera_large": (645, 340, 360),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if number > 1 else []) for number, name in enumerate(BOUNDS)]
)
def test_a_frame_keeps_to_its_number_of_launches(name: str) -> None:
    with FakeGpu(values=False) as gpu:
        tracker, features = full_size(name)
        found = [gpu.num_launches]
        for num_tracks in (1, 8):
            inputs = full_inputs(tracker, features, num_tracks)
            tracker.step(features, inputs)  # fills the constants
            gpu.reset()
            tracker.step(features, inputs)
            assert not gpu.mixed
            assert_waits_once_a_step(gpu.waits, 1)
            assert not [upload for upload in gpu.uploads if upload.host_waits]
            assert_flash_is_used_where_it_can_be(gpu)
            found.append(gpu.num_launches)
    assert all(count <= bound for count, bound in zip(found, BOUNDS[name], strict=True)), found


@pytest.mark.slow
def test_with_cuda_graphs_a_frame_of_any_model_takes_fewer_than_a_hundred_launches() -> None:
    for name in BOUNDS:
        with FakeGpu(values=False) as gpu:
            tracker, features = full_size(name)
            tracker.operations = with_cuda_graphs(tracker.operations, captures_encoder=True)
            one_frame(gpu, tracker, full_inputs(tracker, features, 8))
            assert gpu.num_launches <= 95
            assert gpu.launches["graph"] == 5
            assert_waits_once_a_step(gpu.waits, 1)


def one_frame(gpu: FakeGpu, tracker: Tracker, inputs: list[TrackInput]) -> None:
    """Record a frame whose shapes have come often enough to be replayed."""
    pixels = black(tracker.model)
    for _ in range(CALLS_BEFORE_CAPTURE + 2):
        gpu.reset()
        tracker.step(tracker.encode(pixels), inputs)


def full_size(name: str) -> tuple[Tracker, FrameFeatures]:
    """A model of the table without values, and the features of a frame; the second encoding is what is counted."""
    with torch.device("meta"), _Undrawn():
        model = SAM2(MODELS[name])
    model = model.in_dtype(torch.bfloat16).eval().requires_grad_(False).to("cuda")
    tracker = Tracker(model, TrackerSettings(**vars(FULL_MEMORY)))
    pixels = black(model)
    tracker.encode(pixels)
    gpu = pixels.gpu  # type: ignore[attr-defined]
    gpu.reset()
    return tracker, tracker.encode(pixels)


def black(model: SAM2) -> torch.Tensor:
    """A frame (1, 3, S, S) of zeros on the device."""
    return torch.zeros(1, 3, model.image_size, model.image_size, dtype=torch.bfloat16, device="cuda")


def full_inputs(tracker: Tracker, features: FrameFeatures, num_tracks: int) -> list[TrackInput]:
    """Tracks with as many memories and pointers as they can have, all of them those of one first frame."""
    first = TrackState(num_frames=1000)
    tracker.step(features, [TrackInput(first, box(10, 10, 50, 50))])
    memory, pointer = first.bank.conditioning[0], first.bank.conditioning_pointers[0]
    states = [TrackState(num_frames=1000) for _ in range(num_tracks)]
    for state in states:
        for age in range(MAX_OBJ_PTRS):
            seen = TrackedFrame(age, memory.spatial, pointer.vector, 1.0, 1.0, is_prompted=age == 0)
            tracker.rules.memory.remember(state.bank, seen)
        state.age = MAX_OBJ_PTRS
    return [TrackInput(state) for state in states]


def assert_flash_is_used_where_it_can_be(gpu: FakeGpu) -> None:
    """Attention in bfloat16 has widths for flash attention; the decoder's, in float32, has none on any GPU."""
    for call in gpu.attention:
        widths = (call.queries[-1], call.keys[-1], call.values[-1])
        backend = attention_backend(widths, call.dtype, gpu.capability)
        assert backend == ("flash" if call.dtype is torch.bfloat16 else "memory-efficient")


def test_on_turing_values_are_attended_to_as_narrow_as_they_are() -> None:
    with FakeGpu(values=False, capability=(7, 5)) as gpu:
        tracker, features = full_size("nano")
        inputs = full_inputs(tracker, features, 1)
        gpu.reset()
        tracker.step(features, inputs)
        config = tracker.model.config
        assert (config.hidden_dim, config.mem_dim) in {(call.keys[-1], call.values[-1]) for call in gpu.attention}


def test_a_query_that_all_tracks_share_has_no_strides_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeGpu(values=False) as gpu:
        tracker, features = full_size("nano")
        inputs = full_inputs(tracker, features, 3)
        strides: list[int] = []
        attend = gpu.attend

        def watched(*args: torch.Tensor, **kwargs: object) -> torch.Tensor:
            strides.extend(x.stride(0) for x in args[:3])
            return attend(*args, **kwargs)

        monkeypatch.setattr(gpu, "attend", watched)
        tracker.step(features, inputs)
    assert strides
    assert 0 not in strides


def test_pooled_memories_have_their_weights_made_once() -> None:
    with FakeGpu(values=False) as gpu:
        tracker, features = full_size("nano")
        tracker = Tracker(tracker.model, replace(tracker.settings, pool_memories=True))
        inputs = full_inputs(tracker, features, 1)
        tracker.step(features, inputs)
        gpu.reset()
        tracker.step(features, inputs)
        assert gpu.launches["new_zeros"] == 0
