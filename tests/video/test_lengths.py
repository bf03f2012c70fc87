from pathlib import Path

import pytest

from samurai_batch.errors import TruncatedVideoError
from samurai_batch.video import open_video
from samurai_batch.video.flv import ends_within_tag
from samurai_batch.video.riff import missing_bytes
from tests.video.movies import write_movie, write_part


def test_an_avi_knows_how_many_of_its_bytes_are_missing(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "a.avi", codec="mpeg4")
    part = write_part(tmp_path / "part.avi", whole, share=0.5)
    assert missing_bytes(whole) == 0
    assert missing_bytes(part) == whole.stat().st_size - part.stat().st_size


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0AVI ", b"RIFF\xff\xff\xff\xffAVI ", b"junk" * 9])
def test_what_does_not_say_how_long_it_is_misses_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(data)
    assert missing_bytes(tmp_path / "a.avi") == 0


def test_an_flv_ends_with_a_whole_tag_unless_it_is_cut(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "a.flv", options={"g": "12"})
    assert not ends_within_tag(whole)
    part = write_part(tmp_path / "part.flv", whole, share=0.6)
    assert ends_within_tag(part)
    with open_video(part) as source:
        assert source.info.num_frames == pytest.approx(60, abs=2)
        with pytest.raises(TruncatedVideoError, match="the file ends before frame"):
            list(source.frames(range(source.info.num_frames)))


@pytest.mark.parametrize("data", [b"", b"FLV", b"FLV\1\0\0\0\x09\0\0\0\0", b"\xff" * 40])
def test_what_has_no_whole_tag_ends_within_one(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.flv").write_bytes(data)
    assert ends_within_tag(tmp_path / "a.flv")
