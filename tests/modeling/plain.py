"""Plain implementations of the network's optimised parts, as in the papers: slow and easy to verify."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Network = Any
"""A part of the network, of which only its parameters and their names are read."""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(…, Lq, c), (…, Lk, c), (…, Lk, d) -> (…, Lq, d)."""
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1) @ v


def turned(x: Tensor, side: int, stride: int = 1) -> Tensor:
    """Rotary position embedding of maps (N, n * side * side, C): pairs of channels are rotated as complex numbers."""
    pairs = torch.view_as_complex(x.unflatten(2, (-1, 2)).contiguous())
    half = pairs.shape[2] // 2
    out = pairs.clone()
    for cell in range(x.shape[1]):
        row, column = (index * stride + (stride - 1) / 2 for index in divmod(cell % (side * side), side))
        for pair in range(2 * half):
            angle = (column if pair < half else row) * 10000.0 ** (-(pair % half) / half)
            out[:, cell, pair] *= complex(math.cos(angle), math.sin(angle))
    return torch.view_as_real(out).flatten(2)


def rotary_attention(
    layer: Network, x: Tensor, keys: Tensor, values: Tensor, side: int, plain: int, stride: int = 1
) -> Tensor:
    """Attention with rotary embedding after the projection; the last ``plain`` keys have no position.

    Each of the other keys stands for stride x stride equal keys.
    """
    project = {name: getattr(layer, f"{name}_proj") for name in ("q", "k", "v", "out")}
    q, k, v = (
        F.linear(y, project[name].weight, project[name].bias) for name, y in (("q", x), ("k", keys), ("v", values))
    )
    count = k.shape[1] - plain
    cells = turned(k[:, :count], side // stride, stride)
    k = torch.cat((cells.repeat_interleave(stride**2, dim=1), k[:, count:]), dim=1)
    v = torch.cat((v[:, :count].repeat_interleave(stride**2, dim=1), v[:, count:]), dim=1)
    found = attention(turned(q, side), k, v)
    return F.linear(found, project["out"].weight, project["out"].bias)


def memory_attention(
    model: Network,
    x: Tensor,
    x_pe: Tensor,
    memory: Tensor,
    memory_pe: Tensor,
    num_pointer_tokens: int,
    stride: int = 1,
    key_weights: Tensor | None = None,
) -> Tensor:
    side = math.isqrt(x.shape[1])
    x = x + 0.1 * x_pe
    keys = memory + memory_pe
    if key_weights is not None:
        keys = keys * key_weights[..., None]
    for layer in model.layers:
        y = layer.norm1(x)
        x = x + rotary_attention(layer.self_attn, y, y, y, side, 0)
        x = x + rotary_attention(layer.cross_attn_image, layer.norm2(x), keys, memory, side, num_pointer_tokens, stride)
        hidden = F.linear(layer.norm3(x), layer.linear1.weight, layer.linear1.bias).relu()
        x = x + F.linear(hidden, layer.linear2.weight, layer.linear2.bias)
    normed: Tensor = model.norm(x)
    return normed


def memory_attention_of_tracker(model: Network, are_pooled: bool, **parts: Any) -> Tensor:
    """Has the signature of the network's function."""
    return memory_attention(model, **parts, stride=2 if are_pooled else 1)


def hiera_block(block: Network, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H', W', C'), one window at a time; cells outside of the picture are zeros."""
    _, height, width, _ = x.shape
    attn, normed = block.attn, block.norm1(x)
    shortcut = x if not block.is_stage_start else pooled(F.linear(normed, block.proj.weight, block.proj.bias))
    window = block.window_size or height
    step = window // 2 if block.is_stage_start else window
    attended = torch.zeros_like(shortcut)
    for top in range(0, height, window):
        for left in range(0, width, window):
            part = normed[:, top : top + window, left : left + window]
            part = F.pad(part, (0, 0, 0, window - part.shape[2], 0, window - part.shape[1]))
            q, k, v = F.linear(part, attn.qkv.weight, attn.qkv.bias).chunk(3, dim=-1)
            q = pooled(q) if block.is_stage_start else q
            heads = [
                attention(*(y.flatten(1, 2)[..., head] for y in (q, k, v))).unflatten(1, (step, step))
                for head in torch.arange(q.shape[-1]).view(attn.num_heads, -1)
            ]
            found = F.linear(torch.cat(heads, dim=-1), attn.proj.weight, attn.proj.bias)
            y, x0 = (top, left) if not block.is_stage_start else (top // 2, left // 2)
            room = attended[:, y : y + step, x0 : x0 + step]
            room.copy_(found[:, : room.shape[1], : room.shape[2]])
    x = shortcut + attended
    first, second = block.mlp.layers
    hidden = F.gelu(F.linear(block.norm2(x), first.weight, first.bias))
    result: Tensor = x + F.linear(hidden, second.weight, second.bias)
    return result


def pooled(x: Tensor) -> Tensor:
    """The maximum of every 2 x 2 cells of (B, H, W, C)."""
    found: Tensor = x.unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).amax((2, 4))
    return found


def trunk_positions(trunk: Network, height: int, width: int) -> Tensor:
    """(1, C, height, width)."""
    window = trunk.pos_embed_window
    background = F.interpolate(trunk.pos_embed, size=(height, width), mode="bicubic")
    tiled: Tensor = window.tile(1, 1, height // window.shape[2], width // window.shape[3])
    return background + tiled
