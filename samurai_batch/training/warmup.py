"""Two minutes in which the decoder learns what a prompt is, and memory what a mask is, on ellipses without any picture.

Pictures drown both: trained with them from the start, the decoder marks every object, whichever was asked for, for
hundreds of steps, and tracking does not begin. With nothing else to look at, each is learned in a hundred steps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, POSITIVE
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.redaction import get_logger
from samurai_batch.training.losses import LossWeights, frame_loss
from samurai_batch.training.optimizer import Optimizers
from samurai_batch.training.rollout import CONDITIONING_RANK, encode_frames

logger = get_logger(__name__)

_SIZE, _OBJECTS = 128, 32
_WEIGHTS = LossWeights(focal=0.0, balanced=2.0)


def warm_decoder(
    config: Sam2Config, weights: dict[str, Tensor], seed: int, steps: int = 300, rate: float = 3e-3
) -> dict[str, Tensor]:
    """Weights whose decoder finds an ellipse from its box, its mask, or a click in its centre."""
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
            candidates = _decode(model, kind, centre, radius, mask)
            target, present = F.avg_pool2d(mask, 4)[:, 0], torch.ones(_OBJECTS, dtype=torch.bool)
            loss = frame_loss(candidates, target, present, True, _WEIGHTS)
            torch.autograd.backward(loss.total)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(min((step + 1) / 10, 1.0))
        if step % 20 < 4:
            logger.info("warm-up step %d %s: IoU %.3f", step, kind, loss.iou.item())
    return _copied(model)


def _copied(model: SAM2) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _ellipses(centre: Tensor, radius: Tensor) -> Tensor:
    """Masks (N, 1, S, S) of upright ellipses; centre and radius (N, 2) are x, y in pixels."""
    axis = torch.arange(_SIZE) + 0.5
    x = (axis - centre[:, :1]) / radius[:, :1]
    y = (axis - centre[:, 1:]) / radius[:, 1:]
    return (x[:, None, None, :] ** 2 + y[:, None, :, None] ** 2 < 1).float()


def _decode(model: SAM2, kind: str, centre: Tensor, radius: Tensor, mask: Tensor) -> Candidates:
    dim, side, count = model.config.hidden_dim, _SIZE // 16, len(centre)
    image = torch.zeros(count, dim, side, side)
    fine = torch.zeros(count, dim // 8, side * 4, side * 4)
    middle = torch.zeros(count, dim // 4, side * 2, side * 2)
    if kind == "mask":
        return model.decode(image, (fine, middle), mask_logits=model.mask_downsample(mask))
    if kind == "click":
        return model.decode(image, (fine, middle), centre[:, None], torch.full((count, 1), POSITIVE))
    corners = torch.stack([centre - radius, centre + radius], dim=1)
    return model.decode(
        image, (fine, middle), corners, torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]]).expand(count, -1)
    )


def start_memory(
    config: Sam2Config, weights: dict[str, Tensor], frames: Tensor, seed: int, steps: int = 100
) -> dict[str, Tensor]:
    """Weights whose memory is ready for clips: scaled to this encoder's features, then warmed up.

    ``frames`` (B, S, S, 3) uint8 are pictures of the kind to come. To be called when the encoder has learned from
    pictures, and nothing of memory has.
    """
    model = SAM2(config, frames.shape[1]).float()
    model.load_state_dict(weights)
    with torch.no_grad():
        scale_memory(model, encode_frames(model, frames))
    return warm_memory(config, _copied(model), seed, steps)


def scale_memory(model: SAM2, features: FrameFeatures) -> None:
    """Bring what memory attention reads to about unit size, in place, and features and masks in it to like shares.

    Features grow while pictures are learned, to deviations of five and more. A memory made of them is all picture and
    no mask, and its keys so long that attention to it saturates, at the pointers: no gradient ever comes back.
    """
    encoder, image = model.memory_encoder, features.image
    count, size = len(image), model.image_size
    half = torch.zeros(count, 1, size, size)
    half[..., : size // 2] = 1
    shown = torch.zeros(count, dtype=torch.bool)
    _rescale(encoder.pix_feat_proj, 0.5 / encoder.pix_feat_proj(image).std())
    _rescale(encoder.mask_downsampler.encoder[-1], 0.5 / encoder.mask_downsampler(half * 20 - 10).std())
    _rescale(encoder.out_proj, 0.8 / model.encode_memory(image, half, shown).std())
    fine, middle = features.high_res
    tokens = model.decode(model.without_memory(features), (fine, middle)).tokens[:, 0]
    _rescale(model.obj_ptr_proj.layers[-1], 0.5 / model.object_pointer(tokens, ~shown).std())


def _rescale(layer: nn.Module, factor: Tensor) -> None:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert layer.bias is not None
    layer.weight.mul_(factor)
    layer.bias.mul_(factor)


def warm_memory(
    config: Sam2Config, weights: dict[str, Tensor], seed: int, steps: int = 200, rate: float = 2e-3
) -> dict[str, Tensor]:
    """Weights that find an ellipse again from the memory of its mask, after it moved a little.

    As with prompts: pictures drown the memory, and with nothing to look at the way from memory to mask is learned in
    a minute. Only what handles memories changes: the decoder would forget its pictures.
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
            target, present = F.avg_pool2d(_ellipses(moved, radius), 4)[:, 0], torch.ones(_OBJECTS, dtype=torch.bool)
            loss = frame_loss(candidates, target, present, False, _WEIGHTS)
            torch.autograd.backward(loss.total)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(min((step + 1) / 10, 1.0, (steps - step) / 50))
        if step % 20 == 0:
            logger.info("memory warm-up step %d: IoU %.3f", step, loss.iou.item())
    return _copied(model)


def _recall(model: SAM2, mask: Tensor, num_memories: int) -> Candidates:
    """Candidates on an empty picture whose memories, one conditioning frame and recent ones, hold ``mask``."""
    dim, side, count = model.config.hidden_dim, _SIZE // 16, len(mask)
    image = torch.zeros(count, dim, side, side)
    fine = torch.zeros(count, dim // 8, side * 4, side * 4)
    middle = torch.zeros(count, dim // 4, side * 2, side * 2)
    decoded = model.decode(image, (fine, middle), mask_logits=model.mask_downsample(mask))
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
    return model.decode(attended, (fine, middle))
