"""EfficientTAM and EdgeTAM: every fast path equals the plain one, and they track as SAM 2 does."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.errors import ConfigError, StateError
from samurai_batch.modeling.configs import MODELS, EfficientTamConfig, model_config
from samurai_batch.modeling.kernels import choose, cpu_kernels, plain_kernels, using
from samurai_batch.modeling.memory_attention import MemoryAttention, RotaryAttention
from samurai_batch.modeling.perceiver import SpatialPerceiver
from samurai_batch.modeling.plain_vit import PlainVit
from samurai_batch.modeling.pooled_keys import KeyPooling
from samurai_batch.modeling.repvit import ConvNorm, TokenMixer
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.trackers import TRACKERS, Mode
from tests.deterministic import deterministic_frames, normalised, seeded_model
from tests.modeling import plain
from tests.modeling.small_networks import EDGE_TAM, EFFICIENT_TAM, SMALL_NETWORKS
from tests.modeling.test_fast_paths import as_when_tracking, assert_near, drawn
from tests.modeling.test_golden_networks import box_prompt
from tests.modeling.test_network import model_of, track_frames

NEW = [name for name in SMALL_NETWORKS if name != "sam2.1"]
TOLERANCES = {torch.float64: 1e-11, torch.float32: 1e-5, torch.bfloat16: 0.1}
__all__ = ["as_when_tracking"]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", [(3, 5, 1, 1, 1), (4, 4, 3, 1, 4), (4, 6, 3, 2, 1), (4, 4, 3, 2, 4)])
def test_a_convolution_and_its_norm_are_one_convolution(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    layer = ConvNorm(*shape).eval()
    for seed, source in enumerate(layer.sources):
        source.copy_(drawn(*source.shape, seed=seed).abs() + 0.5)
    x = drawn(2, shape[0], 6, 6, seed=9)
    conv, norm = layer.double().c, layer.bn
    y = F.conv2d(x, conv.weight, None, conv.stride, conv.padding, groups=conv.groups)
    scale = norm.weight / torch.sqrt(layer.sources[4] + 1e-5)
    exact = (y - layer.sources[3][:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    assert_near(layer.float()(x.to(dtype)), exact, TOLERANCES[dtype] if dtype != torch.float64 else 1e-6)
    with plain_kernels():
        assert_near(layer.double()(x), exact, 1e-12)


def test_the_branches_of_a_token_mixer_are_one_convolution() -> None:
    mixer = TokenMixer(4).double().eval()
    for seed, source in enumerate((*mixer.conv.sources, *mixer.conv1.sources)):
        source.copy_(drawn(*source.shape, seed=seed).abs() + 0.5)
    x = drawn(2, 4, 6, 6, seed=20)
    with plain_kernels():
        exact = mixer(x)
    assert_near(mixer(x), exact, 1e-12)


@pytest.mark.parametrize("weighs_scores", [True, False])
def test_keys_are_averaged_over_squares_of_each_memory_and_pointers_stay(weighs_scores: bool) -> None:
    keys = drawn(2, 3 * 16 + 5, 6)
    pooled = KeyPooling(3, 4, weighs_scores).keys(keys)
    assert pooled.shape == (2, 3 * 4 + 5, 6)
    added = 0 if weighs_scores else 2 * math.log(2)
    second = keys[:, 16:32].unflatten(1, (4, 4))
    assert_near(pooled[:, 4 + 1], second[:, 0:2, 2:4].mean((1, 2)) + added, 1e-12)  # first row, second column
    assert torch.equal(pooled[:, 12:], keys[:, 48:])


def exact_attention_to_averages(
    model: MemoryAttention, x: Tensor, keys: Tensor, values: Tensor, num_pointer_tokens: int
) -> Tensor:
    """Cross-attention of the first layer, as the paper describes it."""
    layer, pooling = model.layers[0].cross_attn_image, model.config
    assert isinstance(pooling, EfficientTamConfig)
    project = {name: getattr(layer, f"{name}_proj") for name in ("q", "k", "v", "out")}
    cells, side = keys.shape[1] - num_pointer_tokens, model.side
    q, k, v = (F.linear(y, project[n].weight, project[n].bias) for n, y in (("q", x), ("k", keys), ("v", values)))
    k = torch.cat((plain.turned(k[:, :cells], side), k[:, cells:]), dim=1)

    def averaged(y: Tensor) -> Tensor:
        maps = y[:, :cells].unflatten(1, (-1, side, side)).permute(0, 1, 4, 2, 3)
        means = F.avg_pool2d(maps.flatten(0, 1), 2).unflatten(0, maps.shape[:2])
        return torch.cat((means.flatten(3).transpose(2, 3).flatten(1, 2), y[:, cells:]), dim=1)

    k, v = averaged(k), averaged(v)
    num_averages = k.shape[1] - num_pointer_tokens
    if pooling.key_pooling == "keys":
        k[:, :num_averages] += 2 * math.log(2)
    scores = plain.turned(q, side) @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if pooling.key_pooling == "scores":
        scores[..., :num_averages] += 2 * math.log(2)
    return F.linear(scores.softmax(-1) @ v, project["out"].weight, project["out"].bias)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", ["efficienttam_1", "efficienttam_2"])
@pytest.mark.parametrize("kernels", ["own", "AVX2", "AVX512", "plain"])
def test_attention_to_averages_is_what_the_paper_says(dtype: torch.dtype, name: str, kernels: str) -> None:
    model = seeded_model(SMALL_NETWORKS[name], 64).memory_attention
    x, memory, memory_pe = drawn(2, 16, 32), drawn(2, 3 * 16 + 8, 8, seed=1), drawn(2, 3 * 16 + 8, 8, seed=2)
    keys = memory + memory_pe
    exact = exact_attention_to_averages(model, x, keys, memory, 8)
    model.to(dtype)
    chosen = {
        "own": cpu_kernels(),
        "plain": replace(cpu_kernels(), is_plain=True),
        "AVX2": choose(vectors="AVX2", has_onednn=False, has_bfloat16=False),
        "AVX512": choose(vectors="AVX512", has_onednn=False, has_bfloat16=False, is_intel=False),
    }[kernels]
    with using(chosen):
        angles, key_angles = model._angles(48, 8, False)
        attended = model._attended(x.to(dtype), keys.to(dtype), memory.to(dtype), key_angles, 8, False)
        layer = model.layers[0].cross_attn_image
        assert isinstance(layer, RotaryAttention)
        found = layer.forward_rotary(x.to(dtype), angles, attended)
    assert_near(found, exact, TOLERANCES[dtype])


def test_a_single_memory_is_not_averaged() -> None:
    averaging, not_averaging = (seeded_model(SMALL_NETWORKS[name], 64) for name in ("efficienttam_1", "efficienttam"))
    for memories, is_equal in ((1, True), (2, False)):
        arguments = (
            drawn(1, 32, 4, 4), drawn(1, memories, 8, 4, 4, seed=1), torch.tensor([[6, 0][:memories]]),
            drawn(1, 2, 32, seed=2), drawn(1, 2, seed=3),
        )  # fmt: skip
        a, b = (model.attend_to_memory(*arguments) for model in (averaging, not_averaging))
        assert torch.equal(a, b) == is_equal


@pytest.mark.parametrize("side", [2, 3, 4])
def test_positions_of_the_plain_trunk_are_resized_bicubically(side: int) -> None:
    trunk = seeded_model(EFFICIENT_TAM, 64).image_encoder.trunk
    assert isinstance(trunk, PlainVit)
    grid = trunk.pos_embed[:, 1:].unflatten(1, (3, 3)).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, size=(side, side), mode="bicubic")[0].permute(1, 2, 0)
    assert_near(trunk._positions(side, side), expected, 1e-12)


def test_each_window_has_a_token_of_its_own_cells() -> None:
    """Cells of one window change its token and the global ones, no other."""
    perceiver = SpatialPerceiver(EDGE_TAM, 128).double()
    perceiver.load_state_dict(
        {k: drawn(*v.shape, seed=i) / 2 for i, (k, v) in enumerate(perceiver.state_dict().items())}
    )
    memory = drawn(1, 8, 8, 8)
    other = memory.clone()
    other[..., :4, 4:] += 1  # the second of 2 x 2 windows
    has_changed = (perceiver(memory) != perceiver(other)).any(1)[0].tolist()
    assert has_changed == [True] * 6 + [False, True, False, False]


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_frames_are_tracked_as_by_plain_kernels_in_every_dtype(name: str, dtype: torch.dtype) -> None:
    """Rounding grows from frame to frame in untrained networks: few frames, and the tolerance of each dtype."""
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 0.15, torch.float16: 0.02}[dtype]
    config = SMALL_NETWORKS[name]
    fast = track_frames(model_of(config, 64, dtype), 3)
    with plain_kernels():
        exact = track_frames(model_of(config, 64), 3)
    for a, b in zip(fast, exact, strict=True):
        scale = float(b.low_res_logits.abs().max())
        assert float((a.low_res_logits - b.low_res_logits).abs().mean()) < tolerance * scale
        assert a.candidate_ious == pytest.approx(b.candidate_ious, abs=tolerance)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("mode", TRACKERS)
def test_in_every_mode_several_tracks_are_each_as_if_it_were_alone(name: str, mode: Mode) -> None:
    """The first is saved and read after every frame, as between two chunks; the third begins later."""
    own: dict[str, Any] = (
        {"drm_min_iou": 0.0, "drm_max_box_iou": 1.0, "drm_min_gap_frames": 1} if mode == "dam4sam" else {}
    )
    tracker = Tracker(model_of(SMALL_NETWORKS[name], 64), TrackerSettings(mode=mode, **own))
    starts, states, alone = (0, 0, 3), [TrackState(7) for _ in range(3)], TrackState(7)
    for index, frame in enumerate(deterministic_frames(7, 64)):
        features = tracker.encode(normalised(frame))
        inputs = [
            TrackInput(state, box_prompt(64) if index == start else None)
            for state, start in zip(states, starts, strict=True)
            if index >= start
        ]
        together = tracker.step(features, inputs)
        (single,) = tracker.step(features, [TrackInput(alone, box_prompt(64) if index == 0 else None)])
        assert together[1].mask_index == single.mask_index
        torch.testing.assert_close(together[1].low_res_logits, single.low_res_logits, rtol=0, atol=1e-8)
        alone = TrackState.from_bytes(alone.to_bytes())
        alone.check_made_by(SMALL_NETWORKS[name], 64)


@pytest.mark.parametrize("name", NEW)
def test_a_state_knows_the_network_that_made_it(name: str) -> None:
    config, state = SMALL_NETWORKS[name], TrackState(3)
    tracker = Tracker(model_of(config, 64), TrackerSettings())
    for index, frame in enumerate(deterministic_frames(3, 64)):
        tracker.step(tracker.encode(normalised(frame)), [TrackInput(state, None if index else box_prompt(64))])
    state.check_made_by(config, 64)
    other = EDGE_TAM if config is not EDGE_TAM else EFFICIENT_TAM
    with pytest.raises(StateError, match=f"not made by {other.name}"):
        state.check_made_by(other, 64)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_track_state_of_every_model_is_at_most_8_megabytes(name: str) -> None:
    """One conditioning frame and six recent ones in bfloat16, and sixteen pointers, at 1024."""
    config = model_config(name)
    num_bytes = 7 * math.prod(config.memory_shape(1024)) * 2 + 16 * config.hidden_dim * 4
    assert num_bytes <= (0.5e6 if name == "edgetam" else 8e6)


@pytest.mark.parametrize("name", ["efficienttam_1", "efficienttam_2", "edgetam"])
def test_memories_that_are_compressed_are_not_pooled_again(name: str) -> None:
    with pytest.raises(ConfigError, match=r"pool_memories: small_\w+ compresses memories itself"):
        TrackerSettings(pool_memories=True).resolve(SMALL_NETWORKS[name])


def test_efficienttam_pools_memories_as_sam_2_does() -> None:
    settings = TrackerSettings(pool_memories=True).resolve(EFFICIENT_TAM)
    assert settings.pool_memories
    model = seeded_model(EFFICIENT_TAM, 64)
    image, ranks, pointers, times = drawn(1, 32, 4, 4), torch.tensor([[6, 0]]), drawn(1, 2, 32), drawn(1, 2)
    even = drawn(1, 2, 8, 2, 2, seed=1).repeat_interleave(2, 3).repeat_interleave(2, 4)
    pooled, whole = (model.attend_to_memory(image, even, ranks, pointers, times, pools) for pools in (True, False))
    assert 0 < float((pooled - whole).abs().max()) < 1


@pytest.mark.parametrize(("name", "size"), [("efficienttam", 32), ("efficienttam_1", 96), ("edgetam", 96)])
def test_image_sizes_are_multiples_of_a_networks_step(name: str, size: int) -> None:
    for result in track_frames(model_of(SMALL_NETWORKS[name], size), 3):
        assert result.low_res_logits.shape == (size // 4, size // 4)
        assert result.low_res_logits.isfinite().all()


def test_edgetam_refuses_other_sizes_than_multiples_of_256() -> None:
    with pytest.raises(ConfigError, match="image_size 320 is not a positive multiple of 256, which edgetam needs"):
        model_config("edgetam").check_image_size(320)
