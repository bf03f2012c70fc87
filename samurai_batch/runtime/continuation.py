"""Tracks that go on in files that are added at the end of their video: finding, beginning and publishing them.

day 1: track ends ──> boundary state + table
day 2: fingerprint over the first files = that of day 1 ──> state copied to _work ──> new chunks ──> table of all rows
"""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from samurai_batch.background import for_each
from samurai_batch.errors import StateError
from samurai_batch.ledger.checkpoints import rows_published_before, save_continuation, state_uri
from samurai_batch.ledger.kept_states import boundary_state_uri, list_boundaries
from samurai_batch.ledger.store import Store
from samurai_batch.masks import bytes_to_table, file_metadata, mask_table_uri
from samurai_batch.planning.continuation import Boundary, Continuation, boundary_frame
from samurai_batch.planning.fingerprints import Recipe, fingerprint
from samurai_batch.planning.job_state import PendingTrack
from samurai_batch.planning.orders import PublishOrder
from samurai_batch.planning.resume import next_chunk
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.video_states import VideoState
from samurai_batch.storage import redact_uri
from samurai_batch.tasks import Track

logger = get_logger(__name__)


def find_continuation(
    pending: PendingTrack, video: VideoState, recipe: Recipe, store: Store, output: str, chunk_frames: int
) -> Continuation | None:
    """From where a track goes on; None if it starts anew, or an earlier run has brought it at least as far.

    Its boundary state must be at a chunk border, and of a video of the same first files, in the same order.
    """
    track = pending.track
    boundaries = list_boundaries(store, output, *track.track_id)
    usable = [
        Continuation(track, pending.fingerprint, at, chunk_frames)
        for at in sorted(boundaries, key=lambda at: -at.num_files)
        if _is_start_of(track, video, recipe, at) and at.frame % chunk_frames == 0
    ]
    (leg,) = track.legs
    reached = next_chunk(leg, pending.saved, chunk_frames)
    return next((one for one in usable if one.chunk > reached), None)


def _is_start_of(track: Track, video: VideoState, recipe: Recipe, boundary: Boundary) -> bool:
    if not 1 < boundary.num_files < len(video.files):
        return False
    return fingerprint(track, video.identity_of_first(boundary.num_files), recipe) == boundary.fingerprint


def begin_continued(
    continued: Sequence[Continuation], store: Store, output: str, num_transfers: int, on_progress: Callable[[], None]
) -> None:
    """Have these tracks go on: copy their boundary states to their saved work."""
    for one in continued:
        logger.info("%s of %s: %s", one.track.object_id, one.track.video.video_id, one.describe())
    for_each(partial(_begin, store, output), continued, num_transfers, on_progress=on_progress)


def _begin(store: Store, output: str, one: Continuation) -> None:
    uri = boundary_state_uri(output, *one.track.track_id, one.start)
    try:
        state = store.read_bytes(uri)
    except FileNotFoundError:
        logger.warning("%s is gone: its track starts again", redact_uri(uri))
        return  # the replica misses the state and starts the track again
    save_continuation(store, output, one, state)


def keep_boundary_state(store: Store, output: str, order: PublishOrder, num_rows: int) -> None:
    """Keep the track state from which a track that is going to be published can go on, if there is one."""
    track, chunk_frames = order.track, order.chunk_frames
    frame = boundary_frame(track, order.rows.stop - 1, num_rows, chunk_frames)
    if frame is None:
        return
    try:
        state = store.read_bytes(state_uri(output, order.fingerprint, False, frame // chunk_frames - 1, chunk_frames))
    except FileNotFoundError:
        return  # saved by a version that deleted it earlier
    at = Boundary(order.fingerprint, track.video.num_files, frame)
    store.write_bytes(boundary_state_uri(output, *track.track_id, at), state)


def rows_before(store: Store, output: str, order: PublishOrder) -> tuple[list[pa.Table], int]:
    """The rows that the published table has of a track that goes on, and the first chunk with parts of its own.

    No table and 0 for a track that began anew. Raises StateError if the published table is another one.
    """
    found = rows_published_before(store, output, order.fingerprint, order.chunk_frames)
    if found is None:
        return [], 0
    fingerprint_before, chunk = found
    uri = mask_table_uri(output, *order.track.track_id)
    try:
        data = store.read_bytes(uri)
    except FileNotFoundError as error:
        raise StateError(f"{redact_uri(uri)}: the table with the rows of the earlier files is missing") from error
    # Under the track's own fingerprint, it was published by a run that ended before its ledger said so.
    if file_metadata(data).get("fingerprint") not in (fingerprint_before, order.fingerprint):
        raise StateError(f"{redact_uri(uri)}: this is no longer the table with the rows of the earlier files")
    table = bytes_to_table(data)
    is_early = pc.less(table["frame_index"], chunk * order.chunk_frames)
    return [table.filter(pc.and_(is_early, pc.invert(table["interpolated"])))], chunk
