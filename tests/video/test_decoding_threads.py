"""Several decoding threads give the frames and errors of one, for whole and for damaged files."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from samurai_batch.errors import VideoError
from samurai_batch.job import make_job
from samurai_batch.runtime import assembly
from samurai_batch.runtime.assembly import decoding_threads
from samurai_batch.video import open_video
from samurai_batch.video.packet_decoder import PacketDecoder
from tests.video.movies import write_movie

INPUTS = sorted((Path(__file__).parent / "inputs").iterdir())
KINDS = {
    "h264 with B-frames": ("a.mp4", "libx264", {"g": "20", "bf": "3"}),
    "h264 with open groups": ("a.mkv", "libx264", {"g": "12", "bf": "2", "x264-params": "open-gop=1"}),
    "h264 in slices": ("a.mp4", "libx264", {"g": "20", "slices": "4"}),
    "hevc": ("a.mp4", "libx265", {"g": "20", "x265-params": "log-level=none:pools=none"}),
    "vp9": ("a.webm", "libvpx-vp9", {"g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "av1": ("a.mp4", "libsvtav1", {"g": "20", "preset": "12"}),
    "prores": ("a.mov", "prores_ks", {}),
    "mpeg4": ("a.avi", "mpeg4", {"g": "12"}),
}
Read = tuple[list[NDArray[np.uint8]], str]


def read(path: Path, num_threads: int, first: int = 0) -> Read:
    """All frames that can be read from ``first`` on, and the error that ended it."""
    frames: list[NDArray[np.uint8]] = []
    try:
        with open_video(path, num_threads=num_threads, ahead=False) as source:
            frames.extend(frame.pixels for frame in source.frames(range(first, source.info.num_frames)))
    except VideoError as error:
        return frames, str(error)
    return frames, ""


def assert_alike(one: Read, other: Read) -> None:
    assert len(one[0]) == len(other[0])
    assert one[1] == other[1]
    for number, (expected, pixels) in enumerate(zip(*(frames for frames, _ in (one, other)), strict=True)):
        np.testing.assert_array_equal(expected, pixels, err_msg=f"frame {number}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_and_every_error_is_that_of_one_thread(tmp_path: Path, kind: str) -> None:
    """Of 8 files each a few bytes of which are overwritten, at places that are the same in every run of the test."""
    name, codec, options = KINDS[kind]
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    path = write_movie(
        tmp_path / name,
        codec=codec,
        options=options,
        num_frames=50,
        height=96,
        width=128,
        pixel_format=pixel_format,
    )
    assert_alike(read(path, 1), read(path, 3))
    assert_alike(read(path, 1, 33), read(path, 3, 33))
    data, random, num_failed = path.read_bytes(), np.random.default_rng(0), 0
    for number in range(8):
        broken = bytearray(data)
        for place in random.integers(len(data) // 4, len(data) - 200, 3):
            broken[place : place + 6] = random.bytes(6)
        damaged = tmp_path / f"{number}{path.suffix}"
        damaged.write_bytes(broken)
        alone = read(damaged, 1)
        assert_alike(alone, read(damaged, 4))
        num_failed += bool(alone[1])
    assert num_failed or codec in ("libvpx-vp9", "mpeg4", "prores_ks")


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_inputs_from_elsewhere_are_read_alike(path: Path) -> None:
    assert_alike(read(path, 1), read(path, 4))


@pytest.mark.parametrize(
    ("name", "codec", "num_threads"), [("a.webm", "libvpx-vp9", 3), ("a.mp4", "libx265", 3), ("a.mp4", "libx264", 1)]
)
def test_threads_decode_the_codecs_whose_damage_they_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str, num_threads: int
) -> None:
    used: list[int] = []
    frames_from = PacketDecoder.frames_from

    def noted(decoder: PacketDecoder, first: int, *, tolerate_damage: bool = False) -> object:
        used.append(decoder.stream.codec_context.thread_count)
        return frames_from(decoder, first, tolerate_damage=tolerate_damage)

    path = write_movie(tmp_path / name, codec=codec, num_frames=20)
    with open_video(path, num_threads=3, ahead=False) as source:
        monkeypatch.setattr(PacketDecoder, "frames_from", noted)
        assert len(list(source.frames(range(20)))) == 20
    assert set(used) == {num_threads}


@pytest.mark.parametrize(
    ("device", "num_cpus", "expected"), [("cpu", 8.0, 1), ("cuda", 1.0, 1), ("cuda", 4.0, 3), ("cuda", 64.0, 16)]
)
def test_a_replica_on_a_gpu_decodes_with_its_cpus(device: str, num_cpus: float, expected: int) -> None:
    job = make_job({"prompts": "p", "output": "o", "device": device, "num_cpus_per_replica": num_cpus})
    assert decoding_threads(job) == expected
    assert assembly.MAX_DECODING_THREADS == 16
