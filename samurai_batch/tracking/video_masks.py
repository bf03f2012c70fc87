"""From the tracker's logits on the S / 4 grid to masks in pixels of the video, and to their run lengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.prompts import Rle
from samurai_batch.rle import encode_mask, rle_from_changes
from samurai_batch.tracking.run_lengths import (
    CHANGES_PER_COLUMN,
    MAX_NODES,
    Changes,
    Resizing,
    can_resize,
    find_changes,
    find_changes_of_one,
    make_resizing,
    positions_of,
)

FILLED_LOGIT = 0.1  # just inside, as in SAM 2's release
MAX_AREA_ON_DEVICE = 64
"""Holes larger than this are filled on the host: on a device, each cell of the area takes two kernels more."""
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def to_video_masks(low_res_logits: Tensor, height: int, width: int, fill_hole_area: int) -> NDArray[np.bool_]:
    """Logits (N, S / 4, S / 4) -> bool masks (N, height, width): bilinear, then > 0.

    fill_hole_area: holes of at most so many cells of the S / 4 grid are filled first; 0 leaves all. Copying the logits
    to the CPU waits for the device. `MaskEncoder` makes the run lengths of the same masks without their pixels.
    """
    low_res_logits = low_res_logits.cpu()
    if fill_hole_area > 0:
        low_res_logits = torch.stack([fill_holes(logits, fill_hole_area) for logits in low_res_logits])
    masks: NDArray[np.bool_] = (resize_logits(low_res_logits[:, None], height, width)[:, 0] > 0).numpy()
    return masks


def fill_holes(logits: Tensor, max_area: int) -> Tensor:
    """Raise background parts (8-connected) of at most ``max_area`` cells in (h, w) logits to just above 0."""
    background = (logits <= 0).numpy()
    labels, count = ndimage.label(background, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return logits
    area = np.bincount(labels.ravel())
    area[0] = max_area + 1  # label 0 is the foreground
    is_hole = area <= max_area
    if not is_hole.any():
        return logits
    return torch.where(torch.from_numpy(is_hole[labels]), FILLED_LOGIT, logits)


def fill_holes_on_device(logits: Tensor, max_area: int) -> Tensor:
    """`fill_holes` of logits (N, h, w) on any device, by a fixed number of kernels.

    Each background cell takes the highest number in its neighbourhood, ``max_area - 1`` times. In a part of at most
    ``max_area`` cells, all then have the number of one of them. In a larger part, either all have and the area says
    so, or every group of one number touches another group, which is counted as more than any hole.
    """
    h, w = logits.shape[1:]
    assert h * w < 2**24, (h, w)  # cell numbers are kept in float32, which max_pool2d takes
    is_background = logits <= 0
    background = is_background.float()
    cells = torch.arange(1, h * w + 1, device=logits.device, dtype=torch.float32).view(h, w)
    numbers = background * cells
    for _ in range(max_area - 1):
        numbers = _max_around(numbers).mul_(background)
    reversed_numbers = (2**24 - numbers).mul_(background)
    is_open = (_max_around(numbers) != numbers) | (_max_around(reversed_numbers) != reversed_numbers)
    groups = torch.where(is_background, numbers, cells).long().flatten(1).sub_(1)
    weights = is_open.flatten(1).to(torch.int32).mul_(max_area).add_(1)
    areas = torch.zeros_like(weights).scatter_add_(1, groups, weights)
    is_hole = (areas.gather(1, groups).view_as(logits) <= max_area).logical_and_(is_background)
    return logits.masked_fill(is_hole, FILLED_LOGIT)


def _max_around(numbers: Tensor) -> Tensor:
    """The maximum of each cell of (N, h, w) and its eight neighbours."""
    return F.max_pool2d(numbers[:, None], kernel_size=3, stride=1, padding=1)[:, 0]


class Download:
    """A tensor's copy on its way to the host. Waiting for it does not wait for what the device is given later."""

    def __init__(self, tensor: Tensor) -> None:
        self._event = torch.cuda.Event(blocking=True) if tensor.is_cuda else None
        self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        self._host.copy_(tensor, non_blocking=True)
        if self._event is not None:
            self._event.record()

    def wait(self) -> Tensor:
        """The copy, as soon as it is there."""
        if self._event is not None:
            self._event.synchronize()
        return self._host

    def after_another(self) -> Tensor:
        """The copy, where a download that was started after it has been waited for."""
        return self._host


