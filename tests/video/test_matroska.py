from pathlib import Path

import pytest

from samurai_batch.video.matroska import missing_bytes
from tests.video.movies import write_movie, write_part


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_file_knows_how_many_of_its_bytes_are_missing(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    whole = write_movie(tmp_path / name, codec=codec)
    size_bytes = whole.stat().st_size
    assert missing_bytes(whole) == 0
    part = write_part(tmp_path / f"part_{name}", whole, share=0.5)
    assert missing_bytes(part) == size_bytes - part.stat().st_size


@pytest.mark.parametrize("size", [b"\xff", b"\x01" + b"\xff" * 7])
def test_a_live_recording_does_not_say_how_long_it_is(tmp_path: Path, size: bytes) -> None:
    path = tmp_path / "live.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + size + bytes(100))
    assert missing_bytes(path) == 0


@pytest.mark.parametrize("data", [b"", b"\x18\x53\x80\x67", b"\x18\x53\x80\x67\x00", b"junk" * 100])
def test_junk_misses_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "junk"
    path.write_bytes(data)
    assert missing_bytes(path) == 0
