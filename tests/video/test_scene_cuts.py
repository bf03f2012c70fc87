from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch.video import open_video, scene_cuts_of
from samurai_batch.video.scene_cuts import FLASH_FRAMES, MIN_DIFFERENCE, measure_cuts
from tests.video.movies import scene, write_pixels

Frames = list[NDArray[np.uint8]]
SLOW = range(0, 40, 2)  # 2 of 64 px a frame, for 20 frames
NO_SCENE_CUT_KEYS = {"g": "250", "sc_threshold": "0"}  # the encoder marks no cut


def cuts_of(path: Path, frames: Frames, options: dict[str, str] | None = None) -> tuple[int, ...]:
    """The cuts of a real video of these frames."""
    with open_video(write_pixels(path / "clip.mp4", frames, options)) as source:
        return scene_cuts_of(source)


def mixed(one: NDArray[np.uint8], other: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    return np.asarray((1 - share) * one + share * other, np.uint8)


@pytest.mark.parametrize("options", [None, NO_SCENE_CUT_KEYS, {"g": "7"}])
def test_shots_begin_where_clips_were_joined_wherever_the_key_frames_are(
    tmp_path: Path, options: dict[str, str] | None
) -> None:
    frames = scene(1, SLOW) + scene(2, range(9)) + scene(3, [0] * 30) + scene(1, SLOW)
    assert cuts_of(tmp_path, frames, options) == (20, 29, 59)


def test_one_shot_has_no_cut_and_neither_has_one_frame(tmp_path: Path) -> None:
    assert cuts_of(tmp_path, scene(4, SLOW)) == ()
    assert measure_cuts(scene(4, [0])) == ()
    assert measure_cuts([]) == ()


def test_a_cut_on_the_second_and_on_the_last_frame_counts() -> None:
    first, second, third = scene(1, SLOW), scene(2, SLOW), scene(3, SLOW)
    assert measure_cuts([first[0], *second, third[0]]) == (1, 21)


@pytest.mark.parametrize("length", range(1, FLASH_FRAMES))
def test_a_flash_is_no_cut(tmp_path: Path, length: int) -> None:
    frames = scene(1, SLOW)
    for index in range(8, 8 + length):
        frames[index] = mixed(frames[index], np.full_like(frames[index], 255), 0.9)
    assert cuts_of(tmp_path, frames) == ()


def test_a_white_picture_longer_than_a_flash_is_a_shot() -> None:
    frames = scene(1, SLOW)
    frames[8 : 8 + FLASH_FRAMES] = [np.full_like(frames[0], 255)] * FLASH_FRAMES
    assert measure_cuts(frames) == (8, 8 + FLASH_FRAMES)


@pytest.mark.parametrize("speed", [4, 16, 48])
def test_a_fast_pan_is_no_cut_from_its_start_to_its_stop(tmp_path: Path, speed: int) -> None:
    lefts = [0] * 8 + [speed * step for step in range(1, 13)] + [12 * speed] * 8
    assert cuts_of(tmp_path, scene(5, lefts)) == ()


@pytest.mark.parametrize("length", [6, 12, 25])
def test_fades_through_black_and_dissolves_are_no_cuts(tmp_path: Path, length: int) -> None:
    first, second = scene(1, [0] * (12 + length)), scene(2, [0] * (12 + length))
    shares = np.linspace(0, 1, length)
    black = np.zeros_like(first[0])
    fade = [*(mixed(first[0], black, share) for share in shares), *(mixed(black, second[0], share) for share in shares)]
    dissolve = [mixed(first[0], second[0], share) for share in shares]
    assert cuts_of(tmp_path, [*first[:12], *fade, *second[:12]]) == ()
    assert cuts_of(tmp_path, [*first[:12], *dissolve, *second[:12]]) == ()


def test_a_transition_over_one_mixed_frame_where_nothing_moves_is_one_cut() -> None:
    first, second = scene(1, [0] * 20), scene(2, [0] * 20)
    assert measure_cuts([*first, mixed(first[-1], second[0], 0.5), *second]) == (20,)


def test_light_that_changes_at_once_and_stays_counts_and_a_small_difference_does_not() -> None:
    frames = scene(1, [0] * 20)
    for difference, cuts in ((MIN_DIFFERENCE + 2, (10,)), (MIN_DIFFERENCE - 2, ())):
        lighter = [np.asarray(np.minimum(pixels // 2 + difference, 255), np.uint8) for pixels in frames]
        assert measure_cuts([pixels // 2 for pixels in frames[:10]] + lighter[10:]) == cuts


def test_cuts_do_not_depend_on_the_size_of_the_picture() -> None:
    for height, width in ((2, 2), (48, 64), (90, 160), (360, 640), (720, 64)):
        frames = scene(1, [0] * 10, height, width) + scene(2, [0] * 10, height, width)
        assert measure_cuts(frames) == (10,), (height, width)


def test_of_a_video_that_ends_early_the_cuts_before_its_end_are_measured(tmp_path: Path) -> None:
    path = write_pixels(tmp_path / "clip.mkv", scene(1, SLOW) + scene(2, SLOW) + scene(3, SLOW), {"g": "5"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as source:
        assert scene_cuts_of(source) == (20,)


def test_the_border_of_two_files_of_one_video_is_a_cut_only_if_the_picture_changes(tmp_path: Path) -> None:
    same = scene(1, range(40))
    files = [
        write_pixels(tmp_path / f"{name}.mp4", frames)
        for name, frames in (("a", same[:20]), ("b", same[20:]), ("c", scene(2, SLOW)))
    ]
    with open_video("\n".join(map(str, files))) as source:
        assert scene_cuts_of(source) == (40,)


def test_what_the_check_raises_ends_the_pass(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with open_video(write_pixels(tmp_path / "clip.mp4", scene(1, SLOW))) as source, pytest.raises(KeyboardInterrupt):
        scene_cuts_of(source, stop)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 60))
def test_frames_later_than_a_flash_change_no_cut(seeds: list[int], length: int) -> None:
    frames = [scene(seed, [0])[0] for seed in seeds]
    known = tuple(cut for cut in measure_cuts(frames) if cut <= length - FLASH_FRAMES)
    assert tuple(cut for cut in measure_cuts(frames[:length]) if cut <= length - FLASH_FRAMES) == known
