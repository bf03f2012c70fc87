import subprocess
import sys
from pathlib import Path

import pytest

from tests.video.movies import write_movie

READ = """
import sys
from pathlib import Path
from samurai_batch.video import open_video

def resident_mb():
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1000

with open_video(sys.argv[1]) as source:
    indices = range(source.info.num_frames)
    for count, _ in enumerate(source.frames(indices if sys.argv[2] == "forward" else indices[::-1])):
        if count == 200:
            early_mb = resident_mb()
        if count == 2000:
            print(resident_mb() - early_mb)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads resident memory as Linux tells it")
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path: Path, direction: str) -> None:
    path = write_movie(
        tmp_path / "long.mp4",
        num_frames=2100,
        height=180,
        width=320,
        options={"preset": "ultrafast", "g": "50", "sc_threshold": "0"},
    )
    command = [sys.executable, "-c", READ, str(path), direction]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 50
