"""Which kernels a process computes with: probed, chosen by what the processor has, and told."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling import kernels as kernels_module
from samurai_batch.modeling.attention import attend
from samurai_batch.modeling.kernels import choose, cpu_kernels, plain_kernels, using, warn_of_slow_bfloat16
from samurai_batch.modeling.layers import Conv2d, ConvTranspose2d
from samurai_batch.modeling.products import linear, runs_on_cpu
from tests.deterministic import SMALL
from tests.modeling.test_network import model_of, track_frames

ROOT = Path(__file__).parents[2]
WITHOUT_BFLOAT16 = choose(vectors="AVX2", has_onednn=False, has_bfloat16=False)


@pytest.fixture
def chosen_anew() -> Iterator[None]:
    kernels_module._chosen.cache_clear()
    warn_of_slow_bfloat16.cache_clear()
    yield
    kernels_module._chosen.cache_clear()
    warn_of_slow_bfloat16.cache_clear()


def test_onednn_multiplies_float32_where_vectors_are_wide_and_bfloat16_where_there_are_products() -> None:
    wide = choose(vectors="AVX512", has_onednn=True, has_bfloat16=True)
    assert (wide.float32_products, wide.bfloat16_products, wide.float32_softmax) == ("oneDNN", "oneDNN", "tiles")
    others = choose(vectors="AVX512", has_onednn=True, has_bfloat16=True, is_intel=False)
    assert (others.float32_products, others.bfloat16_products, others.float32_softmax) == ("oneDNN", "oneDNN", "blocks")
    assert wide.prefers_fused_attention
    assert not others.prefers_fused_attention
    narrow = choose(vectors="AVX2", has_onednn=True, has_bfloat16=True)
    assert (narrow.float32_products, narrow.bfloat16_products, narrow.float32_softmax) == ("PyTorch", "oneDNN", "tiles")
    least = choose(vectors="DEFAULT", has_onednn=False, has_bfloat16=False)
    assert (least.float32_products, least.bfloat16_products, least.float32_softmax) == ("PyTorch", "float32", "tiles")
    assert narrow.prefers_fused_attention
    assert not least.prefers_fused_attention


def wrong_values(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight, bias) + 1


def no_primitive(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    raise RuntimeError("could not create a primitive descriptor")


def gone(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    raise AttributeError("_linear_pointwise")


@pytest.mark.parametrize("operator", [wrong_values, no_primitive, gone])
@pytest.mark.usefixtures("chosen_anew")
def test_an_operator_that_is_wrong_fails_or_has_gone_is_not_used(
    operator: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels_module, "onednn_linear", operator)
    monkeypatch.setattr(kernels_module, "_onednn_takes_bfloat16", lambda: True)
    assert cpu_kernels().float32_products == "PyTorch"
    assert cpu_kernels().bfloat16_products == "float32"


@pytest.mark.usefixtures("chosen_anew")
def test_an_operator_that_is_right_is_used_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_module, "onednn_linear", F.linear)
    monkeypatch.setattr(kernels_module, "_onednn_takes_bfloat16", lambda: True)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    assert cpu_kernels().float32_products == "oneDNN"
    assert cpu_kernels().bfloat16_products == "oneDNN"


@pytest.mark.usefixtures("chosen_anew")
def test_what_was_chosen_is_told_once_in_a_debug_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="samurai_batch.modeling.kernels"):
        for _ in range(3):
            cpu_kernels()
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("CPU kernels")]
    assert lines == [f"CPU kernels: {cpu_kernels()}"]


@pytest.mark.usefixtures("chosen_anew")
def test_networks_in_bfloat16_say_once_that_float32_is_faster(caplog: pytest.LogCaptureFixture) -> None:
    with using(WITHOUT_BFLOAT16):
        for _ in range(3):
            model_of(SMALL, 64, torch.bfloat16)
    assert [record.getMessage() for record in caplog.records] == [
        "dtype bfloat16: this CPU has no bfloat16 products; dtype float32 is faster here"
    ]


@pytest.mark.usefixtures("chosen_anew")
def test_networks_in_float32_or_with_bfloat16_products_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with using(WITHOUT_BFLOAT16):
        model_of(SMALL, 64, torch.float32)
    warn_of_slow_bfloat16.cache_clear()
    with using(choose(vectors="AVX512", has_onednn=True, has_bfloat16=True, is_intel=False)):
        model_of(SMALL, 64, torch.bfloat16)
    assert not caplog.records


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


@torch.inference_mode()
def test_products_of_bfloat16_without_the_hardware_are_exact_sums_rounded_once() -> None:
    x, weight, bias = drawn(9, 40), drawn(7, 40, seed=1), drawn(7, seed=2)
    q, picture = drawn(1, 2, 50, 8), drawn(2, 4, 12, 12)
    conv, transposed = Conv2d(4, 6, 3, padding=1).bfloat16(), ConvTranspose2d(4, 3, 2, stride=2).bfloat16()
    with using(WITHOUT_BFLOAT16):
        found = [linear(x, weight, bias), attend(q, q, q), conv(picture), transposed(picture)]
    exact = [
        F.linear(x.double(), weight.double(), bias.double()),
        F.scaled_dot_product_attention(q.double(), q.double(), q.double()),
        conv.double()(picture.double()),
        transposed.double()(picture.double()),
    ]
    for ours, right in zip(found, exact, strict=True):
        assert ours.dtype is torch.bfloat16
        torch.testing.assert_close(ours, right.bfloat16(), rtol=2**-7, atol=1e-5)  # the last bit, at a tie


def test_a_network_in_bfloat16_is_the_plain_one_within_its_rounding() -> None:
    with using(WITHOUT_BFLOAT16):
        ours = track_frames(model_of(SMALL, 64, torch.bfloat16), num_frames=3)
    with plain_kernels():
        plain = track_frames(model_of(SMALL, 64, torch.bfloat16), num_frames=3)
    for a, b in zip(ours, plain, strict=True):
        scale = float(b.low_res_logits.abs().max())
        assert float((a.low_res_logits - b.low_res_logits).abs().mean()) < 0.02 * scale
        assert a.mask_score == pytest.approx(b.mask_score, abs=0.02)


def test_plain_kernels_end_with_their_block() -> None:
    with torch.inference_mode():
        x = torch.zeros(1)
        assert runs_on_cpu(x)
        with plain_kernels():
            assert not runs_on_cpu(x)
        assert runs_on_cpu(x)


@pytest.mark.slow
@pytest.mark.parametrize(("onednn", "pytorch"), [("AVX2", "avx2"), ("SSE41", "default")])
def test_fast_paths_are_right_on_lesser_processors(onednn: str, pytorch: str) -> None:
    """In processes of their own, where both libraries are told to use less than this machine has."""
    lesser = {"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": pytorch, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/modeling/test_fast_paths.py"]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | lesser, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "100%" in run.stdout


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="this processor has neither"
)
@pytest.mark.parametrize("pytorch", ["avx2", "default"])
def test_a_lesser_processor_has_its_own_kernels(pytorch: str) -> None:
    code = "from samurai_batch.modeling.kernels import cpu_kernels; print(cpu_kernels().vectors)"
    lesser = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": pytorch}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | lesser, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == pytorch.upper()
