"""Recordings and pictures that end too early, and what a file tells that FFmpeg's bindings do not name."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from samurai_batch.errors import TruncatedVideoError, VideoError
from samurai_batch.video import Frame, open_video
from samurai_batch.video.packet_decoder import checksum
from tests.video.movies import picture, write_movie, write_part, write_pixels

ORIENTATION = 0x0112  # of EXIF


def jpegs(num_frames: int, orientation: int = 1) -> list[bytes]:
    exif, found = Image.Exif(), []
    exif[ORIENTATION] = orientation
    for index in range(num_frames):
        file = io.BytesIO()
        Image.fromarray(picture(index, 48, 64)).save(file, "JPEG", quality=95, exif=exif)
        found.append(file.getvalue())
    return found


def write_packets(path: Path, packets: list[bytes]) -> Path:
    """A video of JPEGs as they are, as cameras write it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = index
            container.mux(packet)
    return path


def read_to_the_end(path: Path) -> tuple[list[Frame], int, TruncatedVideoError | None]:
    """The frames that can be read, how many are declared, and the error that ended reading."""
    read: list[Frame] = []
    with open_video(path) as source:
        try:
            read.extend(source.frames(range(source.info.num_frames)))
        except TruncatedVideoError as error:
            return read, source.info.num_frames, error
        return read, source.info.num_frames, None


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.ts", "libx264"), ("v.mpg", "mpeg2video"), ("v.asf", "mpeg4"), ("v.h264", "libx264")],
)
def test_a_recording_that_was_interrupted_within_its_last_frame_is_truncated_there(
    tmp_path: Path, name: str, codec: str
) -> None:
    whole = write_movie(tmp_path / name, codec=codec, height=96, width=128, options={"g": "12", "b": "2M", "crf": "5"})
    ends = []
    for share in (0.55, 0.6, 0.65, 0.7):
        read, num_frames, error = read_to_the_end(write_part(tmp_path / f"part_{name}", whole, share=share))
        assert len(read) == (num_frames if error is None else error.frame_reached) >= num_frames - 4 > 15
        ends.append(str(error))
    assert any("the file ends within frame" in end for end in ends)


def test_damage_on_the_last_frame_of_a_file_that_has_its_table_is_no_truncation(tmp_path: Path) -> None:
    noise = [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8) for seed in range(4)]
    path = write_pixels(tmp_path / "v.mp4", noise, {"bf": "0", "movflags": "faststart"})
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
        at, size = last.pos or 0, last.size
    data = bytearray(path.read_bytes())
    data[at + size // 2 : at + size] = bytes(size - size // 2)
    path.write_bytes(data)
    with open_video(path) as source, pytest.raises(VideoError, match="frame 3") as caught:
        list(source.frames(range(4)))
    assert not isinstance(caught.value, TruncatedVideoError)


@pytest.mark.parametrize("name", ["v.gif", "v.mjpeg"])
def test_a_last_picture_that_is_cut_off_is_not_filled_up_with_an_earlier_one(tmp_path: Path, name: str) -> None:
    path, pictures = tmp_path / name, jpegs(12)
    if name == "v.gif":
        first, *others = [Image.fromarray(picture(index, 48, 64)) for index in range(12)]
        first.save(path, save_all=True, append_images=others, duration=40)
    else:
        path.write_bytes(b"".join(pictures))
    whole, num_frames, error = read_to_the_end(path)
    assert (len(whole), num_frames, error) == (12, 12, None)
    (tmp_path / f"part_{name}").write_bytes(path.read_bytes()[:-200])
    read, num_frames, error = read_to_the_end(tmp_path / f"part_{name}")
    assert (len(read), num_frames) == (11, 12)
    assert error is not None
    for frame in read:
        np.testing.assert_array_equal(frame.pixels, whole[frame.index].pixels)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("ending", ["tif", "webp", "png", "bmp", "jpg"])
def test_a_picture_cut_anywhere_is_refused_in_one_sentence(tmp_path: Path, ending: str) -> None:
    pages = [Image.fromarray(picture(index, 48, 64)) for index in range(3)]
    several: dict[str, Any] = {"save_all": True, "append_images": pages[1:]} if ending in ("tif", "webp") else {}
    pages[0].save(tmp_path / f"whole.{ending}", **several)
    data, path = (tmp_path / f"whole.{ending}").read_bytes(), tmp_path / f"part.{ending}"
    for size in range(1, len(data) - 100, max(1, len(data) // 40)):
        path.write_bytes(data[:size])
        with pytest.raises(VideoError, match=r"^[^\n]*copy it again from its source[^\n]*$"):
            read_to_the_end(path)


def test_a_video_under_the_name_of_a_picture_is_told_to_be_renamed(tmp_path: Path) -> None:
    write_movie(tmp_path / "v.mp4", num_frames=3).rename(tmp_path / "v.jpg")
    with pytest.raises(VideoError, match=r"cannot be read as a picture .*give it the suffix of a video if it is one"):
        open_video(tmp_path / "v.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_of_a_camera_are_shown_as_their_exif_data_say(tmp_path: Path, orientation: int) -> None:
    packets = jpegs(3, orientation)
    with open_video(write_packets(tmp_path / "v.avi", packets)) as source:
        for frame in source.frames(range(3)):
            with Image.open(io.BytesIO(packets[frame.index])) as image:
                expected: NDArray[np.uint8] = np.asarray(ImageOps.exif_transpose(image))
            assert frame.pixels.shape == expected.shape
            assert np.abs(frame.pixels.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("name", ["rgb24", "bgra", "rgb555le", "gray16le", "yuv420p", "yuv420p10le", "yuyv422", "nv12"])
def test_checksums_tell_a_change_in_any_column(name: str) -> None:
    def of(pixels: NDArray[np.uint8]) -> int:
        return checksum(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=name))

    plain = np.full((8, 24, 3), 90, np.uint8)
    sums = {of(plain)}
    for left in range(0, 24, 8):
        changed = plain.copy()
        changed[:, left : left + 8] = 200
        sums.add(of(changed))
    assert len(sums) == 4


def test_a_missing_file_is_named_with_what_may_be_wrong_with_its_name(tmp_path: Path) -> None:
    write_movie(tmp_path / "a clip #1?.mp4", num_frames=2)
    open_video(tmp_path / "a clip #1?.mp4").close()
    with pytest.raises(VideoError, match=r"a%20clip%20%231%3F.mp4 does not exist, but .*a clip #1\?.mp4 does; write"):
        open_video(f"file://{tmp_path}/a%20clip%20%231%3F.mp4")
    with pytest.raises(VideoError, match="does not exist; environment variables are not filled in"):
        open_video("$DATA/clip.mp4")
    with pytest.raises(VideoError, match=r"does not exist$"):
        open_video(tmp_path / "100%.mp4")
