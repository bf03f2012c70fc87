"""decord beside PyAV: the same frames wherever it is allowed, a refusal elsewhere, and memory that is bounded."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from samurai_batch.errors import VideoError
from samurai_batch.job import load_job
from samurai_batch.video import decord_decoder, open_video
from tests.video.movies import write_movie, write_trimmed, write_two_sizes

INPUTS = Path(__file__).parent / "inputs"
CLOSED = {"g": "25", "bf": "2", "sc_threshold": "0"}
HEVC = {"x265-params": "log-level=none:keyint=12:open-gop=0:pools=none"}
OPEN_HEVC = {"x265-params": "log-level=none:keyint=10:open-gop=1:pools=none"}

ALLOWED: dict[str, Callable[[Path], Path]] = {
    "groups.mp4": lambda path: write_movie(path, options=CLOSED),
    "groups.mov": lambda path: write_movie(path, options=CLOSED),
    "groups.mkv": lambda path: write_movie(path, options=CLOSED),
    "one_group.mp4": write_movie,
    "intra.mp4": lambda path: write_movie(path, num_frames=20, options={"g": "1"}),
    "hevc.mp4": lambda path: write_movie(path, codec="libx265", options=HEVC),
    "hevc.mkv": lambda path: write_movie(path, codec="libx265", options=HEVC),
    "late.mkv": lambda path: write_movie(path, num_frames=20, times_ms=range(1000, 1800, 40)),
    "uneven.mp4": lambda path: write_movie(path, times_ms=[0, 100, 110, 143, 643, 650, 700, 1700, 1733, 5000]),
    "odd.mkv": lambda path: write_movie(path, height=47, width=63, pixel_format="yuv444p"),
    "full.mp4": lambda path: write_movie(path, pixel_format="yuvj420p", options=CLOSED),
}

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "v.ts": (lambda path: write_movie(path, options=CLOSED), "h264 in mpegts"),
    "v.avi": (lambda path: write_movie(path, codec="mpeg4"), "mpeg4 in avi"),
    "v.webm": (lambda path: write_movie(path, codec="libvpx-vp9"), "vp9 in matroska"),
    "open.mp4": (lambda path: write_movie(path, codec="libx265", options=OPEN_HEVC), "open groups"),
    "refreshed.mp4": (
        lambda path: write_movie(path, options={"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
        "key frames need frames before them",
    ),
    "turned.mp4": (lambda path: write_movie(path, num_frames=6, rotation=90), "metadata rotates or mirrors it"),
    "ten_bits.mkv": (lambda path: write_movie(path, pixel_format="yuv420p10le"), "not YUV of 8 bits"),
    "two_sizes.mkv": (lambda path: write_two_sizes(path, codec="libx264"), "change their format"),
    "trimmed.mp4": (
        lambda path: write_trimmed(path, write_movie(path.with_name("w.mp4"), options=CLOSED), num_cut=10),
        "an edit list",
    ),
}


def assert_alike(path: Path) -> None:
    with open_video(path) as one, open_video(path, decoder="decord") as other:
        assert one.info == other.info
        num_frames = one.info.num_frames
        whole = list(one.frames(range(num_frames)))
        for start, stop in ((0, num_frames), (num_frames - 1, num_frames), (num_frames // 2, num_frames), (3, 9)):
            read = list(other.frames(range(start, min(stop, num_frames))))
            assert [frame.index for frame in read] == list(range(start, min(stop, num_frames)))
            for frame in read:
                assert frame.timestamp_s == whole[frame.index].timestamp_s
                np.testing.assert_array_equal(frame.pixels, whole[frame.index].pixels)
        for frame in other.frames(range(num_frames - 1, -1, -1)):
            np.testing.assert_array_equal(frame.pixels, whole[frame.index].pixels)


@pytest.mark.parametrize("name", ALLOWED)
def test_where_decord_is_allowed_its_frames_are_pyavs_bit_for_bit(tmp_path: Path, name: str) -> None:
    assert_alike(ALLOWED[name](tmp_path / name))


@pytest.mark.parametrize("name", ["groups.mp4", "one_group.mp4", "hevc.mkv"])
def test_long_groups_of_pictures_are_decoded_in_parts(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decord_decoder, "MAX_DECODED_BYTES", 7 * 3 * 48 * 64)
    assert_alike(ALLOWED[name](tmp_path / name))


@pytest.mark.parametrize("name", ["base.mp4", "anim.webp", "stack.tif"])
def test_decord_gives_the_same_frames_for_the_inputs_that_it_accepts(name: str) -> None:
    assert_alike(INPUTS / name)  # the last two are pictures, which PIL reads whoever decodes videos


@pytest.mark.parametrize("path", sorted(INPUTS.iterdir()), ids=lambda path: path.name)
def test_every_other_input_is_refused_with_the_remedy(path: Path) -> None:
    if path.name in {"base.mp4", "anim.webp", "stack.tif"}:
        return
    remedy = {"song.mp3": "give a video", "matrix_45.mp4": "re-encode it"}.get(path.name, "use decoder auto")
    with pytest.raises(VideoError, match=remedy):
        open_video(path, decoder="decord")


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_decord_would_not_read_exactly_is_refused_with_reason_and_remedy(tmp_path: Path, name: str) -> None:
    write, reason = REFUSED[name]
    path = write(tmp_path / name)
    with pytest.raises(VideoError, match=f"{reason}.*use decoder auto"):
        open_video(path, decoder="decord")
    open_video(path).close()


def test_auto_does_not_load_decord(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "v.mp4", options=CLOSED)
    code = f"import sys; from samurai_batch.video import open_video; list(open_video({str(path)!r}).frames(range(60)))"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'decord' not in sys.modules"], check=True)


def test_the_decoder_is_a_field_of_a_job() -> None:
    texts = {"prompts": "p.csv", "output": "o"}
    assert load_job(None, texts).decoder == "auto"
    assert load_job(None, texts | {"decoder": "decord"}).decoder == "decord"


PEAK = """
import sys, time
from pathlib import Path
from samurai_batch.video import open_video
import samurai_batch.video.decord_decoder

def resident_mb(field):
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields[field].split()[0]) / 1000

before_mb = resident_mb("VmRSS")
with open_video(sys.argv[1], decoder=sys.argv[2]) as source:
    for _ in source.frames(range(source.info.num_frames)):
        time.sleep(0.01)
print(resident_mb("VmHWM") - before_mb)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads resident memory as Linux tells it")
@pytest.mark.parametrize("group", [50, 250])
def test_1500_frames_of_720p_read_slowly_take_less_than_300_mb(tmp_path: Path, group: int) -> None:
    """All of them take 4 GB."""
    options = {"preset": "ultrafast", "g": str(group), "sc_threshold": "0"}
    path = write_movie(tmp_path / "long.mp4", num_frames=1500, height=720, width=1280, options=options)
    commands = {name: [sys.executable, "-c", PEAK, str(path), name] for name in ("pyav", "decord")}
    readers = {name: subprocess.Popen(command, stdout=subprocess.PIPE) for name, command in commands.items()}
    peaks_mb = {name: float(reader.communicate()[0]) for name, reader in readers.items()}
    assert max(peaks_mb.values()) < 300, peaks_mb
