"""The weights that training starts from: an initialisation that shortens training, and warm-ups without images.

The initialisation differs from SAM 2's in four ways, which save hundreds of steps: image features start small, so that
they do not hide prompts and positions; the position embedding starts as smooth waves instead of noise; where prompts
and image attend to each other, queries and keys start with the same projection, so that tokens attend to what is near
them; and memory attention starts by attending to the same place in each memory.

The warm-ups train the decoder on prompts, and later the memory modules on masks, with ellipses on empty images. Trained
on images from the start, the decoder ignores the prompt and segments every object for hundreds of steps, and tracking
does not start. Without images a hundred steps are enough for each.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.hiera import Hiera
from samurai_batch.modeling.image_encoder import FpnNeck
from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, POSITIVE
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.redaction import get_logger
from samurai_batch.training.losses import LossWeights, frame_loss
from samurai_batch.training.optimizer import Optimizers
from samurai_batch.training.rollout import CONDITIONING_RANK, encode_frames
from samurai_batch.training.state import copied

logger = get_logger(__name__)

_FEATURE_SCALE = 0.15
_WAVE_AMPLITUDE = 0.5
_QUERY_SCALE = 2.0
_LOCALITY_BIAS = 1.5
_SIZE, _OBJECTS = 128, 32
_WEIGHTS = LossWeights(focal=0.0, balanced=2.0)


def initial_weights(config: Sam2Config, seed: int) -> dict[str, Tensor]:
    """Untrained parameters, float32, drawn by ``seed``."""
    torch.manual_seed(seed)
    model = SAM2(config).float()
    trunk, neck = model.image_encoder.trunk, model.image_encoder.neck
    assert isinstance(trunk, Hiera)
    assert isinstance(neck, FpnNeck)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                nn.init.trunc_normal_(parameter, std=0.02)
        for lateral in neck.convs:
            for parameter in lateral.parameters():
                parameter.mul_(_FEATURE_SCALE)
        _draw_waves(trunk.pos_embed)
        for name, module in model.sam_mask_decoder.transformer.named_modules():
            if name.endswith(("token_to_image", "image_to_token")):
                _share_projection(module)
    weights = copied(model.state_dict())
    attend_nearby(weights)
    return weights


def _draw_waves(embedding: Tensor) -> None:
    """Fill an embedding (1, C, side, side) with plane waves of random direction, up to one period across."""
    _, channels, side, _ = embedding.shape
    axis = torch.linspace(-1, 1, side)
    direction, phase = torch.randn(channels, 2) * math.pi / 2, torch.rand(channels) * 2 * math.pi
    angle = direction[:, 0, None, None] * axis[:, None] + direction[:, 1, None, None] * axis + phase[:, None, None]
    embedding.copy_(_WAVE_AMPLITUDE * angle.sin()[None])


def _share_projection(attention: nn.Module) -> None:
    queries, keys = attention.q_proj, attention.k_proj
    assert isinstance(queries, nn.Linear)
    assert isinstance(keys, nn.Linear)
    queries.weight.mul_(_QUERY_SCALE)
    keys.weight.copy_(queries.weight)
    keys.bias.copy_(queries.bias)


def attend_nearby(weights: dict[str, Tensor]) -> None:
    """Make memory attention attend to the same place in each memory, within about two cells, in place.

    A constant added to queries and keys becomes, by rotary position encoding, a score that falls with their distance.
    Tracking starts only once this attention is local, which takes long to learn from random weights.
    """
    for name, bias in weights.items():
        if name.endswith(("cross_attn_image.q_proj.bias", "cross_attn_image.k_proj.bias")):
            # The quarter of the channels with the highest rotary frequencies, of columns and of rows: (2, C / 8).
            bias.view(2, -1)[:, : bias.numel() // 8].fill_(_LOCALITY_BIAS)


def warm_up_decoder(
    config: Sam2Config, weights: dict[str, Tensor], seed: int, steps: int = 300, rate: float = 3e-3
) -> dict[str, Tensor]:
    """Weights whose decoder was trained to segment an ellipse from its box, its mask or a click on its centre."""
    model = SAM2(config, _SIZE).float()
    model.load_state_dict(weights)
    optimizers = Optimizers(model, rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        centre = torch.rand(_OBJECTS, 2, generator=generator) * 80 + 24
        radius = torch.rand(_OBJECTS, 2, generator=generator) * 28 + 6
        mask = _ellipses(centre, radius)
        kind = ("box", "mask", "box", "click")[step % 4]
        with sdpa_kernel(SDPBackend.MATH):
            iou = _learn(model, _decode(model, kind, centre, radius, mask), mask, prompted=True)
        optimizers.step(min((step + 1) / 10, 1.0))
        if step % 20 < 4:
            logger.info("warm-up step %d %s: IoU %.3f", step, kind, iou)
    return copied(model.state_dict())


def _learn(model: SAM2, candidates: Candidates, mask: Tensor, prompted: bool) -> float:
    """Set the clipped gradients of the loss against masks (N, 1, S, S) of visible objects; returns the mean IoU."""
    target, present = F.avg_pool2d(mask, 4)[:, 0], torch.ones(len(mask), dtype=torch.bool)
    loss = frame_loss(candidates, target, present, prompted, _WEIGHTS)
    torch.autograd.backward(loss.total)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return loss.iou.item()


def _ellipses(centre: Tensor, radius: Tensor) -> Tensor:
    """Masks (N, 1, S, S) float32, 0 or 1, of upright ellipses; centre and radius (N, 2) are x, y in pixels."""
    axis = torch.arange(_SIZE) + 0.5
    x = (axis - centre[:, :1]) / radius[:, :1]
    y = (axis - centre[:, 1:]) / radius[:, 1:]
    return (x[:, None, None, :] ** 2 + y[:, None, :, None] ** 2 < 1).float()


def _decode(model: SAM2, kind: str, centre: Tensor, radius: Tensor, mask: Tensor) -> Candidates:
    image, high_res, count = *_empty_features(model, len(centre)), len(centre)
    if kind == "mask":
        return model.decode(image, high_res, mask_logits=model.mask_downsample(mask))
    if kind == "click":
        return model.decode(image, high_res, centre[:, None], torch.full((count, 1), POSITIVE))
    corners = torch.stack([centre - radius, centre + radius], dim=1)
    labels = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]]).expand(count, -1)
    return model.decode(image, high_res, corners, labels)


def _empty_features(model: SAM2, count: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The features of empty images, all 0: at stride 16, and at strides 4 and 8."""
    dim, side = model.config.hidden_dim, _SIZE // 16
    fine, middle = torch.zeros(count, dim // 8, side * 4, side * 4), torch.zeros(count, dim // 4, side * 2, side * 2)
    return torch.zeros(count, dim, side, side), (fine, middle)


def warm_up_memory(
    config: Sam2Config, weights: dict[str, Tensor], frames: Tensor, seed: int, steps: int = 100
) -> dict[str, Tensor]:
    """Weights whose memory modules are scaled to the encoder's features and trained on ellipses.

    ``frames`` (B, S, S, 3) uint8 RGB are images like those of the next stage. To be called between the stages of single
    images, which leave the memory modules untrained, and the stages of clips.
    """
    model = SAM2(config, frames.shape[1]).float()
    model.load_state_dict(weights)
    with torch.no_grad():
        scale_memory(model, encode_frames(model, frames))
    return train_memory_on_ellipses(config, copied(model.state_dict()), seed, steps)


def scale_memory(model: SAM2, features: FrameFeatures) -> None:
    """Scale the memory encoder and the object pointers, in place, to about unit deviation, half by image, half by mask.

    Features (`encode_frames`) grow in the stages of single images, to deviations of five and more. A memory made of
    them would hardly depend on the mask, and its keys would be so long that attention saturates and passes no gradient.
    """
    encoder, image = model.memory_encoder, features.image
    count, size = len(image), model.image_size
    half = torch.zeros(count, 1, size, size)
    half[..., : size // 2] = 1
    shown = torch.zeros(count, dtype=torch.bool)
    _rescale(encoder.pix_feat_proj, 0.5 / encoder.pix_feat_proj(image).std())
    _rescale(encoder.mask_downsampler.encoder[-1], 0.5 / encoder.mask_downsampler(half * 20 - 10).std())
    _rescale(encoder.out_proj, 0.8 / model.encode_memory(image, half, shown).std())
    tokens = model.decode(model.without_memory(features), features.high_res).tokens[:, 0]
    _rescale(model.obj_ptr_proj.layers[-1], 0.5 / model.object_pointer(tokens, ~shown).std())


def _rescale(layer: nn.Module, factor: Tensor) -> None:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert layer.bias is not None
    layer.weight.mul_(factor)
    layer.bias.mul_(factor)


def train_memory_on_ellipses(
    config: Sam2Config, weights: dict[str, Tensor], seed: int, steps: int = 200, rate: float = 2e-3
) -> dict[str, Tensor]:
    """Weights trained to segment an ellipse from the memory of its mask, after it moved a little.

    Only the memory modules are trained: the decoder would forget what it learned from images.
    """
    model = SAM2(config, _SIZE).float()
    model.load_state_dict(weights)
    model.image_encoder.requires_grad_(False)
    model.sam_prompt_encoder.requires_grad_(False)
    model.sam_mask_decoder.requires_grad_(False)
    optimizers = Optimizers(model, rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        centre = torch.rand(_OBJECTS, 2, generator=generator) * 80 + 24
        radius = torch.rand(_OBJECTS, 2, generator=generator) * 24 + 8
        moved = centre + torch.randn(_OBJECTS, 2, generator=generator) * 2
        with sdpa_kernel(SDPBackend.MATH):
            candidates = _recall(model, _ellipses(centre, radius), num_memories=1 + step % 3)
            iou = _learn(model, candidates, _ellipses(moved, radius), prompted=False)
        optimizers.step(min((step + 1) / 10, 1.0, (steps - step) / 50))
        if step % 20 == 0:
            logger.info("memory warm-up step %d: IoU %.3f", step, iou)
    return copied(model.state_dict())


def _recall(model: SAM2, mask: Tensor, num_memories: int) -> Candidates:
    """Candidates on an empty image with memories, of one conditioning frame and recent ones, that hold ``mask``."""
    image, high_res, count = *_empty_features(model, len(mask)), len(mask)
    decoded = model.decode(image, high_res, mask_logits=model.mask_downsample(mask))
    pointer = model.object_pointer(decoded.tokens[:, 0], torch.ones(count, dtype=torch.bool))
    spatial = model.encode_memory(image, mask, torch.zeros(count, dtype=torch.bool))
    ranks = torch.tensor([CONDITIONING_RANK, *range(num_memories - 1)])
    times = torch.arange(num_memories, 0, -1) / 15
    attended = model.attend_to_memory(
        image,
        spatial[:, None].expand(-1, num_memories, -1, -1, -1),
        ranks.expand(count, -1),
        pointer[:, None].expand(-1, num_memories, -1),
        times.expand(count, -1),
    )
    return model.decode(attended, high_res)
