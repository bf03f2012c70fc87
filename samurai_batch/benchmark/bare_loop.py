"""The least that follows a video: decode, track, keep rows, write one file. What a framework may cost is told by it."""

import time
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from samurai_batch.masks import MaskRow, rows_to_table
from samurai_batch.pipeline import frame_batches, mask_row
from samurai_batch.tasks import Track
from samurai_batch.tracking.masks_out import to_video_masks
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.video import open_video


def bare_loop(tracker: Tracker, tracks: Sequence[Track], output: str, frames_per_batch: int = 1) -> float:
    """Follow tracks one after the other, each forward from a box on frame 0, into a Parquet file; returns seconds."""
    start_s = time.perf_counter()
    rows = [row for track in tracks for row in _followed(tracker, track, frames_per_batch)]
    table: pa.Table = rows_to_table(rows)
    pq.write_table(table, output, compression="zstd")
    return time.perf_counter() - start_s


def _followed(tracker: Tracker, track: Track, frames_per_batch: int) -> list[MaskRow]:
    rows: list[MaskRow] = []
    with open_video(track.video.uri, ahead=False) as source:
        height, width = source.info.height, source.info.width
        prompt = to_frame_prompt(track.prompts, height, width, tracker.model.image_size, None)
        state = TrackState(num_frames=source.info.num_frames)
        for batch in frame_batches(tracker, source.frames(range(source.info.num_frames)), frames_per_batch):
            features = tracker.encode(batch.pixels)
            for number, place in enumerate(batch.frames):
                track_input = TrackInput(state, None if place.index else prompt)
                (result,) = tracker.step(features.frame(number), [track_input])
                (mask,) = to_video_masks(result.low_res_logits[None], height, width, tracker.settings.fill_hole_area)
                rows.append(mask_row(track, place, result, mask))
    return rows
