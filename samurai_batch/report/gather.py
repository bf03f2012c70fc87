"""The data of a report, read from ledger, mask tables and videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from samurai_batch import storage
from samurai_batch.background import for_each
from samurai_batch.counting import Count, counted
from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.moments import Moment, moments_of_track, worst_of
from samurai_batch.ledger.schema import RunRecord, TrackEntry, VideoLedger
from samurai_batch.ledger.status import read_status
from samurai_batch.ledger.store import NUM_TRANSFERS, read_video_ledgers
from samurai_batch.masks import read_masks
from samurai_batch.operations.worst import moments_of_video
from samurai_batch.planning.orders import TrackStatus
from samurai_batch.report.jpegs import InPage, Pictures, PictureStore, video_pictures

MAX_MOMENTS = 4
MAX_VIDEOS = 100
MAX_LISTED = 100_000
_COLUMNS = [
    "video_id", "object_id", "frame_index", "timestamp_s", "area", "mask_score", "object_score", "motion_score",
    "prompted",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrackReport:
    """One track: its ledger entry, its rows (by frame, without masks) and all its moments.

    An object detected on an image (``x#0``) has the entry of the track that it was detected for (``x``).
    """

    object_id: str
    entry: TrackEntry
    rows: pd.DataFrame
    moments: list[Moment]

    @property
    def worst_moments(self) -> list[Moment]:
        """The `MAX_MOMENTS` worst, by frame."""
        return sorted(worst_of(self.moments, MAX_MOMENTS), key=lambda one: one.frame_index)


@dataclass(frozen=True, eq=False)
class VideoReport:
    """One video and its tracks."""

    ledger: VideoLedger
    tracks: list[TrackReport]
    pictures: Pictures


@dataclass(frozen=True, kw_only=True)
class TrackLine:
    """One track in a line. ``present`` is the share of rows with a mask; scores are None without such rows.

    ``worst`` is its worst moment; a track that is not done comes before all others.
    """

    video_id: str
    object_id: str
    status: TrackStatus
    num_rows: int
    present: float | None = None
    mean_score: float | None = None
    worst: Moment | None = None

    @property
    def rank(self) -> tuple[bool, float, str, str]:
        """Sorts the worst first."""
        severity = self.worst.severity if self.worst else 0.0
        return self.status == "done", -severity, self.video_id, self.object_id


@dataclass(frozen=True, eq=False)
class Report:
    """Everything on the page. ``run`` is the newest run, or None if there is no record of one.

    ``videos`` are shown in detail, sorted by id; ``lines`` are tracks of all videos, the worst first, at most
    `MAX_LISTED` of ``num_listed``; ``worst`` are the worst moments, if they were requested.
    """

    output: str
    run: RunRecord | None
    num_tracks: Mapping[TrackStatus, int]
    num_rows: int
    num_videos: int
    videos: list[VideoReport]
    lines: list[TrackLine]
    num_listed: int
    problems: list[tuple[str, str, TrackEntry]]
    worst: list[Moment] = field(default_factory=list)


def gather(
    output: str,
    with_pictures: bool = True,
    *,
    store: PictureStore | None = None,
    max_videos: int = MAX_VIDEOS,
    worst: int = 0,
    other: str | None = None,
) -> Report:
    """Read an output folder; pictures go into ``store`` (default: into the page).

    ``worst`` is the number of worst moments, ``other`` an output to compare with (`operations.worst`). Memory holds
    the rows of ``max_videos`` videos, and of the others those of a few at a time. Raises ConfigError if ``output`` has
    no finished or failed track, LedgerError and StorageError.
    """
    status = read_status(storage, output)
    ledgers = read_video_ledgers(storage, output)
    if not ledgers:
        raise ConfigError(f"{storage.redact_uri(output)}: no track has ended there; give the output folder of a job")
    count = Count("videos read", len(ledgers))
    summaries = for_each(lambda one: _summary(output, one, other, worst), ledgers, NUM_TRANSFERS, on_progress=count.add)
    lines = sorted((line for one in summaries for line in one.lines), key=lambda line: line.rank)
    moments = worst_of((moment for one in summaries for moment in one.worst), worst)
    chosen = list(dict.fromkeys([*(one.video_id for one in moments), *(line.video_id for line in lines)]))[:max_videos]
    pictures = (store or InPage()) if with_pictures else None
    shown = [ledger for ledger in ledgers if ledger.video_id in set(chosen)]
    videos = [_video(output, ledger, pictures, moments) for ledger in counted(shown, "videos drawn")]
    return Report(
        output=output,
        run=status.newest_run,
        num_tracks=status.num_tracks,
        num_rows=status.num_rows,
        num_videos=len(ledgers),
        videos=videos,
        lines=lines[:MAX_LISTED],
        num_listed=len(lines),
        problems=_problems(ledgers),
        worst=moments,
    )


@dataclass(frozen=True, eq=False)
class _Summary:
    """All tracks of a video in a line each, and its worst moments."""

    lines: list[TrackLine]
    worst: list[Moment]


def _summary(output: str, ledger: VideoLedger, other: str | None, worst: int) -> _Summary:
    tracks = _tracks(output, ledger)
    if other is None:
        found = [one for track in tracks for one in track.moments]
    else:
        found = moments_of_video(output, ledger.video_id, other)
    by_severity = worst_of(found, None)
    worst_of_object = {one.object_id: one for one in reversed(by_severity)}
    lines = [_line(ledger.video_id, track, worst_of_object.get(track.object_id)) for track in tracks]
    return _Summary(lines, by_severity[:worst])


def _line(video_id: str, track: TrackReport, worst: Moment | None) -> TrackLine:
    present = track.rows["area"].to_numpy() > 0
    return TrackLine(
        video_id=video_id,
        object_id=track.object_id,
        status=track.entry.status,
        num_rows=len(present),
        present=float(present.mean()) if len(present) else None,
        mean_score=float(track.rows["mask_score"].to_numpy()[present].mean()) if present.any() else None,
        worst=worst,
    )


def _problems(ledgers: Sequence[VideoLedger]) -> list[tuple[str, str, TrackEntry]]:
    """The tracks that failed or are partial: video, object, entry."""
    return [
        (ledger.video_id, object_id, entry)
        for ledger in ledgers
        for object_id, entry in sorted(ledger.tracks.items(), key=_by_id)
        if entry.status != "done"
    ]


def _by_id(item: tuple[str, TrackEntry]) -> tuple[int, str]:
    return len(item[0]), item[0]


def _video(output: str, ledger: VideoLedger, store: PictureStore | None, worst: Sequence[Moment]) -> VideoReport:
    tracks = _tracks(output, ledger)
    moments = [(one.object_id, one.frame_index) for one in worst if one.video_id == ledger.video_id]
    moments += [(track.object_id, moment.frame_index) for track in tracks for moment in track.worst_moments]
    pictures = Pictures()
    if store is not None and any(len(track.rows) for track in tracks):
        pictures = video_pictures(output, ledger.video_id, ledger.video_uri, moments, store)
    return VideoReport(ledger, tracks, pictures)


def _tracks(output: str, ledger: VideoLedger) -> list[TrackReport]:
    rows = read_masks(output, videos=[ledger.video_id], columns=[*_COLUMNS, "interpolated"])
    rows = rows[~rows.pop("interpolated").isin([True])]  # they have no mask, and no object is lost there
    by_object = {str(object_id): part.sort_values("frame_index") for object_id, part in rows.groupby("object_id")}
    on_picture = {one: ledger.tracks[one.rpartition("#")[0]] for one in by_object if one not in ledger.tracks}
    tracks = []
    for object_id, entry in sorted((ledger.tracks | on_picture).items(), key=_by_id):
        own = by_object.get(object_id, rows.iloc[:0])
        tracks.append(TrackReport(object_id, entry, own, moments_of_track((ledger.video_id, object_id), own)))
    return tracks
