from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.video import Frame, open_video


def write_frames(folder: Path, names: list[str], height: int = 6, width: int = 8) -> Path:
    """One image per name; its red is the name's position, times 20."""
    folder.mkdir(exist_ok=True)
    for position, name in enumerate(names):
        Image.fromarray(np.full((height, width, 3), (20 * position, 0, 0), np.uint8)).save(folder / name)
    return folder


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", [f"take2_{number}.png" for number in range(8, 13)])
    with open_video(folder) as source:
        assert (source.info.num_frames, source.info.height, source.info.width) == (5, 6, 8)
        assert [int(frame.pixels[0, 0, 0]) for frame in source.frames(range(5))] == [0, 20, 40, 60, 80]
        assert [int(frame.pixels[0, 0, 0]) for frame in source.frames(range(3, 0, -1))] == [60, 40, 20]


def test_frames_of_a_folder_have_the_given_rate(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", ["0.png", "1.png", "2.png"])
    with open_video(folder) as source:
        assert source.timestamp_s(2) == 2 / 25
    with open_video(folder, fps=10) as source:
        assert [frame.timestamp_s for frame in source.frames(range(3))] == [0, 0.1, 0.2]
    with pytest.raises(ConfigError, match="fps=0"):
        open_video(folder, fps=0)


def test_other_files_and_hidden_ones_are_ignored(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", ["1.png", "2.png"])
    for name in ("notes.txt", ".1.png", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    with open_video(folder) as source:
        assert source.info.num_frames == 2


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    image = Image.fromarray(np.zeros((8, 16, 3), np.uint8))
    image.paste((255, 255, 255), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(folder / "0.jpg", exif=exif, quality=95)
    with open_video(folder) as source:
        (frame,) = source.frames(range(1))
    assert frame.pixels.shape == (16, 8, 3)
    assert frame.pixels[:8].mean() > 200 > 50 > frame.pixels[8:].mean()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_every_8_bit_image_comes_out_as_rgb(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(folder / "0.png")
    with open_video(folder) as source:
        (frame,) = source.frames(range(1))
    assert frame.pixels.shape == (3, 4, 3)
    assert frame.pixels.dtype == np.uint8
    assert frame.pixels.min() == 255


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no .jpg, .jpeg or .png frames"),
        (["1.png", "2.png", "4.png"], "no frame between 2.png and 4.png"),
        (["1.png", "01.png"], "01.png and 1.png have the same number, the last in their names; rename one of them"),
        (["1.bmp", "2.bmp", "1.tif"], "holds no .jpg, .jpeg or .png frames; save its .bmp, .tif files as .png"),
        (["1.png", "1.jpg"], "1.jpg and 1.png have the same number"),
        (["cover.png", "1.png"], "cover.png has no number"),
    ],
)
def test_a_folder_that_is_no_video_says_why(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        open_video(write_frames(tmp_path / "v", names))


def test_a_change_of_size_is_reported_at_its_frame(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", ["0.png", "1.png", "2.png"])
    Image.new("RGB", (10, 6)).save(folder / "2.png")
    read: list[Frame] = []
    with open_video(folder) as source, pytest.raises(VideoError, match=r"2.png \(frame 2\) is 10x6 pixels.*8x6"):
        read.extend(source.frames(range(3)))
    assert [frame.index for frame in read] == [0, 1]


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_image_is_reported_by_name(tmp_path: Path, damage: bytes | None) -> None:
    folder = write_frames(tmp_path / "v", ["0.png", "1.png"], height=60, width=60)
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2] if damage is None else damage)
    with open_video(folder) as source, pytest.raises(VideoError, match=r"1.png \(frame 1\) cannot be read"):
        list(source.frames(range(2)))


def test_an_image_of_16_bits_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(folder / "0.png")
    with pytest.raises(VideoError, match="more than 8 bits"):
        open_video(folder)
