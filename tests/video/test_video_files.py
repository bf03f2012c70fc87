import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.video import Frame, VideoSource, open_video
from samurai_batch.video.file_reader import PyavDecoder
from samurai_batch.video.frames import Pixels
from tests.video.movies import (
    FASTSTART,
    picture,
    reference,
    write_movie,
    write_part,
    write_trimmed,
    write_two_sizes,
)

CLOSED_GROUPS = {"g": "25", "bf": "2", "sc_threshold": "0"}
OPEN_GROUPS = {"x264-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0:scenecut=0"}
UNEVEN_MS = [0, 100, 110, 143, 643, 650, 700, 1700, 1733, 1766, 1800, 2400, 2410, 2420, 2430, 5000]

WRITERS: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": write_movie,
    "groups.mp4": lambda path: write_movie(path, options=CLOSED_GROUPS),
    "groups.mov": lambda path: write_movie(path, options=CLOSED_GROUPS),
    "groups.mkv": lambda path: write_movie(path, options=CLOSED_GROUPS),
    "groups.flv": lambda path: write_movie(path, options={"g": "12"}),
    "groups.ts": lambda path: write_movie(path, options={"g": "12"}),
    "groups.webm": lambda path: write_movie(path, codec="libvpx-vp9", options={"g": "12", "deadline": "realtime"}),
    "vp8.webm": lambda path: write_movie(path, codec="libvpx", options={"g": "12", "deadline": "realtime"}),
    "groups.avi": lambda path: write_movie(path, codec="mpeg4", options={"g": "12"}),
    "groups.mpg": lambda path: write_movie(path, codec="mpeg2video", options={"g": "12"}),
    "motion.avi": lambda path: write_movie(path, codec="mjpeg", pixel_format="yuvj420p"),
    "fragments.mp4": lambda path: write_movie(
        path, options={"g": "12"}, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "open_groups.mp4": lambda path: write_movie(path, options=OPEN_GROUPS),
    "open_groups.mkv": lambda path: write_movie(path, options=OPEN_GROUPS),
    "open_groups_hevc.mp4": lambda path: write_movie(
        path, codec="libx265", options={"x265-params": "log-level=none:keyint=10:open-gop=1:pools=none"}
    ),
    "late_start.mkv": lambda path: write_movie(path, num_frames=20, times_ms=range(1000, 1800, 40)),
    "uneven.mp4": lambda path: write_movie(path, times_ms=UNEVEN_MS),
    "uneven.mkv": lambda path: write_movie(path, times_ms=UNEVEN_MS),
    "trimmed.mp4": lambda path: write_trimmed(
        path, write_movie(path.with_name("whole.mp4"), options={"g": "25"}), num_cut=10
    ),
    "odd_sizes.mkv": lambda path: write_movie(path, height=47, width=63, pixel_format="yuv444p"),
    "padded_rows.mp4": lambda path: write_movie(path, width=48),
    "one_frame.mp4": lambda path: write_movie(path, num_frames=1),
    "one_pixel.mkv": lambda path: write_movie(path, height=1, width=1, codec="ffv1", pixel_format="bgr0"),
    **{
        f"turned_{turn}.{ending}": lambda path, turn=turn: write_movie(path, num_frames=6, rotation=turn)  # type: ignore[misc]
        for turn in (90, 180, 270)
        for ending in ("mp4", "mkv")
    },
}


