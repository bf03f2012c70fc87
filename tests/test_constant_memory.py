"""Memory does not grow with the length of a video: decoding, tracking and writing together, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from samurai_batch.tracking.trackers import TRACKERS
from tests.video.movies import write_movie

NUM_FRAMES, EARLY, LATE = 2_050, 200, 2_000
LIMIT_BYTES = 50e6

PROGRAM = """
import json, os, sys
import torch
from samurai_batch import BoxPrompt, Track, Tracker, Video, open_video, track_video
from tests.deterministic import small_model
from tests.tracking.scripts import VARIANTS

torch.set_num_threads(1)
path, early, late, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
resident = {}


class Watched:
    def __init__(self, source):
        self.source, self.info = source, source.info

    def frames(self, indices):
        for frame in self.source.frames(indices):
            if frame.index in (early, late):
                with open("/proc/self/statm") as statm:
                    resident[frame.index] = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            yield frame


video = Video("long", path)
tracks = [Track(video=video, object_id=name, prompts=(BoxPrompt(0, (8, 8, 60, 60)),)) for name in "ab"]
tracker = Tracker(small_model().float(), VARIANTS[mode])
with open_video(path) as source:
    tables = track_video(tracker, Watched(source), tracks)
print(json.dumps([resident[early], resident[late], tables["a"].num_rows]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", TRACKERS)
def test_resident_memory_at_frame_2000_is_that_at_frame_200(tmp_path: Path, mode: str) -> None:
    path = write_movie(tmp_path / "long.mp4", num_frames=NUM_FRAMES, height=240, width=320)
    arguments = [sys.executable, "-c", PROGRAM, str(path), str(EARLY), str(LATE), mode]
    run = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=600)
    early, late, num_rows = json.loads(run.stdout)
    assert num_rows == NUM_FRAMES
    assert late - early < LIMIT_BYTES
