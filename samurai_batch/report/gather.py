"""The data of a report, read from ledger, mask tables and videos."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.ledger.schema import RunRecord, TrackEntry, VideoLedger
from samurai_batch.ledger.status import read_status
from samurai_batch.ledger.store import read_video_ledgers
from samurai_batch.masks import read_masks
from samurai_batch.planning.orders import TrackStatus
from samurai_batch.report.jpegs import InPage, Pictures, PictureStore, video_pictures
from samurai_batch.report.moments import Moment, find_moments

MAX_MOMENTS = 4
MAX_VIDEOS = 100
_COLUMNS = [
    "video_id", "object_id", "frame_index", "timestamp_s", "area", "mask_score", "object_score", "motion_score",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrackReport:
    """One track: its ledger entry, its rows (by frame, without masks) and its moments.

    An object detected on an image (``x#0``) has the entry of the track that it was detected for (``x``).
    """

    object_id: str
    entry: TrackEntry
    rows: pd.DataFrame
    moments: list[Moment]


@dataclass(frozen=True, eq=False)
class VideoReport:
    """One video and its tracks."""

    ledger: VideoLedger
    tracks: list[TrackReport]
    pictures: Pictures


@dataclass(frozen=True)
class VideoSummary:
    """One video in a line: the states of its tracks, and the number of their rows and moments."""

    ledger: VideoLedger
    num_rows: int
    num_moments: int

    @property
    def num_not_done(self) -> int:
        """The number of failed and partial tracks."""
        return sum(entry.status != "done" for entry in self.ledger.tracks.values())


@dataclass(frozen=True, eq=False)
class Report:
    """Everything on the page. ``run`` is the newest run, or None if there is no record of one.

    ``videos`` are shown in detail, ``others`` in one line each; both are sorted by id.
    """

    output: str
    run: RunRecord | None
    num_tracks: Mapping[TrackStatus, int]
    num_rows: int
    videos: list[VideoReport]
    others: list[VideoSummary]


def gather(
    output: str, with_pictures: bool = True, *, store: PictureStore | None = None, max_videos: int = MAX_VIDEOS
) -> Report:
    """Read an output folder; pictures go into ``store`` (default: into the page).

    Memory holds the rows of ``max_videos`` videos, and of the others those of one video at a time. Raises ConfigError
    if ``output`` has no finished or failed track, LedgerError and StorageError.
    """
    status = read_status(storage, output)
    ledgers = read_video_ledgers(storage, output)
    if not ledgers:
        raise ConfigError(f"{storage.redact(output)}: no track has ended there; give the output folder of a job")
    others: list[VideoSummary] = []
    if len(ledgers) > max_videos:
        summaries = [_summary(output, one) for one in ledgers]
        worst_first = sorted(summaries, key=lambda one: (-one.num_not_done, -one.num_moments, one.ledger.video_id))
        others = sorted(worst_first[max_videos:], key=lambda one: one.ledger.video_id)
        left_out = {one.ledger.video_id for one in others}
        ledgers = [one for one in ledgers if one.video_id not in left_out]
    pictures = (store or InPage()) if with_pictures else None
    videos = [_video(output, ledger, pictures) for ledger in ledgers]
    return Report(output, status.newest_run, status.num_tracks, status.num_rows, videos, others)


def _summary(output: str, ledger: VideoLedger) -> VideoSummary:
    tracks = _tracks(output, ledger)
    num_rows, num_moments = sum(len(one.rows) for one in tracks), sum(len(one.moments) for one in tracks)
    return VideoSummary(ledger, num_rows, num_moments)


def _video(output: str, ledger: VideoLedger, store: PictureStore | None) -> VideoReport:
    tracks = _tracks(output, ledger)
    moments = [(track.object_id, moment.frame_index) for track in tracks for moment in track.moments]
    pictures = Pictures()
    if store is not None and any(len(track.rows) for track in tracks):
        pictures = video_pictures(output, ledger.video_id, ledger.video_uri, moments, store)
    return VideoReport(ledger, tracks, pictures)


def _tracks(output: str, ledger: VideoLedger) -> list[TrackReport]:
    rows = read_masks(output, videos=[ledger.video_id], columns=_COLUMNS)
    by_object = {str(object_id): part.sort_values("frame_index") for object_id, part in rows.groupby("object_id")}
    on_picture = {one: ledger.tracks[one.rpartition("#")[0]] for one in by_object if one not in ledger.tracks}
    tracks = []
    for object_id, entry in sorted((ledger.tracks | on_picture).items(), key=lambda item: (len(item[0]), item[0])):
        own = by_object.get(object_id, rows.iloc[:0])
        tracks.append(TrackReport(object_id, entry, own, find_moments(own, MAX_MOMENTS)))
    return tracks
