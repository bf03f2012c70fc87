"""The output of a run: two videos, five tracks of which one failed, and one video that was deleted afterwards."""

from pathlib import Path

import numpy as np
from PIL import Image

from samurai_batch import storage
from samurai_batch.ledger.schema import RunRecord, Totals, TrackEntry, VideoLedger
from samurai_batch.ledger.store import write_run, write_video_ledger
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.retry import FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.stats import WorkStats

HEIGHT, WIDTH, NUM_FRAMES = 72, 128, 40
LOST = range(20, 26)


def rows(video_id: str, object_id: str, speed: float) -> list[MaskRow]:
    """Rows of a square that is lost for a while, has a low score once, and doubles its size once."""
    made = []
    for index in range(NUM_FRAMES):
        mask = np.zeros((HEIGHT, WIDTH), np.bool_)
        side = 24 if index >= 32 else 16
        left = int(4 + speed * index)
        if index not in LOST:
            mask[20 : 20 + side, left : left + side] = True
        made.append(
            MaskRow(
                video_id=video_id,
                object_id=object_id,
                frame_index=index,
                timestamp_s=index / 25,
                height=HEIGHT,
                width=WIDTH,
                segmentation=encode_mask(mask),
                mask_score=0.31 if index == 8 else 0.9 - index / 200,
                object_score=-4.0 if index in LOST else 6.0,
                motion_score=0.8 if index > 15 and index not in LOST else None,
                mask_index=0,
                prompted=index == 0,
            )
        )
    return made


def entry(error: str | None = None) -> TrackEntry:
    return TrackEntry(
        fingerprint="f" * 64,
        status="failed" if error else "done",
        rows=0 if error else NUM_FRAMES,
        seconds=3.25,
        attempts=3 if error else 1,
        weights_digest="0" * 64,
        run_id="20261122T190000Z-1",
        error=error,
        error_kind=FailureKind.VIDEO if error else None,
    )


def write_output(folder: Path, num_objects: int = 2) -> str:
    """Write the output folder and its video to ``folder``."""
    output, frames = str(folder / "out"), folder / "frames"
    frames.mkdir()
    for index in range(NUM_FRAMES):
        shade = np.linspace(60, 160, WIDTH).astype(np.uint8)
        picture = np.stack([np.tile(shade, (HEIGHT, 1))] * 3, axis=-1)
        Image.fromarray(picture).save(frames / f"{index:04d}.jpg")
    facts = VideoFacts(NUM_FRAMES, HEIGHT, WIDTH)
    tracks = {}
    for video_id, uri in (("clip <one>", str(frames)), ("gone", str(folder / "gone.mp4"))):
        for number in range(num_objects if video_id != "gone" else 1):
            made = rows(video_id, str(number), speed=2.0 - number / num_objects)
            data = table_to_bytes(rows_to_table(made), {})
            storage.write_bytes(mask_table_uri(output, video_id, str(number)), data)
            tracks[str(number)] = entry()
        if video_id != "gone":
            tracks["broken"] = entry(f"{uri}/a very long/path: frame 17 cannot be decoded; fetch the video again")
        write_video_ledger(storage, output, VideoLedger(video_id=video_id, video_uri=uri, facts=facts, tracks=tracks))
        tracks = {}
    record = RunRecord(
        run_id="20261122T190000Z-1",
        status="finished",
        host="machine",
        pid=1,
        process_start="1",
        started_at_s=1.79e9,
        heartbeat_at_s=1.79e9,
        config={"model": "nano", "output": output, "prompts": "s3://user:secret@bucket/prompts.csv"},
        versions={"samurai_batch": "0.1.0", "torch": "2"},
        totals=Totals(
            tracks=4,
            tracks_done=3,
            tracks_failed=1,
            rows=120,
            stats=WorkStats(frames_encoded=80, track_frames=120, stage_s={"encode": 4, "propagate": 2.5}),
            seconds=10,
            failures={"storage": 2},
        ),
        rates=Rates(0.05, 0.02, 0.1),
    )
    write_run(storage, output, record)
    return output