@pytest.fixture(scope="module", params=WRITERS)
def movie(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp("movies") / request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    return write_movie(folder / "plain.mp4", options=CLOSED_GROUPS, container_options=FASTSTART)


def assert_frames(source: VideoSource, indices: range, path: Path) -> None:
    expected = reference(path)
    frames = list(source.frames(indices))
    assert [frame.index for frame in frames] == list(indices)
    for frame in frames:
        time_s, pixels = expected[frame.index]
        assert frame.timestamp_s == time_s == source.timestamp_s(frame.index)
        np.testing.assert_array_equal(frame.pixels, pixels)


def test_every_frame_of_every_format_has_the_pixels_and_time_that_pyav_gives_it(movie: Path) -> None:
    with open_video(movie) as source:
        assert source.info.num_frames == len(reference(movie))
        assert_frames(source, range(source.info.num_frames), movie)


def test_any_range_of_every_format_equals_that_part_of_the_whole(movie: Path) -> None:
    with open_video(movie) as source:
        num_frames = source.info.num_frames
        for start in (num_frames - 1, num_frames // 2, num_frames // 3, 0, num_frames * 2 // 3):
            assert_frames(source, range(start, min(start + 7, num_frames)), movie)
            assert_frames(source, range(start, max(start - 7, -1), -1), movie)
            assert_frames(source, range(start, num_frames, 3), movie)
            assert_frames(source, range(start, -1, -4), movie)


@settings(max_examples=25, deadline=None)
@given(first=st.integers(0, 59), last=st.integers(0, 59), step=st.integers(1, 5), ahead=st.booleans())
def test_ranges_may_go_either_way_and_skip_frames(plain: Path, first: int, last: int, step: int, ahead: bool) -> None:
    indices = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    with open_video(plain, ahead=ahead) as source:
        assert [frame.index for frame in source.frames(indices)] == list(indices)


def test_with_ahead_off_no_thread_decodes_frames(plain: Path) -> None:
    with open_video(plain, ahead=False) as source:
        before = threading.active_count()
        frames = source.frames(range(60))
        assert next(frames).index == 0
        assert threading.active_count() == before
        assert next(source.frames(range(7, 9))).index == 7
        assert next(frames, None) is None  # the iteration before has ended


def test_going_backward_in_small_blocks_gives_the_same_frames(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samurai_batch.video.source.BLOCK_BYTES", 7 * 3 * 48 * 64)
    with open_video(plain) as source:
        assert_frames(source, range(59, -1, -1), plain)


def test_the_written_pictures_come_out_in_order(plain: Path) -> None:
    with open_video(plain) as source:
        for frame in source.frames(range(60)):
            difference = frame.pixels.astype(int) - picture(frame.index, 48, 64)
            assert np.abs(difference).mean() < 15


def test_frames_are_copies_that_outlive_the_source(plain: Path) -> None:
    with open_video(plain) as source:
        frames = list(source.frames(range(30)))
    for frame, (_, pixels) in zip(frames, reference(plain), strict=False):
        assert frame.pixels.flags.c_contiguous
        np.testing.assert_array_equal(frame.pixels, pixels)


def test_an_empty_range_yields_nothing(plain: Path) -> None:
    with open_video(plain) as source:
        assert list(source.frames(range(5, 5))) == []


def test_a_frame_beyond_the_end_is_refused_with_the_last_frame_named(plain: Path) -> None:
    with open_video(plain) as source:
        with pytest.raises(VideoError, match=r"no frame 60; its frames are 0 to 59"):
            source.frames(range(50, 61))
        with pytest.raises(VideoError, match="no frame -1"):
            source.timestamp_s(-1)


def test_a_consumer_may_stop_early_and_begin_elsewhere(plain: Path) -> None:
    with open_video(plain) as source:
        first: Iterator[object] = source.frames(range(60))
        next(first)
        assert_frames(source, range(40, 45), plain)
        assert list(first) == []


def test_reading_on_where_the_last_range_ended_does_not_seek(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    frames_from = PyavDecoder.frames_from

    def noted_frames_from(decoder: PyavDecoder, start: int, step: int) -> Iterator[Pixels]:
        starts.append(start)
        return frames_from(decoder, start, step)

    with open_video(plain) as source:
        monkeypatch.setattr(PyavDecoder, "frames_from", noted_frames_from)
        for start in range(0, 60, 20):
            assert_frames(source, range(start, start + 20), plain)
        for start in range(0, 60, 20):
            assert_frames(source, range(start, start + 20, 5), plain)
    assert starts == [0, 0]


def test_metadata_in_another_encoding_is_tolerated(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "movie.mkv", num_frames=5)
    data = path.read_bytes()
    assert b"DURATION" in data
    path.write_bytes(data.replace(b"DURATION", b"DUR\xfcTION"))
    with open_video(path) as source:
        assert len(list(source.frames(range(5)))) == 5


# -- what is no video


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (np.random.default_rng(0).bytes(100_000), "not a readable video"),
        (b"not a video\n" * 500, "not a readable video"),
    ],
)
def test_junk_is_a_video_error(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "junk.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=message):
        open_video(path)


def test_a_missing_file_is_a_video_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        open_video(tmp_path / "nowhere.mp4")


def test_sound_alone_is_a_video_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        open_video(path)


# -- what is a video in part


@pytest.mark.parametrize(
    ("name", "share"),
    [("groups.avi", 0.6), *itertools.product(("plain.mp4", "groups.mkv", "groups.webm"), (0.6, 0.8, 0.95))],
)
def test_a_truncated_video_says_which_frame_was_reached(tmp_path: Path, name: str, share: float) -> None:
    if name == "plain.mp4":
        whole = write_movie(tmp_path / name, num_frames=100, container_options=FASTSTART)
    else:
        codec = {"groups.mkv": "libx264", "groups.webm": "libvpx-vp9", "groups.avi": "mpeg4"}[name]
        whole = write_movie(tmp_path / name, num_frames=100, codec=codec, options={"g": "12"})
    part = write_part(tmp_path / f"part_{name}", whole, share=share)
    expected = reference(whole)
    with open_video(part) as source:
        assert source.info.num_frames == pytest.approx(100, abs=2)
        read: list[Frame] = []
        with pytest.raises(TruncatedVideoError, match="ends before frame") as caught:
            read.extend(source.frames(range(source.info.num_frames)))
        assert len(read) == caught.value.frame_reached
        assert 0 < len(read) < source.info.num_frames
        assert len(read) >= len(reference(part)) - 3
        for frame in read:
            np.testing.assert_array_equal(frame.pixels, expected[frame.index][1])
            assert frame.timestamp_s == expected[frame.index][0]
        with pytest.raises(TruncatedVideoError):
            source.timestamp_s(caught.value.frame_reached)
        with pytest.raises(TruncatedVideoError):
            next(source.frames(range(source.info.num_frames - 1, -1, -1)))


def test_the_first_half_of_a_file_with_its_table_at_the_end_is_not_a_video(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "whole.mp4")
    part = write_part(tmp_path / "part.mp4", whole, share=0.5)
    with pytest.raises(VideoError, match="not a readable video"):
        open_video(part)


def test_damage_in_the_middle_is_reported_with_its_frame_and_the_frames_before_are_right(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "whole.mp4", num_frames=100, container_options=FASTSTART)
    data = bytearray(whole.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 300] = b"\xff" * 300
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    expected = reference(whole)
    read: list[Frame] = []
    with open_video(damaged) as source, pytest.raises(VideoError, match=r"frame \d+.*damaged"):
        read.extend(source.frames(range(100)))
    assert len(read) > 10
    for frame in read:
        np.testing.assert_array_equal(frame.pixels, expected[frame.index][1])


@pytest.mark.parametrize(("name", "codec"), [("two.webm", "libvpx"), ("two.ts", "libx264"), ("two.mkv", "libx264")])
def test_a_change_of_size_is_reported_at_its_frame(tmp_path: Path, name: str, codec: str) -> None:
    path = write_two_sizes(tmp_path / name, codec=codec)
    read: list[Frame] = []
    with open_video(path) as source, pytest.raises(VideoError, match=r"frame 20 is 96x80 pixels.*64x48"):
        read.extend(source.frames(range(40)))
    assert [frame.index for frame in read] == list(range(20))
