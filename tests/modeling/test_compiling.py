"""The compiled encoder equals the plain one; it is compiled here for the CPU, by a C++ compiler."""

import shutil
from pathlib import Path

import pytest
import torch

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.compiling import compiled_encoder
from tests.deterministic import SMALL
from tests.modeling.small_networks import SMALL_NETWORKS
from tests.modeling.test_network import model_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here; install g++"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),  # of PyTorch's own code
]


@pytest.fixture(autouse=True)
def nothing_compiled_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))


@torch._dynamo.config.patch(error_on_recompile=True)  # which would be in the middle of a job
def test_a_compiled_encoder_says_what_the_plain_one_does_of_full_and_of_last_batches() -> None:
    model = model_of(SMALL, 64, torch.float32)
    encode_image = compiled_encoder(model, frames_per_batch=2)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        copied = pixels.clone()
    channels_last = pixels.contiguous(memory_format=torch.channels_last)
    for batch in (pixels, pixels[:1], copied, copied[:1], pixels[:1].expand(2, -1, -1, -1), channels_last):
        compiled = encode_image(batch)
        with torch.inference_mode():
            plain = model.encode_image(batch)
        for ours, eager in zip((compiled.image, *compiled.high_res), (plain.image, *plain.high_res), strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", ["efficienttam", "edgetam"])
def test_every_image_encoder_is_traced_as_one_graph(network: str) -> None:
    """Traced only: what the compiler then does with a graph does not depend on the network."""
    model = model_of(SMALL_NETWORKS[network], 64, torch.float32)
    encode = torch.compile(model.encode_image, dynamic=False, fullgraph=True, backend="eager")
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        traced, plain = encode(pixels), model.encode_image(pixels)
    torch.testing.assert_close(traced.image, plain.image, rtol=1e-4, atol=1e-4)


def test_a_machine_without_a_compiler_is_told_so_before_any_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(ConfigError, match=r"compile: the image encoder could not be compiled .* leave compile out"):
        compiled_encoder(model_of(SMALL, 96, torch.float32))


def test_a_gpu_whose_memory_ends_while_it_compiles_is_not_told_to_install_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def encode(pixels: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it.")

    monkeypatch.setattr(torch, "compile", lambda function, **_: encode)
    with pytest.raises(ConfigError) as refusal:
        compiled_encoder(model_of(SMALL, 64, torch.float32))
    assert str(refusal.value) == (
        "compile: the image encoder could not be compiled (CUDA out of memory. Tried to allocate 2.00 GiB.); lower "
        "frames_per_batch or image_size, let fewer replicas share a GPU, or leave compile out"
    )
