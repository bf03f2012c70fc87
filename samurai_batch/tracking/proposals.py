"""The candidate masks of all tracks on one frame, and the only synchronisation of host and device in a step.

Proposals are tensors on the device. The host chooses a candidate for each track by a few numbers: `read` copies those
of all tracks to the host at once, the only time that a step waits for the device; `take` sends the choices back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from samurai_batch.modeling.pixels import upload
from samurai_batch.tasks import Box
from samurai_batch.tracking.video_masks import Download


@dataclass(frozen=True)
class Proposals:
    """M candidates for each of N tracks; ``tracks`` are the indices of these tracks in the step's inputs.

    low_res (N, M, S / 4, S / 4): logits, float32 at least; ious (N, M); tokens (N, M, C); object_score (N,);
    is_present (N,) bool; boxes_xyxy (N, M, 4) in pixels of the S x S image, None if the motion model is not used.
    """

    tracks: list[int]
    low_res: Tensor
    ious: Tensor
    tokens: Tensor
    object_score: Tensor
    is_present: Tensor
    boxes_xyxy: Tensor | None = None


@dataclass(frozen=True)
class Facts:
    """The numbers of one track's candidates on the host; ``boxes_xyxy`` is empty if the motion model is not used."""

    ious: tuple[float, ...]
    object_score: float
    boxes_xyxy: tuple[Box, ...]


@dataclass(frozen=True)
class Chosen:
    """The chosen candidate of every track, in the order of the step's inputs.

    low_res (N, S / 4, S / 4), token (N, C), is_present (N,), object_score (N,).
    """

    low_res: Tensor
    token: Tensor
    is_present: Tensor
    object_score: Tensor


def read(proposals: Sequence[Proposals], before_wait: Callable[[], None]) -> dict[int, Facts]:
    """The facts of every track, by its index in the step's inputs; ``before_wait`` as in `wait_for`."""
    tensors: list[Tensor] = []
    for one in proposals:
        tensors += [one.ious, one.object_score] + ([] if one.boxes_xyxy is None else [one.boxes_xyxy])
    numbers = iter(wait_for(torch.cat([tensor.flatten().double() for tensor in tensors]), before_wait))
    facts: dict[int, Facts] = {}
    for one in proposals:
        num_tracks, num_masks = one.ious.shape
        num_boxes = 0 if one.boxes_xyxy is None else num_masks
        ious = [tuple(islice(numbers, num_masks)) for _ in range(num_tracks)]
        scores = list(islice(numbers, num_tracks))
        for track, iou, score in zip(one.tracks, ious, scores, strict=True):
            facts[track] = Facts(iou, score, tuple(_next_box(numbers) for _ in range(num_boxes)))
    return facts


def wait_for(numbers: Tensor, before_wait: Callable[[], None]) -> list[float]:
    """Copy numbers (n,) to the host, which waits for the device.

    On a GPU ``before_wait`` is called before that, once: what it enqueues is not waited for.
    """
    if not numbers.is_cuda:
        return list(numbers.tolist())
    download = Download(numbers)
    before_wait()
    return list(download.wait().tolist())


def take(proposals: Sequence[Proposals], best: Sequence[int]) -> Chosen:
    """The candidate ``best[track]`` of every track, in the order of the step's inputs."""
    device = proposals[0].ious.device
    rows = [track for one in proposals for track in one.tracks]
    indices = [best[track] for track in rows] + sorted(range(len(rows)), key=rows.__getitem__)
    choice, order = upload(torch.tensor(indices), device).split(len(rows))
    parts: list[tuple[Tensor, ...]] = []
    for one, index in zip(proposals, choice.split([len(one.tracks) for one in proposals]), strict=True):
        row = torch.arange(len(index), device=device)
        parts.append((one.low_res[row, index], one.tokens[row, index], one.is_present, one.object_score))
    return Chosen(*(torch.cat(part)[order] for part in zip(*parts, strict=True)))


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes xyxy (N, M, 4) of masks (N, M, H, W) bool, from first to last pixel; (0, 0, 0, 0) for an empty mask."""
    extents = []
    for axis in (-2, -1):  # columns, then rows
        line = masks.any(axis).to(torch.uint8)
        last = line.shape[-1] - 1
        extents += [line.argmax(-1), last - line.flip(-1).argmax(-1)]
    left, right, top, bottom = extents
    return torch.stack((left, top, right, bottom), dim=-1) * masks.flatten(2).any(-1)[..., None]


def _next_box(numbers: Iterator[float]) -> Box:
    x1, y1, x2, y2 = islice(numbers, 4)
    return x1, y1, x2, y2
