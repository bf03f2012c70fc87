"""Weights to start from, drawn so that a short training finds out early where things are.

Four choices save hundreds of steps: the image's features start faint, so that they do not drown where a prompt is; the
embedding starts as smooth waves instead of noise; where prompt and image attend to each other, queries and keys start
with the same projection, so that what is close already attends to what is close; and memory attention starts by looking
at the same spot of each memory.
"""

import math

import torch
from torch import Tensor, nn

from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.sam2 import SAM2

_FAINTNESS = 0.15
_WAVE = 0.5
_SHARPNESS = 2.0
_NEARNESS = 1.5


def initial_weights(config: Sam2Config, seed: int) -> dict[str, Tensor]:
    """Untrained parameters, float32, by seed."""
    torch.manual_seed(seed)
    model = SAM2(config).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                nn.init.trunc_normal_(parameter, std=0.02)
        for lateral in model.image_encoder.neck.convs:
            for parameter in lateral.parameters():
                parameter.mul_(_FAINTNESS)
        _draw_waves(model.image_encoder.trunk.pos_embed)
        for name, module in model.sam_mask_decoder.transformer.named_modules():
            if name.endswith(("token_to_image", "image_to_token")):
                _tie(module)
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    attend_nearby(weights)
    return weights


def _draw_waves(embedding: Tensor) -> None:
    """Fill (1, C, side, side) with plane waves of random direction, up to one period across."""
    _, channels, side, _ = embedding.shape
    axis = torch.linspace(-1, 1, side)
    direction, phase = torch.randn(channels, 2) * math.pi / 2, torch.rand(channels) * 2 * math.pi
    angle = direction[:, 0, None, None] * axis[:, None] + direction[:, 1, None, None] * axis + phase[:, None, None]
    embedding.copy_(_WAVE * angle.sin()[None])


def _tie(attention: nn.Module) -> None:
    queries, keys = attention.q_proj, attention.k_proj
    assert isinstance(queries, nn.Linear)
    assert isinstance(keys, nn.Linear)
    queries.weight.mul_(_SHARPNESS)
    keys.weight.copy_(queries.weight)
    keys.bias.copy_(queries.bias)


def attend_nearby(weights: dict[str, Tensor]) -> None:
    """Give memory attention a first habit, in place: to look at the same spot of each memory, two cells around.

    Where queries and keys share a constant, rotary positions turn it into a bump over their distance. Nothing is
    tracked before attention is local, and from nothing it takes long to become so.
    """
    for name, bias in weights.items():
        if name.endswith(("cross_attn_image.q_proj.bias", "cross_attn_image.k_proj.bias")):
            _fast_pairs(bias).fill_(_NEARNESS)


def _fast_pairs(bias: Tensor) -> Tensor:
    """The quarter of the channels whose rotary angle grows fastest, of columns and of rows: a view (2, C / 8)."""
    return bias.view(2, -1)[:, : bias.numel() // 8]
