"""Measures the peak memory of tracking, in a short and a longer clip: it does not grow with the number of frames."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

from samurai_batch.benchmark.clip import clip_tracks, write_clip
from samurai_batch.benchmark.subprocesses import in_subprocess
from samurai_batch.job import JobConfig

NUM_TRACKS = 8
STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Peak memory of a process that tracks 8 objects through a short clip, and through a longer one."""

    short_frames: int
    short_bytes: int
    long_frames: int
    long_bytes: int


def measure_peak(config: JobConfig, num_frames: int, folder: Path) -> Peak:
    """Track clips of ``num_frames`` / 3 and of ``num_frames`` frames, each in a new process; libraries are included."""
    lengths = (max(2, num_frames // 3), num_frames)
    clips = [str(write_clip(folder / f"memory{length}.mp4", length)) for length in lengths]
    short, long = (in_subprocess(peak_of_tracking, config, clip) for clip in clips)
    return Peak(short_frames=lengths[0], short_bytes=short, long_frames=lengths[1], long_bytes=long)


def peak_of_tracking(config: JobConfig, clip: str) -> int:
    """Track a clip, and return this process's peak memory in bytes."""
    from samurai_batch.modeling.checkpoints import load_weights
    from samurai_batch.modeling.process import prepare_process
    from samurai_batch.pipeline import track_video
    from samurai_batch.runtime.assembly import make_tracker, network_threads
    from samurai_batch.video import open_video

    prepare_process(network_threads(config))
    tracker = make_tracker(config, load_weights(config.model, config.weights))
    with open_video(clip) as source:
        track_video(tracker, source, clip_tracks(Path(clip), NUM_TRACKS), frames_per_batch=config.frames_per_batch)
    return peak_bytes()


def peak_bytes() -> int:
    """The peak memory of this process so far in bytes, private and mapped (resident set size)."""
    if STATUS.exists():  # on Linux, a child's ru_maxrss starts at its parent's
        lines = STATUS.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
