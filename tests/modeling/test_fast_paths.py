"""Every fast path equals the plain one (tests/modeling/plain.py), within a tolerance that is written beside it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling import attention as attention_module
from samurai_batch.modeling import keys_by_row
from samurai_batch.modeling.attention import attend
from samurai_batch.modeling.hiera import Hiera, MultiScaleBlock
from samurai_batch.modeling.kernels import choose, cpu_kernels, plain_kernels, using
from samurai_batch.modeling.memory_attention import MemoryAttention
from samurai_batch.modeling.products import by_rows, linear, one_by_one
from tests.deterministic import SMALL, seeded_model
from tests.modeling import plain
from tests.modeling.test_network import model_of, track_frames

TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2}  # of values around one
ROWS = 32
every_dtype = pytest.mark.parametrize("dtype", TOLERANCES)


@pytest.fixture(autouse=True)
def as_when_tracking() -> Iterator[None]:
    with torch.inference_mode():
        yield


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_near(fast: Tensor, exact: Tensor, tolerance: float) -> None:
    assert fast.shape == exact.shape
    torch.testing.assert_close(fast.double(), exact, rtol=tolerance, atol=tolerance)


@every_dtype
@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (1, 2, 3, 12), (0, 12)])
def test_a_linear_layer_is_a_product_and_a_sum(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x, weight, bias = drawn(*shape) / 4, drawn(20, 12, seed=1) / 4, drawn(20, seed=2)
    x, weight, bias = (y.to(dtype) for y in (x, weight, bias))
    for part in (slice(None), slice(0, None, 2), slice(1, None, 2)):  # strided weights and biases, too
        expected = F.linear(x.double(), weight[part].double(), bias[part].double())
        assert_near(linear(x, weight[part], bias[part]), expected, TOLERANCES[dtype])
        assert_near(linear(x, weight[part]), expected - bias[part].double(), TOLERANCES[dtype])


@every_dtype
def test_a_linear_layer_takes_what_is_not_contiguous(dtype: torch.dtype) -> None:
    x, weight = (drawn(4, 12, 6, 5) / 4).to(dtype), (drawn(8, 12, seed=1) / 4).to(dtype)
    expected = torch.einsum("bcyx,dc->byxd", x.double(), weight.double())
    assert_near(linear(x.permute(0, 2, 3, 1), weight), expected, TOLERANCES[dtype])


@pytest.mark.parametrize("num_rows", [0, 1, ROWS, ROWS + 1, 3 * ROWS])
def test_rows_are_treated_alike_in_any_number_of_parts(num_rows: int) -> None:
    x = drawn(num_rows, 2)
    with using(replace(cpu_kernels(), cached_rows=ROWS)):
        assert torch.equal(by_rows(torch.exp, x), x.exp())
        assert torch.equal(by_rows(torch.exp, x[None, :, None]), x[None, :, None].exp())


@every_dtype
@pytest.mark.parametrize(
    ("queries", "keys", "width"),
    [(3, 5, 4), (49, 196, 8), (200, 700, 16), (257, 1100, 16), (1, 2**16, 4), (2**16, 2, 4)],
)
def test_attention_to_few_and_to_many_keys_is_what_it_says(
    dtype: torch.dtype, queries: int, keys: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_module, "BLOCK_SCORES", 2**14)  # many blocks, also of few keys
    q, k, v = (drawn(2, length, 3, width, seed=i).to(dtype) for i, length in enumerate((queries, keys, keys)))
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    exact = plain.attention(q.double(), k.double(), v.double())
    assert_near(attend(q, k, v), exact, TOLERANCES[dtype])
    narrow = attend(q, k, v[..., :2])  # values of another width
    assert_near(narrow, exact[..., :2], TOLERANCES[dtype])


@pytest.mark.parametrize("shift", [0.0, 60.0, -60.0, 200.0, -200.0])
def test_attention_by_tiles_is_the_softmax_whatever_the_scores(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exponentials of scores beyond 88 cannot be held, and those of a query whose scores are all below -88 are zero."""
    monkeypatch.setattr(attention_module, "TILE_QUERIES", 128)
    monkeypatch.setattr(attention_module, "TILE_BYTES", 2**15)  # many tiles, the last one smaller
    q, k, v = (drawn(length, 16, seed=i).bfloat16() for i, length in enumerate((300, 700, 700)))
    q[:, 0], k[:, 0] = 1.0, shift  # the same for all keys of a query
    for log_weights in (None, drawn(700, seed=3).bfloat16()):
        found = attention_module._attend_to_many(q, k, v, log_weights)
        expected = attention_module._by_softmax(q, k, v, log_weights)
        assert_near(found, expected.double(), TOLERANCES[torch.bfloat16])


