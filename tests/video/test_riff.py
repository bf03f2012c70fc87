from pathlib import Path

import pytest

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
