"""The worst moments of an output: the frames that a person should correct first, over all tracks."""

from collections.abc import Iterable, Mapping

import pandas as pd

from samurai_batch.background import for_each
from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.moments import Moment, moments_of_track, worst_of
from samurai_batch.ledger.store import NUM_TRANSFERS
from samurai_batch.masks import read_masks
from samurai_batch.masks.locating import track_names
from samurai_batch.prompts import Rle
from samurai_batch.rle import rle_from_coco, rle_iou
from samurai_batch.storage import join, redact_uri, unquote_id

_COLUMNS = ["object_id", "frame_index", "area", "mask_score", "motion_score", "prompted"]
_MASK_COLUMNS = ["object_id", "frame_index", "segmentation"]


def worst_moments(
    output: str,
    limit: int,
    *,
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    other: str | None = None,
) -> list[Moment]:
    """The ``limit`` worst moments of the tracks of an output, the worst first; reads one video at a time.

    ``other`` is an output with the same tracks, made another way. Raises ConfigError if ``limit`` is below 1 or there
    are no mask tables, StorageError if reading fails.
    """
    if limit < 1:
        raise ConfigError(f"the number of worst moments is {limit}: use 1 or more")
    chosen = None if objects is None else list(objects)
    names = {unquote_id(name.partition("/")[0]) for name in track_names(join(output, "masks"))}
    if not names:
        raise ConfigError(f"{redact_uri(output)}: there are no mask tables to rank; give the output folder of a job")
    video_ids = sorted(names if videos is None else names & set(videos))
    found = for_each(lambda video: moments_of_video(output, video, other, chosen, limit), video_ids, NUM_TRANSFERS)
    return worst_of((one for of_video in found for one in of_video), limit)


def moments_of_video(
    output: str, video_id: str, other: str | None = None, objects: list[str] | None = None, limit: int | None = None
) -> list[Moment]:
    """The ``limit`` worst moments of one video (None: all), the worst first; arguments as for `worst_moments`."""
    columns = _COLUMNS if other is None else [*_COLUMNS, "segmentation"]
    rows = read_masks(output, [video_id], objects, columns=columns)
    others = None if other is None else _masks(read_masks(other, [video_id], objects, columns=_MASK_COLUMNS))
    found: list[Moment] = []
    for object_id, of_track in rows.groupby("object_id", sort=False):
        ious = None if others is None else _ious(of_track, others.get(str(object_id), {}))
        found += moments_of_track((video_id, str(object_id)), of_track.sort_values("frame_index"), ious)
    return worst_of(found, limit)


def _masks(rows: pd.DataFrame) -> dict[str, dict[int, Rle | None]]:
    masks: dict[str, dict[int, Rle | None]] = {}
    for object_id, frame, mask in rows[_MASK_COLUMNS].itertuples(index=False, name=None):
        masks.setdefault(object_id, {})[frame] = rle_from_coco(mask) if isinstance(mask, Mapping) else None
    return masks


def _ious(rows: pd.DataFrame, others: Mapping[int, Rle | None]) -> dict[int, float]:
    """The IoU of each frame that both results have."""
    ((_, ours),) = _masks(rows).items()
    return {frame: rle_iou(mask, others[frame]) for frame, mask in ours.items() if frame in others}
