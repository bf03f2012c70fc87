"""The network itself: sizes and precisions it runs in, and that a batch is no more than its rows."""

from dataclasses import replace

import pytest
import torch

from samurai_batch.modeling.checkpoints import Weights, build_model, parameter_shapes
from samurai_batch.modeling.configs import MODELS, VideoModelConfig
from samurai_batch.modeling.hiera import join_windows, partition_windows
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.modeling.untrained import seeded_weights
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from tests.deterministic import SMALL, deterministic_frames, normalised, small_model


def model_of(config: VideoModelConfig, image_size: int, dtype: torch.dtype = torch.float64) -> SAM2:
    tensors = seeded_weights(parameter_shapes(config), 0, {"running_var": 3.0})
    weights = Weights(config, tensors, "", "untrained:0")
    return build_model(weights, image_size, dtype)


def track_frames(model: SAM2, num_frames: int) -> list[TrackResult]:
    """One track from a box, over frames of the model's own size."""
    tracker, size = Tracker(model, TrackerSettings()), model.image_size
    state = TrackState(num_frames)
    box = FramePrompt(torch.tensor([[0.2, 0.25], [0.55, 0.6]]) * size, torch.tensor([2, 3]))
    results = []
    for index, frame in enumerate(deterministic_frames(num_frames, size)):
        features = tracker.encode(normalised(frame, model.no_obj_ptr.dtype))
        results += tracker.step(features, [TrackInput(state, None if index else box)])
    return results


@pytest.mark.parametrize("image_size", [32, 64, 96, 160, 512])
def test_every_multiple_of_32_is_an_image_size(image_size: int) -> None:
    for result in track_frames(model_of(SMALL, image_size), num_frames=3):
        assert result.low_res_logits.shape == (image_size // 4, image_size // 4)
        assert result.low_res_logits.isfinite().all()


@pytest.mark.parametrize(
    "changes",
    [
        {"trunk_dim": 8, "stages": (1, 1, 1, 1), "global_att_blocks": ()},
        {"trunk_dim": 24, "trunk_heads": 2, "stages": (2, 1, 3, 1), "global_att_blocks": (4, 5), "position_grid": 14},
        {"hidden_dim": 64, "mem_dim": 16, "memory_layers": 1, "memory_mlp_dim": 32, "decoder_heads": 8},
        {"hidden_dim": 32, "mem_dim": 32, "mask_in_chans": 8, "iou_head_dim": 16, "decoder_mlp_dim": 48},
        {"window_spec": (4, 8, 2, 3)},
        {"is_21": False},
    ],
)
def test_widths_depths_and_memory_channels_are_free(changes: dict[str, object]) -> None:
    config = replace(SMALL, **changes)  # type: ignore[arg-type]
    model = model_of(config, 64)
    assert all(result.low_res_logits.isfinite().all() for result in track_frames(model, num_frames=3))


def test_the_embedded_model_is_a_row_like_any_other() -> None:
    results = track_frames(model_of(MODELS["nano"], 64, torch.float32), num_frames=2)
    assert results[-1].low_res_logits.shape == (16, 16)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_lower_precisions_stay_near_float64(dtype: torch.dtype, tolerance: float) -> None:
    exact, rounded = (track_frames(model_of(SMALL, 64, kind), num_frames=2) for kind in (torch.float64, dtype))
    for a, b in zip(exact, rounded, strict=True):
        scale = float(a.low_res_logits.abs().max())
        assert b.low_res_logits.dtype == torch.float32
        assert float((a.low_res_logits - b.low_res_logits).abs().mean()) < tolerance * scale
        assert abs(a.mask_score - b.mask_score) < tolerance
        assert abs(a.object_score - b.object_score) < 5 * tolerance


@pytest.mark.parametrize(("size", "window"), [(8, 8), (10, 4), (3, 7), (16, 1)])
def test_windows_join_to_what_was_cut(size: int, window: int) -> None:
    x = torch.arange(2 * size * size * 3, dtype=torch.float64).view(2, size, size, 3)
    windows = partition_windows(x, window)
    assert windows.shape[1:] == (window, window, 3)
    assert torch.equal(join_windows(windows, size, size), x)


def test_a_batch_of_frames_is_encoded_as_each_alone() -> None:
    model = small_model()
    frames = torch.cat([normalised(frame) for frame in deterministic_frames(3, 64)])
    together = model.encode_image(frames)
    for index in range(3):
        alone, part = model.encode_image(frames[index : index + 1]), together.frame(index)
        torch.testing.assert_close(part.image, alone.image, rtol=0, atol=1e-10)
        for a, b in zip(part.high_res, alone.high_res, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_untrained_weights_do_not_depend_on_the_order_of_their_names() -> None:
    shapes = parameter_shapes(SMALL)
    forwards, backwards = seeded_weights(shapes), seeded_weights(dict(reversed(shapes.items())))
    assert all(torch.equal(value, backwards[name]) for name, value in forwards.items())
