"""Truncation as the bytes of AVI, FLV and Matroska files tell it."""

from pathlib import Path

import pytest

from samurai_batch.errors import TruncatedVideoError
from samurai_batch.video import open_video
from samurai_batch.video.containers import flv_ends_within_tag, missing_matroska_bytes, missing_riff_bytes
from tests.video.movies import write_movie, write_part


def test_an_avi_file_declares_how_many_of_its_bytes_are_missing(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "a.avi", codec="mpeg4")
    part = write_part(tmp_path / "part.avi", whole, share=0.5)
    assert missing_riff_bytes(whole) == 0
    assert missing_riff_bytes(part) == whole.stat().st_size - part.stat().st_size


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0AVI ", b"RIFF\xff\xff\xff\xffAVI ", b"junk" * 9])
def test_an_avi_file_without_a_declared_length_counts_as_whole(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(data)
    assert missing_riff_bytes(tmp_path / "a.avi") == 0


def test_an_flv_file_ends_with_a_whole_tag_unless_it_is_truncated(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "a.flv", options={"g": "12"})
    assert not flv_ends_within_tag(whole)
    part = write_part(tmp_path / "part.flv", whole, share=0.6)
    assert flv_ends_within_tag(part)
    with open_video(part) as source:
        assert source.info.num_frames == pytest.approx(60, abs=2)
        with pytest.raises(TruncatedVideoError, match="the file ends before frame"):
            list(source.frames(range(source.info.num_frames)))


@pytest.mark.parametrize("data", [b"", b"FLV", b"FLV\1\0\0\0\x09\0\0\0\0", b"\xff" * 40])
def test_an_flv_file_without_a_whole_tag_is_truncated(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.flv").write_bytes(data)
    assert flv_ends_within_tag(tmp_path / "a.flv")


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_matroska_file_declares_how_many_of_its_bytes_are_missing(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    whole = write_movie(tmp_path / name, codec=codec)
    size_bytes = whole.stat().st_size
    assert missing_matroska_bytes(whole) == 0
    part = write_part(tmp_path / f"part_{name}", whole, share=0.5)
    assert missing_matroska_bytes(part) == size_bytes - part.stat().st_size


@pytest.mark.parametrize("size", [b"\xff", b"\x01" + b"\xff" * 7])
def test_a_live_matroska_recording_declares_no_length(tmp_path: Path, size: bytes) -> None:
    path = tmp_path / "live.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + size + bytes(100))
    assert missing_matroska_bytes(path) == 0


@pytest.mark.parametrize("data", [b"", b"\x18\x53\x80\x67", b"\x18\x53\x80\x67\x00", b"junk" * 100])
def test_a_file_that_is_no_matroska_counts_as_whole(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "junk"
    path.write_bytes(data)
    assert missing_matroska_bytes(path) == 0
