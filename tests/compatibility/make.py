"""How ``output-0.1.0.tar.xz`` was made, by commit 5f217a9: ``python -m tests.compatibility.make``.

One run finishes some tracks and fails on a file that is no video; a second run is interrupted (as by ctrl-C) while two
tracks are in progress. Names of the machine are replaced in the run records. Kept for reference only: an archive made
by newer code would not test compatibility with 0.1.0.
"""

import json
import os
import signal
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

from samurai_batch.manifest import write_prompts
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Rle
from samurai_batch.rle import encode_mask
from samurai_batch.runtime.progress import RunProgress
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from tests.compatibility.fixture import ARCHIVE, NUM_FRAMES, ROOT, job, pack, put, read_all, remove_all
from tests.video.movies import FASTSTART, write_movie

HEIGHT, WIDTH = 48, 64
BOX = (10.0, 8.0, 34.0, 30.0)
FRAMES_BEFORE_THE_INTERRUPTION = 60


def finished_tracks() -> list[Track]:
    clip = Video("clip", f"{ROOT}/clip.mp4")
    clicks = PointsPrompt(12, ((20.0, 16.0), (50.0, 40.0)), (1, 0))
    return [
        Track(video=clip, object_id="box", prompts=(BoxPrompt(0, BOX),)),
        Track(video=clip, object_id="points", prompts=(clicks, BoxPrompt(20, BOX)), direction="both"),
        Track(video=clip, object_id="mask", prompts=(MaskPrompt(9, rectangle()),), end_frame=9, direction="backward"),
        Track(video=Video("broken", f"{ROOT}/broken.mp4"), object_id="box", prompts=(BoxPrompt(0, BOX),)),
    ]


def unfinished_tracks() -> list[Track]:
    clip = Video("second", f"{ROOT}/second.mp4")
    return [
        Track(video=clip, object_id="forward", prompts=(BoxPrompt(0, BOX),)),
        Track(video=clip, object_id="both", prompts=(BoxPrompt(NUM_FRAMES - 6, BOX),), start_frame=3, direction="both"),
    ]


def rectangle() -> Rle:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[8:30, 10:34] = True
    rle = encode_mask(mask)
    assert rle is not None
    return rle


class CtrlC:
    """Interrupts the run as soon as it has made some progress."""

    def __init__(self) -> None:
        self._has_pressed = False

    def show(self, progress: RunProgress) -> None:
        if progress.track_frames >= FRAMES_BEFORE_THE_INTERRUPTION and not self._has_pressed:
            self._has_pressed = True
            os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self) -> "CtrlC":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def put_inputs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, num_frames in (("clip", NUM_FRAMES), ("second", NUM_FRAMES + 1)):
            path = write_movie(Path(folder) / f"{name}.mp4", num_frames=num_frames, container_options=FASTSTART)
            put(f"{name}.mp4", path.read_bytes())
    put("broken.mp4", bytes(range(256)))
    write_prompts(f"{ROOT}/prompts.jsonl", [*finished_tracks(), *unfinished_tracks()])


def without_the_machine(name: str, data: bytes) -> bytes:
    if not name.startswith("out/_ledger/runs/"):
        return data
    record = json.loads(data)
    return json.dumps(record | {"host": "machine", "pid": 1, "process_start": "1"}, indent=1).encode()


def main() -> None:
    remove_all()
    put_inputs()
    run_job(job(), tracks=finished_tracks())
    assert run_job(job(), progress=CtrlC()).status == "interrupted"
    files = {name: without_the_machine(name, data) for name, data in read_all().items()}
    ARCHIVE.write_bytes(pack(files))


if __name__ == "__main__":
    main()
