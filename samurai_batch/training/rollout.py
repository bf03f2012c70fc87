"""Propagates the objects of a batch through its clips, as the tracker does, with gradients.

The memory bank is SAM 2's: the prompted frame and the last six frames, with object pointers of all frames. Training
differs from tracking in two ways: memory may hold the true mask instead of the predicted one (teacher forcing), and
memories are dropped at random, which simulates SAMURAI's memory selection and longer gaps.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.training.batches import Batch

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONDITIONING_RANK = 6  # row of maskmem_tpos_enc
_RECENT_MEMORIES = 6
_LONGEST_SPAN = 15  # frames; pointer times are shares of it, as in a clip of at least 16 frames


@dataclass(frozen=True)
class MemorySampling:
    """Probabilities: that memory holds the true mask of a frame, and that an older memory is dropped."""

    teacher_forcing: float
    dropout: float


@dataclass(frozen=True)
class _Memory:
    spatial: Tensor  # (N, mem_dim, h, w)
    pointer: Tensor  # (N, C)


def normalised(frames: Tensor) -> Tensor:
    """Frames (..., S, S, 3) uint8 RGB -> (..., 3, S, S) float32, normalised by ImageNet mean and deviation."""
    mean, deviation = (torch.tensor(values, device=frames.device) for values in (_MEAN, _DEVIATION))
    pixels = (frames.float() / 255 - mean) / deviation
    return pixels.movedim(-1, -3).contiguous()


def encode_frames(model: SAM2, frames: Tensor) -> FrameFeatures:
    """Features, float32, of frames (B, S, S, 3) uint8 RGB in one call.

    The encoder runs in bfloat16 on devices with bfloat16 instructions; emulated, it takes three times as long.
    """
    device = frames.device.type
    native = device != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"
    with torch.autocast(device, dtype=torch.bfloat16, enabled=native):
        features = model.encode_image(normalised(frames))
    fine, middle = features.high_res
    return FrameFeatures(features.image.float(), (fine.float(), middle.float()))


def encode_batch(model: SAM2, batch: Batch) -> FrameFeatures:
    """Features of all frames of a batch, (T · B, ...), ordered by frame, then by clip."""
    return encode_frames(model, batch.frames.transpose(0, 1).flatten(0, 1))


def propagate(
    model: SAM2, batch: Batch, features: FrameFeatures, sampling: MemorySampling, generator: torch.Generator
) -> list[Candidates]:
    """The candidate masks of all N objects on each of T frames; frame 0 is prompted.

    ``features`` are those of `encode_batch`.
    """
    num_clips, num_frames = batch.frames.shape[:2]
    results, bank = [], list[_Memory]()
    for time in range(num_frames):
        rows = time * num_clips + batch.owner
        seen = FrameFeatures(features.image[rows], (features.high_res[0][rows], features.high_res[1][rows]))
        candidates = _decode(model, batch, seen, bank, sampling, generator)
        results.append(candidates)
        if time + 1 < num_frames:
            truth = batch.masks[:, time] if torch.rand((), generator=generator) < sampling.teacher_forcing else None
            bank.append(_remember(model, seen, candidates, truth, prompted=time == 0))
    return results


def segment_every_frame(
    model: SAM2, batch: Batch, features: FrameFeatures, min_share: float, generator: torch.Generator
) -> tuple[Candidates, Tensor]:
    """Segment every object on every frame where it is visible, from its jittered box there, without memory.

    Returns the candidates and the true masks (K, S, S) bool. The frames are encoded anyway, so this trains box prompts
    on more frames at a small cost.
    """
    num_clips, shown = len(batch.frames), batch.masks.flatten(2).float().mean(2) >= min_share
    objects, times = shown.nonzero(as_tuple=True)
    masks, rows = batch.masks[objects, times], times * num_clips + batch.owner[objects]
    corners = _corners(masks)
    extent = corners[:, 1:] - corners[:, :1]
    corners = corners + 0.03 * extent * torch.randn(corners.shape, generator=generator).to(corners.device)
    seen = FrameFeatures(features.image[rows], (features.high_res[0][rows], features.high_res[1][rows]))
    labels = torch.tensor([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], device=rows.device).expand(len(rows), -1)
    return model.decode(model.without_memory(seen), seen.high_res, corners, labels), masks


def _corners(masks: Tensor) -> Tensor:
    """The box corners (K, 2, 2) float32, x before y, in pixels, of non-empty masks (K, S, S) bool."""
    ends = []
    for axis in (1, 2):  # over rows, for the range of columns; then over columns
        touched = masks.any(axis).int()
        ends.append(torch.stack([touched.argmax(1), touched.shape[1] - touched.flip(1).argmax(1)], dim=1))
    return torch.stack(ends, dim=2).float()


def _decode(
    model: SAM2,
    batch: Batch,
    seen: FrameFeatures,
    bank: list[_Memory],
    sampling: MemorySampling,
    generator: torch.Generator,
) -> Candidates:
    if bank:
        return model.decode(_recall(model, seen.image, bank, sampling.dropout, generator), seen.high_res)
    if batch.kind == "mask":
        hint = model.mask_downsample(batch.masks[:, :1].float())
        return model.decode(seen.image, seen.high_res, mask_logits=hint)
    return model.decode(model.without_memory(seen), seen.high_res, batch.points, batch.labels)


def _recall(model: SAM2, image: Tensor, bank: list[_Memory], dropout: float, generator: torch.Generator) -> Tensor:
    """Memory attention over the prompted frame, the newest memory and the older ones that are not dropped."""
    kept = torch.rand(len(bank), generator=generator) >= dropout
    kept[-1] = True
    recent = [age for age in range(len(bank) - 1, 0, -1) if kept[age]][:_RECENT_MEMORIES]
    ranks = torch.tensor([CONDITIONING_RANK, *range(len(recent))], device=image.device)
    spatial = torch.stack([bank[age].spatial for age in (0, *recent)], dim=1)
    known = [age for age in range(len(bank)) if age == 0 or kept[age]]
    times = torch.tensor([(len(bank) - age) / _LONGEST_SPAN for age in known], device=image.device)
    count = len(image)
    return model.attend_to_memory(
        image,
        spatial,
        ranks.expand(count, -1),
        torch.stack([bank[age].pointer for age in known], dim=1),
        times.expand(count, -1),
    )


def _remember(
    model: SAM2, seen: FrameFeatures, candidates: Candidates, truth: Tensor | None, prompted: bool
) -> _Memory:
    """The memory of a frame: of the chosen mask, or of ``truth`` (N, S, S) bool, with the chosen mask's pointer.

    Predictions are detached: through several frames their gradients grow until they dominate all others. The mask of a
    prompted frame is binarised first, as in tracking.
    """
    size = model.image_size
    every = torch.arange(len(candidates.logits), device=candidates.logits.device)
    chosen = torch.zeros_like(every) if prompted else 1 + candidates.ious[:, 1:].argmax(1)
    if truth is None:
        present = candidates.object_score[:, 0] > 0
        logits = candidates.logits[every, chosen][:, None].detach()
        mask = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)
        mask = (mask > 0).float() if prompted else mask.sigmoid()
        mask = mask * present[:, None, None, None]
    else:
        present = truth.flatten(1).any(1)
        mask = truth[:, None].float()
    return _Memory(
        spatial=model.encode_memory(seen.image, mask, ~present),
        pointer=model.object_pointer(candidates.tokens[every, chosen].detach(), present),
    )
