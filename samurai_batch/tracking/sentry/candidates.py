"""Which masks are tested: from scores, boxes and areas alone. Needs no torch.

Source: SENTRY's candidates/decoder.py, amg.py and soft_nms.py.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from samurai_batch.geometry import box_iou
from samurai_batch.prompts import Box
from samurai_batch.tracking.sentry.gate import area_of

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerSettings


def good_masks(ious: Sequence[float], object_score: float, settings: "TrackerSettings") -> list[int]:
    """Of the decoder's masks, those of almost the best predicted IoU; none if the object is not visible."""
    least = settings.sentry_relative_iou * max(ious)
    return [index for index, iou in enumerate(ious) if iou > least] if object_score > 0 else []


def similar_masks(similarities: Sequence[float], settings: "TrackerSettings") -> list[int]:
    """Of the masks of everything mode, those almost as similar to the object as the most similar one, best first."""
    best = max(similarities, default=0.0)
    if best <= 0:
        return []
    order = sorted(range(len(similarities)), key=lambda index: -similarities[index])
    return [index for index in order if similarities[index] >= settings.sentry_template_similarity * best]


def relative(scores: Sequence[float]) -> list[float]:
    """Scores relative to the best one, by which candidates are ranked; 0 if none is above 0."""
    best = max(scores, default=0.0)
    return [score / best if best > 0 else 0.0 for score in scores]


def has_usual_area(box: Box, usual_area: float | None, settings: "TrackerSettings") -> bool:
    """Whether the area of a candidate's box is plausible; any area is, as long as none is known."""
    if usual_area is None:
        return True
    low, high = settings.sentry_candidate_min_area_ratio, settings.sentry_candidate_max_area_ratio
    return low <= area_of(box) / usual_area <= high


def soft_nms(boxes: Sequence[Box], scores: Sequence[float], settings: "TrackerSettings") -> list[int]:
    """Indices of the boxes that remain, best first.

    Each time the best one is taken, the scores of all others are multiplied by exp(−IoU² / σ) of their IoU with it.
    """
    left, kept = dict(enumerate(scores)), list[int]()
    threshold = settings.sentry_soft_nms_score_threshold
    while left and len(kept) < settings.sentry_max_candidates:
        best = max(left, key=left.__getitem__)
        if left.pop(best) < threshold:
            break
        kept.append(best)
        decay = {
            one: math.exp(-(box_iou(boxes[best], boxes[one]) ** 2) / settings.sentry_soft_nms_sigma) for one in left
        }
        left = {one: score * decay[one] for one, score in left.items() if score * decay[one] > threshold}
    return kept
