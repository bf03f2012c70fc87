"""What is decided about a GPU: dtype, attention, switches of PyTorch. No GPU is needed, and none has been used."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from samurai_batch.modeling import memory_attention
from samurai_batch.modeling.gpu import attention_backend, auto_dtype
from samurai_batch.modeling.memory_attention import _both, _rotated, _rotated_by_two_products, _twice
from samurai_batch.modeling.positions import rotary_tables
from tests.deterministic import SMALL, seeded_model
from tests.gpu.fake_gpu import FakeGpu

BACKENDS: Any = torch.backends  # mypy does not know all that is in it


@pytest.fixture
def switches() -> Iterator[None]:
    """PyTorch's switches as they are outside of these tests."""
    cudnn = BACKENDS.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, torch.backends.cuda.cudnn_sdp_enabled()
    yield
    BACKENDS.fp32_precision = "none"
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, has_cudnn_attention = before
    torch.backends.cuda.enable_cudnn_sdp(has_cudnn_attention)


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 0), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_the_default_dtype_on_a_gpu_depends_on_its_compute_capability(
    capability: tuple[int, int], dtype: torch.dtype
) -> None:
    with FakeGpu(capability=capability):
        assert auto_dtype("cuda") is dtype
    assert auto_dtype("cpu") is torch.float32


HALF, FULL = torch.bfloat16, torch.float32


@pytest.mark.parametrize(
    ("widths", "dtype", "capability", "has_weights", "backend"),
    [
        ((256, 256, 256), HALF, (8, 0), False, "flash"),
        ((72, 72, 72), HALF, (9, 0), False, "flash"),
        ((256, 256, 64), HALF, (8, 0), False, "memory-efficient"),
        ((256, 256, 256), HALF, (8, 0), True, "memory-efficient"),
        ((256, 256, 256), FULL, (9, 0), False, "memory-efficient"),
        ((256, 256, 256), torch.float16, (7, 5), False, "memory-efficient"),
        ((512, 512, 512), HALF, (9, 0), False, "memory-efficient"),
        ((32, 32, 32), torch.float64, (9, 0), False, "math"),
    ],
)
def test_flash_attention_takes_half_precision_of_even_widths_without_weights(
    widths: tuple[int, int, int], dtype: torch.dtype, capability: tuple[int, int], has_weights: bool, backend: str
) -> None:
    assert attention_backend(widths, dtype, capability, has_weights=has_weights) == backend


def build_nano_on_a_gpu() -> None:
    from samurai_batch.modeling.checkpoints import build_model, load_weights

    with FakeGpu(values=False):
        build_model(load_weights("nano"), device="cuda")


def test_a_network_built_for_a_gpu_computes_float32_in_float32(switches: None) -> None:
    torch.backends.cudnn.allow_tf32 = True
    build_nano_on_a_gpu()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_it_does_so_where_tensorfloat_32_is_allowed_for_the_whole_of_pytorch(switches: None) -> None:
    BACKENDS.fp32_precision = "tf32"
    build_nano_on_a_gpu()
    assert BACKENDS.cudnn.conv.fp32_precision == "ieee"
    assert BACKENDS.cuda.matmul.fp32_precision == "ieee"
    assert not torch.backends.cudnn.allow_tf32  # which the compiler reads, and which raises where switches disagree


def test_a_network_built_for_a_gpu_gives_the_same_bits_every_time(switches: None) -> None:
    """As far as switches decide about it: cuDNN takes no kernel that adds in any order, and tries none."""
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    build_nano_on_a_gpu()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark


def test_a_network_built_for_the_cpu_changes_no_switch(switches: None) -> None:
    from samurai_batch.modeling.checkpoints import build_model, load_weights

    torch.backends.cudnn.allow_tf32 = True
    build_model(load_weights("nano"))
    assert torch.backends.cudnn.allow_tf32


@torch.inference_mode()
def test_rotating_by_two_products_is_rotating() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, x = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((8, 5), (8,), (2, 9, 5))
    )
    angles = rotary_tables(8, 3, 3)
    found = _rotated_by_two_products(_twice(weight), _twice(bias), x, _both(angles))
    torch.testing.assert_close(found, _rotated(weight, bias, x, angles), rtol=1e-12, atol=1e-12)


def test_values_projected_first_give_what_values_projected_last_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model = seeded_model(SMALL, 64)
    generator = torch.Generator().manual_seed(0)
    sizes = {"x": (2, 16, 32), "x_pe": (16, 32), "memory": (2, 36, 8), "memory_pe": (2, 36, 8)}
    inputs = {name: torch.randn(*size, generator=generator, dtype=torch.float64) for name, size in sizes.items()}
    with torch.inference_mode():
        last = model.memory_attention(**inputs, num_pointer_tokens=4)
        monkeypatch.setattr(memory_attention, "wants_even_widths", lambda *_: True)
        first = model.memory_attention(**inputs, num_pointer_tokens=4)
    torch.testing.assert_close(first, last, rtol=1e-9, atol=1e-9)
