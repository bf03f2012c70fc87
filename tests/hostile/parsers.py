"""Every function that parses external bytes, with a valid example and the errors it may raise."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from samurai_batch import storage
from samurai_batch.errors import CheckpointError, ConfigError, LedgerError, PromptsError, StateError, VideoError
from samurai_batch.job.loading import load_job
from samurai_batch.ledger.schema import TrackEntry, VideoLedger
from samurai_batch.ledger.store import (
    read_run,
    read_video_ledger,
    run_uri,
    video_ledger_uri,
    write_run,
    write_video_ledger,
)
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.manifest.cells import png_mask
from samurai_batch.masks import MaskRow, bytes_to_table, file_metadata, rows_to_table, table_to_bytes
from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from samurai_batch.rle import decode_mask, encode_mask, rle_from_coco, rle_to_coco
from samurai_batch.runtime.detection import read_detections, write_detections
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.video import open_video
from tests.runtime.fakes import box_track
from tests.runtime.records import run_record
from tests.video.movies import write_movie

RUN_ID = "20260101T000000.000Z-00000000"
VIDEO = Video("v", "videos/v.mp4")
TRACK = box_track(VIDEO, "a", 3)
JOB = b"""prompts: prompts.csv
output: out  # where it goes
model: nano
chunk_frames: 200
tracker: {stable_frames_threshold: 15}
threads_per_replica: 2
"""
MOST_FRAMES = 12


@dataclass(frozen=True)
class Parser:
    """``read`` gets an empty folder. Errors other than ``refusals`` are bugs."""

    name: str
    whole: Callable[[Path], bytes]
    read: Callable[[Path, bytes], object]
    refusals: tuple[type[Exception], ...]


def _table(ending: str) -> Parser:
    mask = encode_mask(np.eye(6, dtype=np.bool_))
    assert mask is not None
    clicks = PointsPrompt(4, ((1.0, 2.0), (3.5, 4.0)), (1, 0))
    tracks = [TRACK, Track(video=VIDEO, object_id="b", prompts=(clicks, MaskPrompt(9, mask)), direction="both")]

    def whole(folder: Path) -> bytes:
        write_prompts(str(folder / f"whole{ending}"), tracks)
        return (folder / f"whole{ending}").read_bytes()

    return Parser(
        f"prompts{ending}", whole, lambda folder, data: read_prompts(_put(folder / f"p{ending}", data)), _TABLE
    )


_TABLE = (PromptsError,)


def _movie(ending: str, codec: str) -> Parser:
    def whole(folder: Path) -> bytes:
        return write_movie(folder / f"whole{ending}", num_frames=MOST_FRAMES, codec=codec).read_bytes()

    def read(folder: Path, data: bytes) -> object:
        with open_video(_put(folder / f"v{ending}", data)) as source:
            frames = range(min(source.info.num_frames, MOST_FRAMES))
            return [frame.pixels.shape for frame in source.frames(frames)]

    return Parser(f"video{ending}", whole, read, (VideoError,))


def _objects() -> list[Parser]:
    """The objects of an output."""
    identity = VideoIdentity("v.mp4", 1, "1")
    entry = TrackEntry(
        fingerprint="f", status="done", rows=1, seconds=1.0, attempts=1, weights_digest="w", run_id=RUN_ID
    )
    facts = VideoFacts(10, 48, 64)
    ledger = VideoLedger(video_id="v", video_uri="v.mp4", identity=identity, facts=facts, tracks={"a": entry})
    record = run_record(RUN_ID, config={"model": "nano"}, versions={"torch": "2"})

    def stored(put: Callable[[str], None], place: Callable[[str], str]) -> Callable[[Path], bytes]:
        def whole(folder: Path) -> bytes:
            put(str(folder))
            return Path(place(str(folder))).read_bytes()

        return whole

    def reader(place: Callable[[str], str], read: Callable[[str, str], object]) -> Callable[[Path, bytes], object]:
        return lambda folder, data: read(str(folder), _put(Path(place(str(folder))), data))

    def ledger_place(output: str) -> str:
        return video_ledger_uri(output, "v")

    def run_place(output: str) -> str:
        return run_uri(output, RUN_ID)

    def found_place(output: str) -> str:
        return f"{output}/_prompts/f.json"

    return [
        Parser(
            "ledger",
            stored(lambda output: write_video_ledger(storage, output, ledger), ledger_place),
            reader(ledger_place, lambda output, uri: read_video_ledger(storage, output, "v")),
            (LedgerError,),
        ),
        Parser(
            "run",
            stored(lambda output: write_run(storage, output, record), run_place),
            reader(run_place, lambda output, uri: read_run(storage, output, RUN_ID)),
            (LedgerError,),
        ),
        Parser(
            "found",
            stored(
                lambda output: write_detections(storage, output, "f", [BoxPrompt(3, (1.0, 2.0, 3.0, 4.0))]), found_place
            ),
            reader(found_place, lambda output, uri: read_detections(storage, output, TRACK, "f")),
            (StateError,),
        ),
    ]


def _put(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def _mask_table(folder: Path) -> bytes:
    mask = encode_mask(np.eye(48, 64, dtype=np.bool_))
    rows = [
        MaskRow(
            video_id="v",
            object_id="a",
            frame_index=index,
            timestamp_s=index / 25,
            height=48,
            width=64,
            segmentation=mask,
            mask_score=0.5,
            object_score=1.0,
            motion_score=None,
            mask_index=0,
            prompted=False,
        )
        for index in range(5)
    ]
    return table_to_bytes(rows_to_table(rows), {"fingerprint": "f"})


def _rle(folder: Path, data: bytes) -> object:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("no COCO dict")
    return decode_mask(rle_from_coco(value))


def _whole_rle(folder: Path) -> bytes:
    mask = encode_mask(np.eye(9, 7, dtype=np.bool_))
    assert mask is not None
    return json.dumps(rle_to_coco(mask)).encode()


def _png(folder: Path) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _pt(folder: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": {"no_mem_embed": torch.zeros(1, 1, 8)}}, buffer)
    return buffer.getvalue()


def _state(folder: Path) -> bytes:
    return TrackState(num_frames=10).to_bytes()


def _job(folder: Path, data: bytes) -> object:
    return load_job(_put(folder / "job.yaml", data))


def _weights(ending: str, whole: Callable[[Path], bytes]) -> Parser:
    def read(folder: Path, data: bytes) -> Any:
        return load_weights("nano", _put(folder / f"w{ending}", data))

    return Parser(f"weights{ending}", whole, read, (CheckpointError,))


PARSERS = [
    _table(".csv"),
    _table(".jsonl"),
    _table(".parquet"),
    *_objects(),
    Parser("job", lambda folder: JOB, _job, (ConfigError,)),
    Parser("mask table", _mask_table, lambda folder, data: bytes_to_table(data), (StateError,)),
    Parser("metadata of a mask table", _mask_table, lambda folder, data: file_metadata(data), (StateError,)),
    Parser("run lengths", _whole_rle, _rle, (ValueError,)),
    Parser("png", _png, lambda folder, data: png_mask(_put(folder / "m.png", data)), (ValueError,)),
    Parser("track state", _state, lambda folder, data: TrackState.from_bytes(data), (StateError,)),
    _weights(".pt", _pt),
    _weights(".safetensors", lambda folder: save({"no_mem_embed": torch.zeros(1, 1, 8)})),
    _movie(".mp4", "libx264"),
    _movie(".mkv", "libx264"),
    _movie(".webm", "libvpx"),
    _movie(".avi", "mpeg4"),
]
