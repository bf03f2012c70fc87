"""Videos as storage has them now: what the ledger says of each, which tables stand, and whether the file is there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from samurai_batch.errors import StorageError
from samurai_batch.masks import mask_table_name, mask_tables_uri
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.job_state import KnownVideo
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.runtime.environment import Store
from samurai_batch.runtime.ledger import VideoLedger, read_video_ledger, video_ledger_uri
from samurai_batch.runtime.parallel import for_each
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.storage import redact, without_signature
from samurai_batch.tasks import Video

BYTES_PER_FRAME = 10_000
"""Compressed video, to the order of magnitude: it only ranks videos that nobody has opened yet."""


@dataclass(frozen=True)
class VideoState:
    """A video of the job as storage has it now: its ledger, and its identity or why there is none.

    ``tables`` are the names of the mask tables that stand in its folder.
    """

    video: Video
    ledger: VideoLedger
    tables: frozenset[str]
    identity: VideoIdentity | None
    failure: Failure | None

    def has_table(self, object_id: str) -> bool:
        """Whether a track's mask table stands."""
        return mask_table_name(object_id) in self.tables

    def known(self, num_asked_for: int, *, goes_on: bool) -> KnownVideo:
        """What is known of the video's length.

        Where it is cut is believed only by who goes on with work that was saved under it: others may be luckier.
        """
        ledger = self.ledger
        if ledger.facts is not None:
            cut = Failure(FailureKind.TRUNCATED, ledger.cut.message, ledger.cut.frame_reached) if ledger.cut else None
            return KnownVideo(ledger.facts.num_frames, ledger.facts, cut if goes_on else None)
        size_bytes = self.identity.size_bytes if self.identity else 0
        return KnownVideo(max(num_asked_for, size_bytes // BYTES_PER_FRAME))


def look_up_videos(
    videos: Iterable[Video], store: Store, settings: DriverSettings, on_progress: Callable[[], None]
) -> dict[str, VideoState]:
    """Each video by its id. ``meanwhile`` is called now and then. Raises LedgerError and StorageError."""
    ordered = sorted(videos, key=lambda video: video.video_id)

    def look_up(video: Video) -> VideoState:
        return _look_up_one(video, store, settings.output)

    states = for_each(look_up, ordered, settings.num_transfers, on_progress=on_progress)
    return {state.video.video_id: state for state in states}


def _look_up_one(video: Video, store: Store, output: str) -> VideoState:
    ledger = read_video_ledger(store, video_ledger_uri(output, video.video_id))
    if ledger is None:
        ledger = VideoLedger(video_id=video.video_id, video_uri=redact(video.uri))
    tables = frozenset(store.list_names(mask_tables_uri(output, video.video_id)))
    try:
        found = store.identity(video.uri)
    except FileNotFoundError:
        blanks = "; blanks stand around it, remove them" if video.uri != video.uri.strip() else ""
        failure = Failure(FailureKind.VIDEO, f"{redact(video.uri)} does not exist{blanks}")
        return VideoState(video, ledger, tables, None, failure)
    except StorageError as error:
        return VideoState(video, ledger, tables, None, Failure(FailureKind.STORAGE, str(error)))
    identity = VideoIdentity(without_signature(video.uri), found.size_bytes, found.version)
    if ledger.identity != _redacted(identity):
        ledger = replace(ledger, video_uri=redact(video.uri), identity=_redacted(identity), facts=None, cut=None)
    return VideoState(video, ledger, tables, identity, None)


def _redacted(identity: VideoIdentity) -> VideoIdentity:
    return replace(identity, uri=redact(identity.uri))
