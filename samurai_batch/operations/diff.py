"""Compares two results of the same tracks mask by mask, such as those of two models, settings or runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from samurai_batch import storage
from samurai_batch.background import for_each
from samurai_batch.counting import Count
from samurai_batch.errors import ConfigError
from samurai_batch.ledger.schema import RUN_ID
from samurai_batch.ledger.store import NUM_TRANSFERS, read_run, read_video_ledgers
from samurai_batch.masks import bytes_to_table, mask_table_uri
from samurai_batch.operations.history import superseded_uri
from samurai_batch.prompts import Rle
from samurai_batch.rle import rle_from_coco, rle_iou
from samurai_batch.storage import join, quote_id, redact_uri, unquote_id
from samurai_batch.tasks import TrackId

_RUN = re.compile(rf"(.+)@({RUN_ID})")

Masks = Mapping[int, Rle | None]
"""A track's masks by frame index; None where the object is absent."""

SAME_MASK_IOU = 0.98
"""A new prompt has changed nothing if the mask of its frame is at least this much the one before."""


@dataclass(frozen=True, kw_only=True)
class TrackDiff:
    """One track in two results, over the frames that either has a row for.

    The IoU of a frame is 1 if the object is absent in both, and 0 if it is absent in one, or if one has no row.
    ``worst_frame`` is the first frame with the lowest IoU, None if no frame differs. ``idle_prompts`` are the frames
    that have a prompt in the second result alone, and an IoU of at least `SAME_MASK_IOU`: they have corrected nothing.
    """

    video_id: str
    object_id: str
    num_frames: int
    num_differing: int
    mean_iou: float
    worst_frame: int | None
    worst_iou: float
    idle_prompts: tuple[int, ...] = ()


@dataclass(frozen=True)
class _TrackRows:
    """What one result has of a track: its masks, and the frames with prompts."""

    masks: dict[int, Rle | None] = field(default_factory=dict)
    prompted: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Diff:
    """Tracks that both results have, the least alike first, and those that only one has."""

    tracks: tuple[TrackDiff, ...]
    only_a: tuple[TrackId, ...]
    only_b: tuple[TrackId, ...]


def diff_results(a: str, b: str) -> Diff:
    """Compare two results: each is an output folder, or ``<output>@<run_id>`` for the tables of one run.

    Detections are compared by their number, ``x#0`` with ``x#0``: they are ordered by score. At most ``NUM_TRANSFERS``
    tables are in memory. Raises ConfigError if there is no such result, LedgerError and StorageError.
    """
    tables_a, tables_b = _tables(a), _tables(b)
    both = sorted(tables_a.keys() & tables_b.keys())
    count = Count("tracks compared", len(both))

    def diff_track(track: TrackId) -> list[TrackDiff]:
        return diff_tables(track[0], tables_a[track], tables_b[track])

    by_table = for_each(diff_track, both, NUM_TRANSFERS, on_progress=count.add)
    diffs = [one for of_table in by_table for one in of_table]
    return Diff(
        tuple(sorted(diffs, key=lambda one: (one.mean_iou, one.video_id, one.object_id))),
        tuple(sorted(tables_a.keys() - tables_b.keys())),
        tuple(sorted(tables_b.keys() - tables_a.keys())),
    )


def diff_tables(video_id: str, uri_a: str, uri_b: str) -> list[TrackDiff]:
    """Compare two tables of one track, or of the detections of one prompt. Raises StateError if one is damaged."""
    a, b, nothing = _read(uri_a), _read(uri_b), _TrackRows()
    return [
        _diff_rows((video_id, one), a.get(one, nothing), b.get(one, nothing)) for one in sorted(a.keys() | b.keys())
    ]


def _diff_rows(track: TrackId, a: _TrackRows, b: _TrackRows) -> TrackDiff:
    idle = [
        frame
        for frame in sorted(b.prompted - a.prompted)
        if frame in a.masks and rle_iou(a.masks[frame], b.masks[frame]) >= SAME_MASK_IOU
    ]
    return replace(diff_masks(track, a.masks, b.masks), idle_prompts=tuple(idle))


def diff_masks(track: TrackId, a: Masks, b: Masks) -> TrackDiff:
    """Compare one track's masks."""
    ious = {
        frame: rle_iou(a[frame], b[frame]) if frame in a and frame in b else 0.0
        for frame in sorted(a.keys() | b.keys())
    }
    worst = min(ious, key=lambda frame: ious[frame], default=None)
    has_differed = worst is not None and ious[worst] < 1.0
    return TrackDiff(
        video_id=track[0],
        object_id=track[1],
        num_frames=len(ious),
        num_differing=sum(iou < 1.0 for iou in ious.values()),
        mean_iou=sum(ious.values()) / len(ious) if ious else 1.0,
        worst_frame=worst if has_differed else None,
        worst_iou=ious[worst] if worst is not None else 1.0,
    )


def _read(uri: str) -> dict[str, _TrackRows]:
    """The rows of each object in a table: of one, or of all detections on a picture."""
    table = bytes_to_table(storage.read_bytes(uri)).select(["object_id", "frame_index", "segmentation", "prompted"])
    found: dict[str, _TrackRows] = {}
    for object_id, frame, mask, prompted in zip(*(column.to_pylist() for column in table.columns), strict=True):
        rows = found.setdefault(object_id, _TrackRows())
        rows.masks[frame] = rle_from_coco(mask) if mask else None
        if prompted:
            rows.prompted.add(frame)
    return found


def _tables(result: str) -> dict[TrackId, str]:
    """The URI of each track's table in a result."""
    match = _RUN.fullmatch(result)
    tables = _tables_of_run(match[1], match[2]) if match else _tables_below(result)
    if not tables:
        raise ConfigError(
            f"{redact_uri(result)}: there are no mask tables; give an output folder, or <output>@<run_id>"
        )
    return tables


def _tables_of_run(output: str, run_id: str) -> dict[TrackId, str]:
    """The tables that a run has made: the replaced ones, and those that are still current."""
    if read_run(storage, output, run_id) is None:
        raise ConfigError(f"{redact_uri(output)}: has no run {run_id}; `samurai-batch history` lists them")
    made = {
        (ledger.video_id, object_id)
        for ledger in read_video_ledgers(storage, output)
        for object_id, entry in ledger.tracks.items()
        if entry.run_id == run_id and entry.status != "failed"
    }
    current = {track: uri for track, uri in _tables_below(output).items() if track in made}
    return _tables_below(superseded_uri(output, run_id)) | current


def _tables_below(output: str) -> dict[TrackId, str]:
    folder = join(output, "masks")
    videos = [unquote_id(name) for name in storage.list_names(folder)]
    names = for_each(lambda video: storage.list_names(join(folder, quote_id(video))), videos, NUM_TRANSFERS)
    return {
        (video, object_id): mask_table_uri(output, video, object_id)
        for video, tables in zip(videos, names, strict=True)
        for object_id in (unquote_id(name.removesuffix(".parquet")) for name in tables if name.endswith(".parquet"))
    }
