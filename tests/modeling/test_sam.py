"""SAM's network: the released names and shapes, and the authors' own numbers."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from samurai_batch.errors import CheckpointError, ConfigError
from samurai_batch.modeling.checkpoints import (
    build_sam,
    load_sam_weights,
    load_weights,
    parameter_shapes,
)
from samurai_batch.modeling.configs import SAM_MODELS
from samurai_batch.modeling.vit import RelativeAttention
from tests.images.small import SMALL_SAM

RELEASED = Path(__file__).parent.parent / "checkpoints"


@pytest.mark.parametrize("name", sorted(SAM_MODELS))
def test_every_released_sam_has_exactly_our_parameters(name: str) -> None:
    released = json.loads(gzip.decompress((RELEASED / f"{name}.json.gz").read_bytes()))
    assert {key: list(shape) for key, shape in parameter_shapes(SAM_MODELS[name]).items()} == released


def slow_attention(layer: RelativeAttention, x: Tensor) -> Tensor:
    """The same, one pair of cells after the other."""
    side, dim = x.shape[1], x.shape[3]
    width = dim // layer.num_heads
    q, k, v = layer.qkv(x[0]).view(side, side, 3, layer.num_heads, width).unbind(2)
    mixed = torch.zeros(side, side, layer.num_heads, width, dtype=x.dtype)
    cells = [(row, column) for row in range(side) for column in range(side)]
    for head in range(layer.num_heads):
        for y, x_ in cells:
            query = q[y, x_, head]
            logits = torch.stack(
                [
                    query @ k[row, column, head] / width**0.5
                    + query @ layer.rel_pos_h[y - row + side - 1]
                    + query @ layer.rel_pos_w[x_ - column + side - 1]
                    for row, column in cells
                ]
            )
            values = torch.stack([v[row, column, head] for row, column in cells])
            mixed[y, x_, head] = logits.softmax(0) @ values
    return layer.proj(mixed.flatten(2))[None]  # type: ignore[no-any-return]


def test_relative_attention_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    layer = RelativeAttention(dim=8, num_heads=2, side=4).double()
    torch.nn.init.normal_(layer.rel_pos_h)
    torch.nn.init.normal_(layer.rel_pos_w)
    x = torch.randn(1, 4, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(x), slow_attention(layer, x))


def test_a_sam_does_not_track() -> None:
    with pytest.raises(ConfigError, match="segments single images and cannot track"):
        load_weights("sam_vit_b", "untrained:0")


def test_a_sam_keeps_to_the_size_it_was_trained_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAM_MODELS, SMALL_SAM.name, SMALL_SAM)
    weights = load_sam_weights(SMALL_SAM.name, "untrained:0")
    assert build_sam(weights).image_size == SMALL_SAM.image_size
    with pytest.raises(ConfigError, match="supports only 64"):
        build_sam(weights, image_size=128)


def test_weights_of_another_model_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAM_MODELS, SMALL_SAM.name, SMALL_SAM)
    weights = load_sam_weights(SMALL_SAM.name, "untrained:0")
    torch.save(weights.tensors, tmp_path / "released.pth")  # SAM's files hold the parameters themselves
    assert load_sam_weights(SMALL_SAM.name, str(tmp_path / "released.pth")).tensors.keys() == weights.tensors.keys()
    with pytest.raises(CheckpointError, match=f"are those of {SMALL_SAM.name}, not of sam_vit_b"):
        load_sam_weights("sam_vit_b", str(tmp_path / "released.pth"))
