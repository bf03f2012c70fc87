from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.storage import as_one
from samurai_batch.video import StagingCache, open_staged, open_video
from tests.video.movies import FASTSTART, reference, write_movie

LENGTHS = (7, 1, 12)


def write_files(folder: Path) -> list[Path]:
    """Three files of one camera; the last one's clock starts late and is not even."""
    times = [1000 + 40 * index + (index % 3) for index in range(LENGTHS[2])]
    return [
        write_movie(folder / "cam_1.mp4", num_frames=LENGTHS[0]),
        write_movie(folder / "cam_2.mkv", num_frames=LENGTHS[1]),
        write_movie(folder / "cam_3.mkv", num_frames=LENGTHS[2], times_ms=times),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_files(tmp_path_factory.mktemp("files"))


def pixels_of(files: list[Path]) -> list[np.ndarray]:
    return [pixels for path in files for _, pixels in reference(path)]


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 19), last=st.integers(0, 19), step=st.integers(1, 6), ahead=st.booleans())
def test_frames_are_numbered_through_in_both_directions(
    files: list[Path], first: int, last: int, step: int, ahead: bool
) -> None:
    indices = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    expected = pixels_of(files)
    with open_video(as_one([str(path) for path in files]), ahead=ahead) as source:
        assert source.info.num_frames == sum(LENGTHS)
        for index, frame in zip(indices, source.frames(indices), strict=True):
            assert frame.index == index
            assert frame.timestamp_s == source.timestamp_s(index)
            np.testing.assert_array_equal(frame.pixels, expected[index])


def test_time_goes_on_from_file_to_file(files: list[Path]) -> None:
    with open_video(as_one([str(path) for path in files])) as source:
        times = [source.timestamp_s(index) for index in range(sum(LENGTHS))]
    assert times[:8] == pytest.approx([index / 25 for index in range(8)])
    own = [time for time, _ in reference(files[2])]
    assert times[8:] == pytest.approx([8 / 25 + time - own[0] for time in own])
    assert (np.diff(times) > 0).all()


def test_times_of_other_files_are_known_while_frames_are_read(files: list[Path]) -> None:
    with open_video(as_one([str(path) for path in files])) as source:
        frames = source.frames(range(sum(LENGTHS)))
        assert next(frames).index == 0
        assert source.timestamp_s(15) > source.timestamp_s(7) > source.timestamp_s(0)
        assert [frame.index for frame in frames] == list(range(1, sum(LENGTHS)))


def test_local_files_are_read_where_they_are_and_a_missing_one_is_named(files: list[Path], tmp_path: Path) -> None:
    cache = StagingCache(tmp_path / "cache", limit_bytes=10**9)
    with open_staged(as_one([str(path) for path in files]), cache) as source:
        assert len(list(source.frames(range(sum(LENGTHS))))) == sum(LENGTHS)
    with pytest.raises(VideoError, match=r"gone\.mp4 does not exist"):
        open_staged(as_one([str(files[0]), str(tmp_path / "gone.mp4")]), cache)


def test_a_file_of_another_size_is_refused_by_name(files: list[Path], tmp_path: Path) -> None:
    wide = write_movie(tmp_path / "wide.mp4", num_frames=3, width=96)
    with pytest.raises(VideoError, match=r"wide\.mp4 is 96x48 pixels, but .*cam_1\.mp4 64x48; files of one video must"):
        open_video(as_one([str(files[0]), str(wide)]))


def test_a_file_that_ends_early_is_told_by_its_frame_in_the_whole_video(files: list[Path], tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "whole.mp4", num_frames=60, container_options=FASTSTART, options={"g": "5"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(TruncatedVideoError) as alone, open_video(cut) as source:
        list(source.frames(range(60)))
    joined = as_one([str(files[0]), str(cut), str(files[0])])
    with open_video(joined) as source:
        assert source.info.num_frames == 7 + 60 + 7
        with pytest.raises(TruncatedVideoError, match=r"cut\.mp4") as found:
            list(source.frames(range(74)))
    assert found.value.frame_reached == 7 + alone.value.frame_reached
