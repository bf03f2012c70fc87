"""The fast path equals the plain path: decord against PyAV, and which files go to which."""

from pathlib import Path

import numpy as np
import pytest

from samurai_batch.video.decoders import DecordDecoder, DecordGaveUpError, PyAVDecoder, decord_is_exact
from samurai_batch.video.packet_index import read_packet_index
from tests.video.movies import FASTSTART, write_movie, write_part, write_trimmed

CLOSED_GROUPS = {"g": "12", "bf": "2", "sc_threshold": "0"}
WIDTHS = [2, 16, 30, 48, 64, 96, 144, 160]  # rows of 16, 48, 96 and 144 pixels are padded by the decoder


@pytest.mark.parametrize("width", WIDTHS)
def test_decord_gives_what_pyav_gives_bit_for_bit(tmp_path: Path, width: int) -> None:
    path = write_movie(tmp_path / "movie.mp4", width=width, options=CLOSED_GROUPS)
    index = read_packet_index(path, "movie")
    assert decord_is_exact(index)
    fast, plain = DecordDecoder(path, 60, 48, width), PyAVDecoder(path, "movie", index)
    for start in (0, 29, 24, 59, 11):
        pairs = zip(fast.frames_from(start), plain.frames_from(start), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours, theirs)
    fast.close()
    plain.close()


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_ordinary_files_go_to_decord(tmp_path: Path, name: str) -> None:
    path = write_movie(tmp_path / name, options=CLOSED_GROUPS)
    assert decord_is_exact(read_packet_index(path, name))


def test_files_that_decord_reads_wrongly_go_to_pyav(tmp_path: Path) -> None:
    open_groups = {"x264-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0:scenecut=0"}
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    whole = write_movie(tmp_path / "whole.mp4", options=CLOSED_GROUPS, container_options=FASTSTART)
    paths = [
        write_movie(tmp_path / "open.mp4", options=open_groups),
        write_movie(tmp_path / "close_keys.mp4", options={"g": "2", "bf": "2"}, container_options=fragments),
        write_movie(tmp_path / "a.ts"),
        write_movie(tmp_path / "a.avi", codec="mpeg4"),
        write_trimmed(tmp_path / "trimmed.mp4", whole, num_cut=10),
        write_part(tmp_path / "part.mp4", whole, share=0.6),
    ]
    assert [path.name for path in paths if decord_is_exact(read_packet_index(path, path.name))] == []


def test_decord_gives_up_rather_than_repeat_a_frame(tmp_path: Path) -> None:
    whole = write_movie(tmp_path / "whole.mp4", options=CLOSED_GROUPS)
    trimmed = write_trimmed(tmp_path / "trimmed.mp4", whole, num_cut=10)
    decoder = DecordDecoder(trimmed, 60, 48, 64)
    with pytest.raises(DecordGaveUpError, match="duplicate"):
        list(decoder.frames_from(0))
    decoder.close()