@pytest.mark.parametrize(
    ("vectors", "is_intel"), [("AVX512", True), ("AVX512", False), ("AVX2", True), ("DEFAULT", True)]
)
@pytest.mark.parametrize("width", [8, 16])  # values as wide as keys, and not
@pytest.mark.parametrize("shift", [0.0, 60.0, 200.0, -200.0])
def test_attention_in_float32_is_the_softmax_as_every_processor_computes_it(
    vectors: str, is_intel: bool, width: int, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_module, "TILE_QUERIES", 128)
    monkeypatch.setattr(attention_module, "TILE_BYTES", 2**15)
    q, k, v = (drawn(1, 1, *shape, seed=i).float() for i, shape in enumerate(((300, 16), (700, 16), (700, width))))
    q[..., 0], k[..., 0] = 4.0, shift  # the same for all keys of a query; divided by √16
    with using(choose(vectors=vectors, has_onednn=False, has_bfloat16=False, is_intel=is_intel)):
        for log_weights in (None, drawn(700, seed=3).float()):
            found = attend(q, k, v, log_weights)
            scores = q.double() @ k.double().transpose(2, 3) / 4
            scores = scores if log_weights is None else scores + log_weights.double()
            assert_near(found, scores.softmax(-1) @ v.double(), 1e-4)  # scores of 200 hold six digits


@pytest.mark.parametrize(
    ("scores", "is_usual"), [(0.0, True), (60.0, True), (-60.0, True), (100.0, False), (-100.0, False)]
)
def test_tiles_are_given_up_where_exponentials_cannot_be_held(scores: float, is_usual: bool) -> None:
    queries, keys, values = torch.ones(2, 1), torch.full((64, 1), scores), drawn(64, 3)
    tiles = attention_module._tiles(keys.bfloat16(), values.bfloat16(), None)
    found = attention_module._over_tiles(queries.bfloat16(), tiles)
    assert (found is not None) == is_usual


@every_dtype
def test_attention_is_the_same_where_gradients_are_wanted(dtype: torch.dtype) -> None:
    q, k, v = (drawn(1, 2, 400, 8, seed=i).to(dtype) for i in range(3))
    fast = attend(q, k, v)
    with torch.inference_mode(mode=False), torch.enable_grad():
        fused = attend(*(x.clone() for x in (q, k, v)))
    assert_near(fast, fused.double(), TOLERANCES[dtype])


@pytest.mark.parametrize("count", [1, 3])
def test_tracks_are_treated_alike_together_and_one_by_one(count: int) -> None:
    x, y = drawn(count, 5), drawn(count, 5, seed=1)
    assert torch.equal(one_by_one(torch.add, x, y), x + y)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize(("tracks", "memories", "pointers"), [(1, 1, 1), (3, 2, 4), (2, 7, 0)])
@pytest.mark.parametrize("stride", [1, 2])
def test_memory_attention_is_what_the_checkpoints_say(
    dtype: torch.dtype, tolerance: float, tracks: int, memories: int, pointers: int, stride: int
) -> None:
    """With a stride of 2, one key of a memory stands for 2 x 2 cells, which are four equal keys."""
    model = seeded_model(SMALL, 64).memory_attention
    cells = 16
    length = memories * cells // stride**2 + pointers * 4
    x, memory = drawn(tracks, cells, 32), drawn(tracks, length, 8, seed=1)
    x_pe, memory_pe = drawn(cells, 32, seed=2), drawn(tracks, length, 8, seed=3)
    exact = plain.memory_attention(model, x, x_pe, memory, memory_pe, pointers * 4, stride)
    fast: MemoryAttention = seeded_model(SMALL, 64).memory_attention.to(dtype)
    found = fast(*(y.to(dtype) for y in (x, x_pe, memory, memory_pe)), pointers * 4, are_pooled=stride == 2)
    assert_near(found, exact, tolerance)
    shared = fast(*(y.to(dtype) for y in (x[:1], x_pe, memory, memory_pe)), pointers * 4, are_pooled=stride == 2)
    assert_near(shared[:1], exact[:1], tolerance)  # a frame that is the same for all tracks stands there once
    again = plain.memory_attention(model, x[:1].repeat(tracks, 1, 1), x_pe, memory, memory_pe, pointers * 4, stride)
    assert_near(shared, again, tolerance)


