"""Videos in storage: what an output knows of each, and whether it is still the same."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from samurai_batch.background import for_each
from samurai_batch.errors import StorageError
from samurai_batch.ledger.schema import VideoLedger
from samurai_batch.ledger.store import Store, read_video_ledger
from samurai_batch.masks import mask_tables_uri
from samurai_batch.planning.fingerprints import SCENE_CUTS_VERSION, VideoIdentity
from samurai_batch.planning.job_state import KnownVideo
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.storage import as_one, redact_uri, uris_of_files, without_signature
from samurai_batch.tasks import Video

BYTES_PER_FRAME = 10_000
"""The order of magnitude of compressed video; it only ranks videos that nobody has opened yet."""


@dataclass(frozen=True)
class VideoState:
    """A video in storage: its ledger, and its identity or why there is none.

    ``tables`` are the names of the mask tables of its tracks, ``files`` the identities of its files in their order.
    """

    video: Video
    ledger: VideoLedger
    tables: frozenset[str]
    identity: VideoIdentity | None
    failure: Failure | None
    files: tuple[VideoIdentity, ...] = ()

    def identity_of_first(self, num_files: int) -> VideoIdentity:
        """The identity of the video that its first files were alone."""
        return _identity_of_all(self.files[:num_files])

    def known(self, num_frames: int, *, resumes: bool, needs_cuts: bool = False) -> KnownVideo:
        """What is known of the video's length; the prompts ask for at least ``num_frames``.

        A truncation that an earlier run has found counts only if this run ``resumes`` work that was saved under it:
        without such work the video is read again, which may go further. A run that ``needs_cuts`` opens a video whose
        scene cuts have not been measured, as if nothing but its length were known.
        """
        facts, cut = self.ledger.facts, self.ledger.cut
        if facts is None:
            size_bytes = self.identity.size_bytes if self.identity else 0
            return KnownVideo(max(num_frames, size_bytes // BYTES_PER_FRAME))
        if needs_cuts and (facts.scene_cuts is None or facts.scene_cuts_version != SCENE_CUTS_VERSION):
            return KnownVideo(facts.num_frames)
        truncation = Failure(FailureKind.TRUNCATED, cut.message, cut.frame_reached) if cut and resumes else None
        return KnownVideo(facts.num_frames, facts, truncation)


def read_video_states(
    videos: Iterable[Video], store: Store, settings: DriverSettings, on_progress: Callable[[], None]
) -> dict[str, VideoState]:
    """The state of each video, by its id. Raises LedgerError and StorageError."""
    ordered = sorted(videos, key=lambda video: video.video_id)
    states = for_each(
        lambda video: _read_video_state(video, store, settings.output),
        ordered,
        settings.num_transfers,
        on_progress=on_progress,
    )
    return {state.video.video_id: state for state in states}


def _identity(store: Store, uri: str) -> VideoIdentity | Failure:
    """The identity of one file, or why it has none."""
    try:
        in_storage = store.identity(uri)
    except FileNotFoundError:
        blanks = "; its URI begins or ends with blanks, remove them" if uri != uri.strip() else ""
        return Failure(FailureKind.VIDEO, f"{redact_uri(uri)} does not exist{blanks}")
    except StorageError as error:
        return Failure(FailureKind.STORAGE, str(error))
    return VideoIdentity(without_signature(uri), in_storage.size_bytes, in_storage.version)


def _identity_of_all(files: Sequence[VideoIdentity]) -> VideoIdentity:
    """The identity of a video: its file's own, or of several files in their order, one version out of all."""
    if len(files) == 1:
        return files[0]
    text = "\n".join(f"{file.uri}\t{file.size_bytes}\t{file.version}" for file in files)
    version = hashlib.sha256(text.encode()).hexdigest()
    return VideoIdentity(as_one([file.uri for file in files]), sum(file.size_bytes for file in files), version)


def _read_video_state(video: Video, store: Store, output: str) -> VideoState:
    ledger = read_video_ledger(store, output, video.video_id)
    if ledger is None:
        ledger = VideoLedger(video_id=video.video_id, video_uri=video.uri)
    tables = frozenset(store.list_names(mask_tables_uri(output, video.video_id)))
    files = uris_of_files(video.uri)
    found = [_identity(store, file) for file in files]
    failure = next((one for one in found if isinstance(one, Failure)), None)
    if failure is not None:
        return VideoState(video, ledger, tables, None, failure)
    each = tuple(one for one in found if isinstance(one, VideoIdentity))
    identity = _identity_of_all(each)
    now = VideoLedger(video_id=video.video_id, video_uri=video.uri, identity=identity, tracks=ledger.tracks)
    return VideoState(video, ledger if ledger.identity == now.identity else now, tables, identity, None, each)