@dataclass(frozen=True)
class PendingMasks:
    """Masks of N tracks on one frame, whose run lengths are being made; `MaskEncoder.start` begins.

    ``changes`` are groups of masks, in order, as a device found them; none of them leaves all the work to the CPU.
    ``is_enqueued`` is the event after which the device has the logits.
    """

    logits: Tensor
    height: int
    width: int
    fill_hole_area: int
    changes: tuple[tuple[Changes, Download], ...] = ()
    is_enqueued: torch.cuda.Event | None = None

    def rles(self) -> list[Rle | None]:
        """The run lengths, None for an empty mask; waits until the device has found the changes."""
        found = [p for changes, download in self.changes for p in positions_of(changes, download.wait().numpy())]
        found = found or [None] * len(self.logits)
        left = iter(self._on_host([index for index, positions in enumerate(found) if positions is None]))
        size = (self.height, self.width)
        return [self._encode(next(left)) if one is None else rle_from_changes(one, *size) for one in found]

    def _on_host(self, indices: Sequence[int]) -> list[Tensor]:
        """Logits of some masks on the CPU; what the device has been given since does not delay them."""
        if not indices or self.is_enqueued is None:
            return [self.logits[index].cpu() for index in indices]
        stream = torch.cuda.Stream(self.logits.device)
        stream.wait_event(self.is_enqueued)
        with torch.cuda.stream(stream):
            return [self.logits[index].cpu() for index in indices]

    def _encode(self, logits: Tensor) -> Rle | None:
        """One mask of logits (h, w) on the CPU: by its changes, or by its pixels where those are unsure."""
        size = (self.height, self.width)
        if self.fill_hole_area > 0:
            logits = fill_holes(logits, self.fill_hole_area)
        if can_resize(logits.shape, self.height):
            changes = find_changes_of_one(logits, make_resizing(*logits.shape, *size, logits.dtype))
            (positions,) = positions_of(changes, changes.numbers.numpy())
            if positions is not None:
                return rle_from_changes(positions, *size)
        return encode_mask(to_video_masks(logits[None], *size, fill_hole_area=0)[0])


class MaskEncoder:
    """Makes the run lengths of the masks that `to_video_masks` defines; those of a GPU's logits on the GPU.

    Keeps the tables for resizing on the device; one encoder serves a chunk or a video.
    """

    def __init__(self, fill_hole_area: int) -> None:
        self.fill_hole_area = fill_hole_area
        self._tables: dict[tuple[object, ...], Resizing] = {}

    def start(self, logits: Tensor, height: int, width: int) -> PendingMasks:
        """Begin with logits (N, S / 4, S / 4) for masks (height, width); `PendingMasks.rles` gives them, in any thread.

        On a GPU this enqueues all of the work and the copy to the host, and waits for nothing. The CPU works in `rles`.
        """
        if not logits.is_cuda:
            return PendingMasks(logits, height, width, self.fill_hole_area)
        is_enqueued = torch.cuda.Event()
        is_enqueued.record()
        changes = tuple((one, Download(one.numbers)) for one in self._changes(logits, height, width))
        return PendingMasks(logits, height, width, self.fill_hole_area, changes, is_enqueued)

    def _changes(self, logits: Tensor, height: int, width: int) -> Iterator[Changes]:
        """Changes of all masks, by groups that bound the memory this takes; none for what is left to the CPU."""
        if self.fill_hole_area > MAX_AREA_ON_DEVICE or not can_resize(logits.shape[1:], height):
            return
        if self.fill_hole_area > 0:
            logits = fill_holes_on_device(logits, self.fill_hole_area)
        size = (*logits.shape[1:], height, width, logits.dtype)
        key = (*size, logits.device)
        if key not in self._tables:
            self._tables[key] = make_resizing(*size).on(logits.device)
        for group in logits.split(max(1, MAX_NODES // (width * logits.shape[1]))):
            yield find_changes(group, self._tables[key], len(group) * width * CHANGES_PER_COLUMN)