@pytest.mark.parametrize(("memories", "pointers", "scale"), [(1, 0, 1.0), (3, 2, 1.0), (7, 4, 1.0), (2, 1, 40.0)])
def test_keys_by_row_are_the_same_keys(
    memories: int, pointers: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where scores are so large that exponentials cannot be held."""
    monkeypatch.setattr(keys_by_row, "MAX_SHARE", 10.0)
    monkeypatch.setattr(keys_by_row, "ROWS_AT_ONCE", 3)  # of four
    monkeypatch.setattr(keys_by_row, "TILE_QUERIES", 5)  # of sixteen
    called: list[bool] = []

    def watched(*args: Any) -> Tensor | None:
        found = keys_by_row.attend_by_row(*args)
        called.append(found is not None)
        return found

    monkeypatch.setattr("samurai_batch.modeling.memory_attention.attend_by_row", watched)
    exact_model, model = (seeded_model(SMALL, 64).memory_attention for _ in range(2))
    for layer in (*exact_model.layers, *model.layers):
        layer.cross_attn_image.q_proj.weight *= scale
    length = memories * 16 + pointers * 4
    x, memory, x_pe, memory_pe = (
        drawn(2, 16, 32),
        drawn(2, length, 8, seed=1),
        drawn(16, 32, seed=2),
        drawn(2, length, 8),
    )
    exact = plain.memory_attention(exact_model, x, x_pe, memory, memory_pe, pointers * 4)
    with using(choose(vectors="AVX2", has_onednn=False, has_bfloat16=False)):
        found = model.float()(*(y.float() for y in (x, x_pe, memory, memory_pe)), pointers * 4)
    assert len(called) == 2 * len(model.layers)
    assert all(called) == (scale == 1.0)
    assert_near(found, exact, 1e-5 if scale == 1.0 else 1e-3)


def test_keys_are_taken_by_row_where_that_is_fewer_products() -> None:
    x, memory = torch.zeros(1, 64 * 64, 256), torch.zeros(1, 7 * 64 * 64, 64)
    with using(choose(vectors="AVX2", has_onednn=False, has_bfloat16=False)):
        rows = keys_by_row.key_rows(x, memory, 7, 64)
        assert rows is not None
        assert (rows.num_rows, rows.keys_per_row, rows.num_cells) == (64, 448, 7 * 64 * 64)
        assert keys_by_row.key_rows(x, memory, 1, 64) is None  # too few keys in a row
        assert keys_by_row.key_rows(x, memory, 0, 64) is None
        assert keys_by_row.key_rows(x.double(), memory.double(), 7, 64) is None
    with using(choose(vectors="AVX512", has_onednn=True, has_bfloat16=True, is_intel=False)):
        assert keys_by_row.key_rows(x, memory, 7, 64) is None


def test_pooled_memories_are_the_means_of_their_cells() -> None:
    model = seeded_model(SMALL, 64)
    image, memories = drawn(2, 32, 4, 4), drawn(2, 3, 8, 4, 4, seed=1)
    ranks, pointers, times = torch.tensor([[6, 1, 0]] * 2), drawn(2, 5, 32, seed=2), drawn(2, 5, seed=3)
    even = memories[..., ::2, ::2].repeat_interleave(2, 3).repeat_interleave(2, 4)  # 2 x 2 equal cells
    pooled = model.attend_to_memory(image, even, ranks, pointers, times, pool_memories=True)
    means = F.avg_pool2d(memories.flatten(0, 1), 2).unflatten(0, (2, 3))
    spread = means.repeat_interleave(2, 3).repeat_interleave(2, 4)
    again = model.attend_to_memory(image, memories, ranks, pointers, times, pool_memories=True)
    assert_near(model.attend_to_memory(image, spread, ranks, pointers, times, pool_memories=True), again, 1e-12)
    whole = model.attend_to_memory(image, even, ranks, pointers, times)
    assert pooled.shape == whole.shape
    assert 0 < float((pooled - whole).abs().max()) < 1  # only their places differ


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [8, 12])
def test_every_block_of_the_trunk_is_its_windows_one_after_the_other(
    dtype: torch.dtype, tolerance: float, batch: int, size: int
) -> None:
    exact_trunk, fast_trunk = (seeded_model(SMALL, 64).image_encoder.trunk for _ in range(2))
    fast_trunk.to(dtype)
    assert isinstance(exact_trunk, Hiera)
    assert isinstance(fast_trunk, Hiera)
    for exact_block, fast_block in zip(exact_trunk.blocks, fast_trunk.blocks, strict=True):
        assert isinstance(exact_block, MultiScaleBlock)
        x = drawn(batch, size, size, exact_block.attn.qkv.in_features)
        with using(replace(cpu_kernels(), strip_rows=1)):  # a strip for each row of windows
            found = fast_block(x.to(dtype))
        assert_near(found, plain.hiera_block(exact_block, x), tolerance)


def test_positions_of_the_trunk_are_resized_bicubically() -> None:
    trunk = seeded_model(SMALL, 64).image_encoder.trunk
    assert isinstance(trunk, Hiera)
    for height, width in ((16, 16), (8, 40)):
        expected = plain.trunk_positions(trunk, height, width)[0].permute(1, 2, 0)
        assert_near(trunk._positions(height, width), expected, 1e-12)


def test_eight_frames_in_float32_are_tracked_as_by_the_plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1e-4 of the logits' scale, over everything that a track remembers and feeds on."""
    fast = track_frames(model_of(SMALL, 64, torch.float32), num_frames=8)
    monkeypatch.setattr(MemoryAttention, "forward", plain.memory_attention_of_tracker)
    with plain_kernels():
        slow = track_frames(model_of(SMALL, 64, torch.float32), num_frames=8)
    for a, b in zip(fast, slow, strict=True):
        scale = float(b.low_res_logits.abs().max())
        assert a.mask_index == b.mask_index
        assert float((a.low_res_logits - b.low_res_logits).abs().max()) < 1e-4 * scale
        assert a.candidate_ious == pytest.approx(b.candidate_ious, abs=1e-4)
        assert a.object_score == pytest.approx(b.object_score, abs=1e-4)
