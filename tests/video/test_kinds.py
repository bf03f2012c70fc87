"""Files whose packets are not frames, and files that are no videos: written here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samurai_batch.errors import VideoError
from samurai_batch.video import StagingCache, frame_index, open_staged, open_video
from tests.video.movies import picture, write_movie, write_part

HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "30", "b": "100k"}
INTRA_REFRESH = {"x264-params": "intra-refresh=1:keyint=20:bframes=0"}
MATROSKA_OPEN = {"x264-params": "open-gop=1:keyint=12:bframes=3:b-adapt=0:scenecut=0"}

WRITERS: dict[str, Callable[[Path], Path]] = {
    "b_frames.avi": lambda path: write_movie(path, options={"bf": "2", "g": "12"}),
    "b_frames.mpg": lambda path: write_movie(path, options={"bf": "2", "g": "12"}),
    "b_frames.h264": lambda path: write_movie(path, options={"bf": "2", "g": "12"}),
    "b_frames.asf": lambda path: write_movie(path, options={"bf": "2", "g": "12"}),
    "b_frames.nut": lambda path: write_movie(path, options={"bf": "2", "g": "12"}),
    "mpeg4.mp4": lambda path: write_movie(path, codec="mpeg4", options={"bf": "2", "g": "12"}),
    "mpeg4.mkv": lambda path: write_movie(path, codec="mpeg4", options={"bf": "2", "g": "12"}),
    "mpeg4.m4v": lambda path: write_movie(path, codec="mpeg4", options={"g": "12"}),
    "mpeg2.m2v": lambda path: write_movie(path, codec="mpeg2video", options={"bf": "2", "g": "12"}),
    "mpeg2.vob": lambda path: write_movie(path, codec="mpeg2video", options={"bf": "2", "g": "12"}),
    "hidden.webm": lambda path: write_movie(path, codec="libvpx", options=HIDDEN),
    "hidden9.webm": lambda path: write_movie(path, codec="libvpx-vp9", options=HIDDEN),
    "hidden.ivf": lambda path: write_movie(path, codec="libvpx", options=HIDDEN),
    "refreshed.mp4": lambda path: write_movie(path, options=INTRA_REFRESH),
    "refreshed.ts": lambda path: write_movie(path, options=INTRA_REFRESH),
    "open.mkv": lambda path: write_movie(path, options=MATROSKA_OPEN),
    "raw.avi": lambda path: write_movie(path, codec="rawvideo"),
    "lossless.avi": lambda path: write_movie(path, codec="ffv1", options={"g": "12"}),
}


@pytest.fixture(scope="module", params=WRITERS)
def movie(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp("kinds") / request.param)


def test_every_kind_shows_the_pictures_that_were_written_in_their_order(movie: Path) -> None:
    with open_video(movie) as source:
        assert source.info.num_frames == 60
        frames = list(source.frames(range(60)))
    for frame in frames:
        difference = frame.pixels.astype(int) - picture(frame.index, 48, 64)
        assert np.abs(difference).mean() < 20
    np.testing.assert_allclose(np.diff([frame.timestamp_s for frame in frames]), 0.04, atol=2e-3)


def test_any_frame_of_every_kind_is_the_same_wherever_reading_begins(movie: Path) -> None:
    with open_video(movie) as source:
        whole = list(source.frames(range(60)))
        for start in (59, 30, 31, 11, 47, 24):
            for frame in source.frames(range(start, min(start + 3, 60))):
                np.testing.assert_array_equal(frame.pixels, whole[frame.index].pixels)


@pytest.mark.parametrize("share", [0.13, 0.34, 0.61])
@pytest.mark.parametrize("name", ["b_frames.ts", "mpeg2.ts", "open.ts", "hevc.ts", "b_frames.h264"])
def test_a_stream_without_its_beginning_is_read_from_its_first_key_frame(
    tmp_path: Path, name: str, share: float
) -> None:
    codec = {"mpeg2": "mpeg2video", "hevc": "libx265"}.get(name.partition(".")[0], "libx264")
    options = MATROSKA_OPEN if name == "open.ts" else {"bf": "2", "g": "12"}
    if codec == "libx265":
        options = {"x265-params": "log-level=none:keyint=12:open-gop=1:pools=none"}
    data = write_movie(tmp_path / f"whole_{name}", codec=codec, options=options).read_bytes()
    at = int(share * len(data)) // 188 * 188
    (tmp_path / name).write_bytes(data[at:])
    with open_video(tmp_path / name) as source:
        num_frames = source.info.num_frames
        whole = list(source.frames(range(num_frames)))
        assert 60 * (1 - share) - 24 < num_frames <= 60
        for start in range(num_frames - 1, 0, -7):
            (frame,) = source.frames(range(start, start + 1))
            np.testing.assert_array_equal(frame.pixels, whole[start].pixels)


def test_a_raw_stream_may_be_cut_at_any_byte(tmp_path: Path) -> None:
    data = write_movie(tmp_path / "whole.h264", options={"bf": "2", "g": "12"}).read_bytes()
    for share in np.arange(0.02, 0.78, 0.04):  # the last key frame is at about 0.8
        (tmp_path / "cut.h264").write_bytes(data[int(share * len(data)) :])
        with open_video(tmp_path / "cut.h264") as source:
            assert 60 * (1 - share) - 24 < source.info.num_frames <= 60
            assert len(list(source.frames(range(source.info.num_frames)))) == source.info.num_frames


@pytest.mark.parametrize("name", ["joined.ts", "joined.vob"])
def test_joined_recordings_are_read_to_the_end_with_times_that_rise(tmp_path: Path, name: str) -> None:
    codec = {"joined.ts": "libx264", "joined.vob": "mpeg2video"}[name]
    one = write_movie(tmp_path / f"one_{name}", num_frames=40, codec=codec, options={"g": "12"}).read_bytes()
    (tmp_path / name).write_bytes(one + one)
    with open_video(tmp_path / name) as source:
        assert source.info.num_frames == 80
        frames = list(source.frames(range(80)))
        np.testing.assert_array_equal(frames[0].pixels, frames[40].pixels)
        np.testing.assert_allclose(np.diff([frame.timestamp_s for frame in frames]), 0.04, atol=1e-3)
        (late,) = source.frames(range(70, 71))
        np.testing.assert_array_equal(late.pixels, frames[70].pixels)


def test_a_truncated_avi_is_recognised_by_its_declared_length(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "whole.avi", codec="mjpeg", pixel_format="yuvj420p")
    with open_video(write_part(tmp_path / "part.avi", whole, share=0.5)) as source:
        assert source.info.num_frames == pytest.approx(60, abs=2)
        with pytest.raises(VideoError, match="the file ends before frame"):
            list(source.frames(range(source.info.num_frames)))


def test_the_frame_index_of_a_file_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_movie(tmp_path / "v.avi", codec="mpeg4", options={"g": "12"})
    with open_video(path):
        pass

    def never(*_: object) -> None:
        raise AssertionError("listed again")

    monkeypatch.setattr(frame_index, "list_packets", never)
    with open_video(path) as source:
        assert len(list(source.frames(range(60)))) == 60


# -- pictures


def test_a_picture_of_one_page_is_a_video_of_one_frame_in_every_format(tmp_path: Path) -> None:
    for ending in ("png", "webp", "tif", "jpg", "bmp"):
        Image.fromarray(picture(0, 48, 64)).save(tmp_path / f"one.{ending}")
        with open_video(tmp_path / f"one.{ending}") as source:
            assert (source.info.num_frames, source.info.height, source.info.width) == (1, 48, 64)


def test_pictures_of_an_animation_have_the_durations_in_the_file(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(picture(index, 48, 64)) for index in range(3)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=[100, 300, 50], lossless=True)
    with open_video(tmp_path / "a.webp") as source:
        assert [round(source.timestamp_s(index), 3) for index in range(3)] == [0.0, 0.1, 0.4]


def test_pages_of_a_tiff_are_frames_at_the_given_rate(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(picture(index, 48, 64)) for index in range(3)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    with open_video(tmp_path / "a.tif", fps=10) as source:
        assert [frame.timestamp_s for frame in source.frames(range(3))] == pytest.approx([0, 0.1, 0.2])
        (last,) = source.frames(range(2, 3))
        np.testing.assert_array_equal(last.pixels, picture(2, 48, 64))


def test_pages_of_different_sizes_are_refused(tmp_path: Path) -> None:
    first, second = (Image.fromarray(picture(0, 48, width)) for width in (64, 32))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with open_video(tmp_path / "a.tif") as source, pytest.raises(VideoError, match=r"picture 1 is 32x48 pixels.*64x48"):
        list(source.frames(range(2)))


def test_a_photograph_with_appended_smaller_copies_is_one_picture(tmp_path: Path) -> None:
    first, second = (Image.fromarray(picture(0, 48, width)) for width in (64, 32))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    with open_video(tmp_path / "a.jpg") as source:
        assert (source.info.num_frames, source.info.width) == (1, 64)


# -- what is no video


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("v.m3u8", b"#EXTM3U\n#EXTINF:4,\np0.ts\n", "is a playlist, which is not supported; make one file"),
        ("playlist", b"\xef\xbb\xbf#EXTM3U\nhttp://x/p0.ts\n", "is a playlist"),
        ("v.mpd", b"<?xml version='1.0'?>\n<MPD></MPD>", "is a playlist"),
        ("v.txt", b"ffconcat version 1.0\nfile a.mp4\n", "is a playlist"),
        ("v.mp4", b"\n<!DOCTYPE html><html>sign in</html>", "is a web page, not a video"),
    ],
)
def test_playlists_and_web_pages_are_refused_in_one_sentence(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(VideoError, match=message):
        open_video(tmp_path / name)


def test_a_folder_over_http_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="folder over https, whose files cannot be listed; copy the frames"):
        open_staged("https://nowhere.invalid/frames/", StagingCache(tmp_path, 10**9))
