"""The candidate masks of all tracks on one frame, and the only synchronisation of host and device in a step.

Proposals are tensors on the device. The host chooses a candidate for each track by a few numbers: `read` copies those
of all tracks to the host at once, the only time that a step waits for the device; `take` sends the choices back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from samurai_batch.modeling.pixels import upload
from samurai_batch.prompts import Box
from samurai_batch.tracking.candidate_masks import NUM_MEASURES, CandidateMasks, extents_of, measure
from samurai_batch.tracking.video_masks import Download


@dataclass(frozen=True)
class Proposals:
    """M candidates for each of N tracks; ``tracks`` are the indices of these tracks in the step's inputs.

    low_res (N, M, S / 4, S / 4): logits, float32 at least; ious (N, M); tokens (N, M, C); object_score (N,);
    is_present (N,) bool; boxes_xyxy (N, M, 4) in pixels of the S x S image, None if the rules do not need them;
    video_size: height and width in which rules read the candidates' masks, None if they do not.
    """

    tracks: list[int]
    low_res: Tensor
    ious: Tensor
    tokens: Tensor
    object_score: Tensor
    is_present: Tensor
    boxes_xyxy: Tensor | None = None
    video_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of one track's candidates on the host.

    ``boxes_xyxy`` in pixels of the S x S image and ``masks`` in pixels of the video are there on frames with several
    candidates, if the tracker's rules need them.
    """

    ious: tuple[float, ...]
    object_score: float
    boxes_xyxy: tuple[Box, ...] = ()
    masks: CandidateMasks | None = None


@dataclass(frozen=True)
class Chosen:
    """The chosen candidates, in the order in which they were picked.

    low_res (N, S / 4, S / 4), token (N, C), is_present (N,), object_score (N,).
    """

    low_res: Tensor
    token: Tensor
    is_present: Tensor
    object_score: Tensor


def read(proposals: Sequence[Proposals], before_wait: Callable[[], None]) -> dict[int, Facts]:
    """The facts of every track, by its index in the step's inputs; ``before_wait`` as in `wait_for`."""
    reads = [_Reading(one) for one in proposals]
    tensors = [tensor.flatten().double() for reading in reads for tensor in reading.tensors]
    numbers = iter(wait_for(torch.cat(tensors), before_wait))
    return {track: facts for reading in reads for track, facts in reading.facts(numbers)}


class _Reading:
    """What the host reads of some proposals: ``tensors`` go there together, and come back as an iterator of numbers."""

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self.tensors = [proposals.ious, proposals.object_score]
        low_res, size = proposals.low_res, proposals.video_size
        self._download = Download(low_res) if size and low_res.is_cuda else None
        self._is_measured = size is not None and low_res.device.type != "cpu"
        if proposals.boxes_xyxy is not None:
            self.tensors.append(proposals.boxes_xyxy)
        if size and self._is_measured:
            self.tensors.append(measure(low_res, *size))

    def facts(self, numbers: Iterator[float]) -> list[tuple[int, Facts]]:
        """Each track's index and facts."""
        tracks = self._proposals.tracks
        num_tracks, num_masks = self._proposals.ious.shape
        num_boxes = 0 if self._proposals.boxes_xyxy is None else num_masks
        ious = [tuple(islice(numbers, num_masks)) for _ in range(num_tracks)]
        scores = list(islice(numbers, num_tracks))
        boxes = [tuple(_next_box(numbers) for _ in range(num_boxes)) for _ in range(num_tracks)]
        masks = [self._masks(row, numbers) for row in range(num_tracks)]
        rows = zip(tracks, ious, scores, boxes, masks, strict=True)
        return [(track, Facts(iou, score, box, mask)) for track, iou, score, box, mask in rows]

    def _masks(self, row: int, numbers: Iterator[float]) -> CandidateMasks | None:
        size = self._proposals.video_size
        if size is None:
            return None
        num_measures = NUM_MEASURES * self._proposals.ious.shape[1] if self._is_measured else 0
        return CandidateMasks(partial(self._logits, row), *size, extents_of(list(islice(numbers, num_measures))))

    def _logits(self, row: int) -> Tensor:
        """On the host, which has waited for numbers that were enqueued after them."""
        return self._proposals.low_res[row] if self._download is None else self._download.after_another()[row]


def wait_for(numbers: Tensor, before_wait: Callable[[], None]) -> list[float]:
    """Copy numbers (n,) to the host, which waits for the device.

    On a GPU ``before_wait`` is called before that, once: what it enqueues is not waited for.
    """
    if not numbers.is_cuda:
        return list(numbers.tolist())
    download = Download(numbers)
    before_wait()
    return list(download.wait().tolist())


def take(proposals: Sequence[Proposals], picks: Sequence[tuple[int, int]]) -> Chosen:
    """The picked candidates: each the index of a track, as in ``tracks``, and that of one of its candidates."""
    device = proposals[0].ious.device
    places = {track: (number, row) for number, one in enumerate(proposals) for row, track in enumerate(one.tracks)}
    order = sorted(range(len(picks)), key=lambda pick: places[picks[pick][0]])
    rows = [places[picks[pick][0]][1] for pick in order]
    candidates = [picks[pick][1] for pick in order]
    back = sorted(range(len(order)), key=order.__getitem__)
    row, index, restore = upload(torch.tensor([rows, candidates, back]), device)
    counts = [sum(places[track][0] == number for track, _ in picks) for number in range(len(proposals))]
    parts = [
        (one.low_res[r, i], one.tokens[r, i], one.is_present[r], one.object_score[r])
        for one, r, i in zip(proposals, row.split(counts), index.split(counts), strict=True)
    ]
    return Chosen(*(torch.cat(part)[restore] for part in zip(*parts, strict=True)))


def candidates_of(proposals: Sequence[Proposals], track: int) -> Tensor:
    """The logits (M, S / 4, S / 4) of a track's candidates, by its index in the step's inputs."""
    (found,) = (one.low_res[one.tracks.index(track)] for one in proposals if track in one.tracks)
    return found


def _next_box(numbers: Iterator[float]) -> Box:
    x1, y1, x2, y2 = islice(numbers, 4)
    return x1, y1, x2, y2
