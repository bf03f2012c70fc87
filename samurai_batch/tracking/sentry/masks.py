"""The masks that SENTRY tests, in pixels of the video, and their boxes."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.networks import ImageFeatures, Sam2Network
from samurai_batch.images.predictor import EncodedImage, ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.modeling.pixels import upload
from samurai_batch.prompts import Box
from samurai_batch.rle import decode_mask
from samurai_batch.tracking.candidate_masks import CandidateMasks, Extent, extents_of, measure
from samurai_batch.tracking.rescue import Hosted, Scene
from samurai_batch.tracking.sentry.candidates import (
    good_masks,
    has_usual_area,
    relative,
    similar_masks,
    soft_nms,
)
from samurai_batch.tracking.sentry.gate import SentryNote, centre_of
from samurai_batch.tracking.sentry.position import Point
from samurai_batch.tracking.sentry.verification import Kind
from samurai_batch.tracking.settings import TrackerSettings

TEMPLATE, LAST_MASK = "sentry_template", "sentry_last_mask"
"""Tensors of the track state: appearance (C,) on the first frame, logits (S / 4, S / 4) of the last mask with a box."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask to be tested: pixels (height, width) bool of the video, and its box, which ends after its last pixel.

    low_res (S / 4, S / 4): its logits, if it is one of the decoder's; score: its rank among all kinds of masks.
    """

    kind: Kind
    pixels: Tensor
    box: Box
    low_res: Tensor | None = None
    score: float = 0.0
    similarity: float | None = None
    predicted_iou: float | None = None


def candidates_of(
    track: Hosted, scene: Scene, note: SentryNote, expected: Point | None, settings: TrackerSettings
) -> list[Candidate]:
    """The host's mask, if it has one, and all others that are worth a test, the moved one last."""
    good = good_masks(track.facts.ious, track.facts.object_score, settings)
    decoded = _with_boxes(track, scene, {track.index, *good})
    host = decoded.get(track.index)
    best_first = sorted((decoded[index] for index in good if index in decoded), key=lambda one: -one.score)
    seen = [one for one in best_first if has_usual_area(one.box, note.usual_area, settings)]
    if settings.sentry_everything:
        found = _everything(track, scene, settings)
        seen += [one for one in found if has_usual_area(one.box, note.usual_area, settings)]
    kept = soft_nms([one.box for one in seen], [one.score for one in seen], settings)
    moved = _moved(track, scene, note, expected)
    return [
        *([host] if host is not None else []),
        *(seen[index] for index in kept if seen[index].kind != "host"),
        *([moved] if moved is not None and has_usual_area(moved.box, note.usual_area, settings) else []),
    ]


def box_of(extent: Extent) -> Box | None:
    """The box of a mask, ending after its last pixel; None if it has no pixel."""
    if not extent.area_px:
        return None
    x1, y1, x2, y2 = extent.box_xyxy
    return x1, y1, x2 + 1, y2 + 1


def boxes_of(low_res: Tensor, height: int, width: int) -> list[Box | None]:
    """The boxes of masks by their logits (N, S / 4, S / 4); the host waits for a device once."""
    if low_res.device.type == "cpu":
        masks = CandidateMasks(lambda: low_res, height, width)
        return [box_of(masks.extent(index)) for index in range(len(low_res))]
    numbers = measure(low_res[:, None], height, width).flatten().tolist()
    return [box_of(extent) for extent in extents_of(numbers)]


def appearance(image: Tensor, masks: Tensor) -> Tensor:
    """The mean features (N, C) of masks (N, height, width) bool on a frame's features (1, C, h, w), scaled to length 1.

    A cell of the features counts by the share of it that the mask covers. Each mask has a pixel.
    """
    share = F.interpolate(masks[:, None].float(), size=image.shape[-2:], mode="area").flatten(1)
    mean = share @ image[0].flatten(1).T.float() / share.sum(1, keepdim=True)
    return F.normalize(mean, dim=1)


def video_masks(low_res: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits (N, S / 4, S / 4) -> masks (N, height, width) bool in pixels of the video."""
    return resize_logits(low_res[:, None], *size)[:, 0] > 0


def _with_boxes(track: Hosted, scene: Scene, indices: Iterable[int]) -> dict[int, Candidate]:
    """Of these masks of the decoder, by number, those that have a pixel in the video."""
    masks = track.facts.masks
    assert masks is not None
    scores = relative(track.facts.ious)
    found = {}
    for index in indices:
        if (box := box_of(masks.extent(index))) is not None:
            low_res = track.candidates[index]
            found[index] = Candidate(
                kind="host" if index == track.index else "decoder",
                pixels=video_masks(low_res[None], scene.video_size)[0],
                box=box,
                low_res=low_res,
                score=scores[index],
                predicted_iou=track.facts.ious[index],
            )
    return found


def _everything(track: Hosted, scene: Scene, settings: TrackerSettings) -> list[Candidate]:
    """The masks of everything mode that look like the object on the first frame, the most similar one first."""
    template = track.state.tensors.get(TEMPLATE)
    if template is None:
        return []
    image = scene.model.without_memory(scene.features)
    encoded = EncodedImage(ImageFeatures(image, scene.features.high_res), *scene.video_size)
    every = EverythingSettings(
        points_per_side=settings.sentry_points_per_side,
        pred_iou_thresh=settings.sentry_everything_min_iou,
        stability_score_thresh=settings.sentry_everything_min_stability,
    )
    # Of a picture that is encoded already, everything mode without crops reads the size alone.
    picture = np.broadcast_to(np.uint8(0), (*scene.video_size, 3))
    found = segment_everything(ImagePredictor(Sam2Network(scene.model)), picture, every, encoded)
    if not found:
        return []
    pixels = [upload(torch.from_numpy(decode_mask(one.mask)), image.device) for one in found]
    # One by one: at the video's size, all masks as numbers would take much memory.
    similarities = torch.cat([appearance(image, one[None]) @ template for one in pixels]).tolist()
    scores = relative(similarities)
    return [
        Candidate(
            kind="everything",
            pixels=pixels[index],
            box=found[index].box_xyxy,
            score=scores[index],
            similarity=similarities[index],
            predicted_iou=found[index].predicted_iou,
        )
        for index in similar_masks(similarities, settings)
    ]


def _moved(track: Hosted, scene: Scene, note: SentryNote, expected: Point | None) -> Candidate | None:
    """The last mask, moved to where the object is expected; None if no pixel of it is left in the frame."""
    last = track.state.tensors.get(LAST_MASK)
    if last is None or note.last_box is None or expected is None:
        return None
    x, y = centre_of(note.last_box)
    right, down = round(expected[0] - x), round(expected[1] - y)
    own = video_masks(last[None], scene.video_size)[0]
    pixels = torch.zeros_like(own)
    pixels[_onto(down), _onto(right)] = own[_onto(-down), _onto(-right)]
    box = mask_box_xyxy(pixels.cpu().numpy())
    return None if box is None else Candidate(kind="moved", pixels=pixels, box=box)


def _onto(shift: int) -> slice:
    """The pixels along an axis that come from elsewhere when all are moved by ``shift``."""
    return slice(shift, None) if shift >= 0 else slice(None, shift)
